# SPDX-License-Identifier: MIT
"""Parameters that many sequences have, declared once: label, unit, range and help are the same in each of them.

For a field of a sequence's ``Parameters``, such as ``fov_read_m: float = usual.fov_read()``. Defaults are SI.
"""

from typing import Any, Final

from isocenter.domain.parameters import integer, number, switch

_TURN_RAD: Final = 6.283185307179586


def fov_read(default_m: float = 0.22) -> Any:
    """Declare ``fov_read_m``."""
    return number(
        default_m, "Field of view, read", unit="mm", low=0.01, high=0.5, help="Along the readout.", group="Geometry"
    )


def fov_phase(default_m: float = 0.22, *, encoding: str = "the first phase encoding") -> Any:
    """Declare ``fov_phase_m``."""
    return number(
        default_m, "Field of view, phase", unit="mm", low=0.01, high=0.5, help=f"Along {encoding}.", group="Geometry"
    )


def fov_slab(default_m: float = 0.18, *, reason: str = "Must cover what the coil sees.") -> Any:
    """Declare ``fov_slab_m``."""
    return number(
        default_m,
        "Field of view, slab",
        unit="mm",
        low=0.01,
        high=0.5,
        help=f"Along the second phase encoding. {reason}",
        group="Geometry",
    )


def fov_plane(default_m: float = 0.22) -> Any:
    """Declare ``fov_m`` of a square plane."""
    return number(default_m, "Field of view", unit="mm", low=0.01, high=0.5, help="In both directions.", group="Geometry")


def n_read(default: int, *, high: int = 512) -> Any:
    """Declare ``n_read``."""
    return integer(default, "Matrix, read", low=8, high=high, help="Samples of a line.", group="Geometry")


def n_phase(default: int, *, low: int = 1) -> Any:
    """Declare ``n_phase``."""
    return integer(default, "Matrix, phase", low=low, high=256, help="Lines.", group="Geometry")


def n_slab(default: int) -> Any:
    """Declare ``n_slab``."""
    return integer(default, "Partitions", low=1, high=256, help="Second phase encoding.", group="Geometry")


def slices(default: int = 1) -> Any:
    """Declare ``slices``."""
    return integer(default, "Slices", low=1, high=64, help="Measured within one TR.", group="Geometry")


def thickness(default_m: float = 0.01) -> Any:
    """Declare ``thickness_m``."""
    return number(default_m, "Thickness", unit="mm", low=0.001, high=0.1, help="Of one slice.", group="Geometry")


def gap(default_m: float = 0.0) -> Any:
    """Declare ``gap_m``."""
    return number(default_m, "Gap", unit="mm", low=0.0, high=0.1, help="Between two slices.", group="Geometry")


def slice_tr(default_s: float, *, low_s: float, high_s: float) -> Any:
    """Declare ``tr_s`` of slices that take turns."""
    text = "From one excitation of a slice to the next."
    return number(default_s, "TR", unit="ms", low=low_s, high=high_s, help=text, group="Contrast")


def te(default_s: float, *, low_s: float, high_s: float, until: str) -> Any:
    """Declare ``te_s``; ``until`` ends the sentence "From the pulse to ..."."""
    text = f"From the pulse to {until}."
    return number(default_s, "TE", unit="ms", low=low_s, high=high_s, help=text, group="Contrast")


def flip(default_rad: float, *, text: str = "Of each pulse.", low_rad: float = _TURN_RAD / 360) -> Any:
    """Declare ``flip_rad``, up to 90 degrees."""
    high_rad = _TURN_RAD / 4
    return number(default_rad, "Flip angle", unit="deg", low=low_rad, high=high_rad, help=text, group="Contrast")


def bandwidth(default_hz: float = 20e3, *, low_hz: float = 2e3, text: str = "Over the field of view in read.") -> Any:
    """Declare ``bandwidth_hz``."""
    return number(default_hz, "Bandwidth", unit="kHz", low=low_hz, high=250e3, help=text, group="Readout")


def averages() -> Any:
    """Declare ``averages``."""
    return integer(1, "Averages", low=1, high=64, help="Times that everything is measured.", group="Readout")


def slice_dummies(default: int, *, high: int) -> Any:
    """Declare ``dummy_shots`` of slices that take turns."""
    text = "Times that all slices are excited before the first measurement."
    return integer(default, "Dummy shots", low=0, high=high, help=text, group="Readout")


def partial_phase() -> Any:
    """Declare ``partial_phase``."""
    text = "Share of the lines that is measured."
    return number(1.0, "Partial Fourier, phase", unit="", low=0.55, high=1.0, help=text, group="Readout")


def partial_slab() -> Any:
    """Declare ``partial_slab``."""
    text = "Share of the partitions that is measured."
    return number(1.0, "Partial Fourier, slab", unit="", low=0.55, high=1.0, help=text, group="Readout")


def elliptical() -> Any:
    """Declare ``elliptical``."""
    return switch(False, "Elliptical", help="Leave the corners of k-space out: a fifth less time.", group="Readout")


def selective_rf(default_s: float = 2e-3, *, high_s: float = 5e-3, text: str = "Longer pulses need less gradient.") -> Any:
    """Declare ``rf_s`` of slice-selective pulses."""
    return number(default_s, "RF pulse length", unit="us", low=0.5e-3, high=high_s, help=text, group="RF")


def spectrum_window(default_hz: float) -> Any:
    """Declare ``bandwidth_hz`` of a spectrum."""
    return number(default_hz, "Bandwidth", unit="kHz", low=5e3, high=500e3, help="Width of the window of frequencies.")


def echo_samples() -> Any:
    """Declare ``n_samples`` of an echo whose spectrum is looked at."""
    return integer(1024, "Samples", low=64, high=8192, help="Of one echo; more resolve finer.")
