# SPDX-License-Identifier: MIT
"""3D multi-echo spin echo: every line at all echoes of a train, one image for each echo time, for a map of T2.

The train is that of the 3D turbo spin echo, with crushers and phases that keep to CPMG. Refocusing pulses that are not quite
180° mix stimulated echoes in: the first echo is then a little low, and a fit does better without it. ECO counts echoes, the
definition EchoTimes lists their times [s].
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import EVERY_ECHO, System, build_with, integer, number, switch, usual

TITLE = "3D multi-echo"
SUMMARY = "Spin echoes at many echo times of the whole coil's volume: a map of T2."
RECON = "cartesian"
CLINICAL = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    fov_read_m: float = usual.fov_read()
    fov_phase_m: float = usual.fov_phase()
    fov_slab_m: float = usual.fov_slab(reason="The pulses excite everything in the coil, so this must cover it.")
    n_read: int = usual.n_read(48)
    n_phase: int = usual.n_phase(40)
    n_slab: int = usual.n_slab(10)
    tr_s: float = number(
        0.8, "TR", unit="ms", low=0.01, high=10.0, help="From one excitation to the next.", group="Contrast"
    )
    echo_spacing_s: float = number(
        0.014, "Echo spacing", unit="ms", low=0.001, high=0.1, help="From one echo to the next.", group="Contrast"
    )
    echo_train_length: int = integer(
        16, "Echoes", low=1, high=128, help="Images, each an echo spacing later.", group="Contrast"
    )
    bandwidth_hz: float = usual.bandwidth()
    averages: int = usual.averages()
    elliptical: bool = switch(
        True, "Elliptical", help="Leave the corners of k-space out: a fifth less time.", group="Readout"
    )


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    values = {name: getattr(p, name) for name in p.__dataclass_fields__}
    return build_with("tse_3d", values | {"order": EVERY_ECHO}, system)
