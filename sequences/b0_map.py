# SPDX-License-Identifier: MIT
"""Map of the field over the whole coil, for shim and for the correction of images.

Everything is measured twice, SET 0 and SET 1, with the spins turning freely for a little longer the second time. The phase
between the two images is 2π times the field's offset in hertz times the difference in time.

- ``turbo spin echo``: readouts on the spin echoes, then shifted against them (Koolstra et al., Magn Reson Mater Phy
  2021;34:631). The signal lasts in any field, so this is the one for magnets of several kilohertz.
- ``gradient echo``: two echo times. Faster, but the signal is gone where the field changes fast.

The map is unique for offsets within half a turn either way: ±500 Hz for a step of 1 ms. A smaller step covers more and gives
more noise. Use the bandwidth of the images that are to be corrected, or more.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import System, build_with, choice, integer, number, usual

TITLE = "Field map"
SUMMARY = "Map of the main field over the whole coil, from the phase between two images."
RECON = "cartesian"
CLINICAL = False

METHODS = ("turbo spin echo", "gradient echo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    method: str = choice(
        METHODS[0], "Method", choices=METHODS, help="Spin echoes last in an uneven field; gradient echoes are faster."
    )
    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase()
    fov_slab_m: float = usual.fov_slab(0.22)
    n_read: int = usual.n_read(48, high=256)
    n_phase: int = usual.n_phase(48)
    n_slab: int = usual.n_slab(20)
    tr_s: float = number(
        0.3,
        "TR",
        unit="ms",
        low=0.003,
        high=5.0,
        help="From one excitation to the next; 30 ms do for gradient echoes.",
        group="Contrast",
    )
    echo_spacing_s: float = number(
        0.012, "Echo spacing", unit="ms", low=0.001, high=0.1, help="Of spin echoes.", group="Contrast"
    )
    echo_train_length: int = integer(
        8, "Echo train length", low=1, high=128, help="Spin echoes after one excitation.", group="Contrast"
    )
    te_s: float = number(
        0.006, "TE", unit="ms", low=0.001, high=0.1, help="Of gradient echoes, the first.", group="Contrast"
    )
    step_s: float = number(
        0.0002,
        "Time step",
        unit="ms",
        low=0.00001,
        high=0.01,
        help="By how much longer the spins turn the second time. Offsets up to half a turn within it are unique.",
        group="Contrast",
    )
    bandwidth_hz: float = usual.bandwidth()
    averages: int = usual.averages()


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    names = ("fov_read_m", "fov_phase_m", "fov_slab_m", "n_read", "n_phase", "n_slab", "tr_s", "bandwidth_hz", "averages")
    values = {name: getattr(p, name) for name in names}
    if p.method == METHODS[1]:
        return build_with("gre_3d", values | {"te_s": p.te_s, "te_step_s": p.step_s}, system)
    train = {"echo_spacing_s": p.echo_spacing_s, "echo_train_length": p.echo_train_length, "order": "centre-out"}
    return build_with("tse_3d", values | train | {"readout_shift_s": p.step_s}, system)
