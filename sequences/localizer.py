# SPDX-License-Identifier: MIT
"""Localizer: a coarse 3D turbo spin echo of the whole coil in under 20 seconds, run once for each plane.

Why not quick 2D slices: at 47 mT the field varies by thousands of ppm, so a slice-selective pulse of usual bandwidth would
excite slices bent by a centimetre, and a thin slice gives little signal. Hard pulses excite everything evenly, and each of
the thick partitions gathers signal during the whole scan. One file gives one plane; the program runs it with an axial, a
coronal and a sagittal placement.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import System, build_with, integer, number

TITLE = "Localizer"
SUMMARY = "Coarse pictures of the whole coil's volume in one plane, in under 20 seconds."
RECON = "cartesian"
CLINICAL = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = number(
        0.24, "Field of view", unit="mm", low=0.03, high=0.5, help="Of the pictures.", group="Geometry"
    )
    fov_slab_m: float = number(
        0.24,
        "Field of view, slab",
        unit="mm",
        low=0.03,
        high=0.5,
        help="Across; must cover what the coil sees.",
        group="Geometry",
    )
    n_read: int = integer(64, "Matrix", low=16, high=128, help="Samples and lines.", group="Geometry")
    n_slab: int = integer(10, "Partitions", low=1, high=32, help="Thick slices.", group="Geometry")
    tr_s: float = number(0.4, "TR", unit="ms", low=0.05, high=5.0, help="From one excitation to the next.", group="Contrast")
    echo_spacing_s: float = number(
        0.01, "Echo spacing", unit="ms", low=0.002, high=0.05, help="Between echoes.", group="Contrast"
    )
    echo_train_length: int = integer(
        16, "Echo train length", low=1, high=64, help="Echoes after one excitation.", group="Contrast"
    )
    bandwidth_hz: float = number(
        20e3, "Bandwidth", unit="kHz", low=2e3, high=250e3, help="Over the field of view.", group="Readout"
    )


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    values = {
        "fov_read_m": p.fov_read_m,
        "fov_phase_m": p.fov_read_m,
        "fov_slab_m": p.fov_slab_m,
        "n_read": p.n_read,
        "n_phase": p.n_read,
        "n_slab": p.n_slab,
        "tr_s": p.tr_s,
        "echo_spacing_s": p.echo_spacing_s,
        "echo_train_length": p.echo_train_length,
        "order": "centre-out",
        "bandwidth_hz": p.bandwidth_hz,
        "dummy_shots": 2,
        "reference_shots": 0,
    }
    return build_with("tse_3d", values, system)
