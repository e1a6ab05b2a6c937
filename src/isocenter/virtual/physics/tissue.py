# SPDX-License-Identifier: MIT
"""Tissues at 50 mT."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """What the signal of one kind of matter depends on.

    Attributes
    ----------
    name
        For people.
    t1_s, t2_s
        Relaxation times [s].
    t2_prime_s
        Width of the spread of frequencies inside a voxel, as a decay time [s].
    density
        Proton density relative to water.
    shift_ppm
        Chemical shift relative to water [ppm].
    """

    name: str
    t1_s: float
    t2_s: float
    t2_prime_s: float = 0.2
    density: float = 1.0
    shift_ppm: float = 0.0


FAT: Final = Tissue(name="fat", t1_s=0.130, t2_s=0.090, density=0.9, shift_ppm=-3.4)
BONE: Final = Tissue(name="bone", t1_s=0.120, t2_s=0.004, density=0.08)
CSF: Final = Tissue(name="csf", t1_s=3.695, t2_s=1.584, t2_prime_s=1.0, density=1.0)
GREY: Final = Tissue(name="grey matter", t1_s=0.327, t2_s=0.102, density=0.82)
WHITE: Final = Tissue(name="white matter", t1_s=0.275, t2_s=0.102, density=0.70)
MUSCLE: Final = Tissue(name="muscle", t1_s=0.171, t2_s=0.039, density=0.78)
LESION: Final = Tissue(name="lesion", t1_s=0.600, t2_s=0.250, density=0.90)
WATER: Final = Tissue(name="doped water", t1_s=0.150, t2_s=0.120, t2_prime_s=1.0, density=1.0)
GEL: Final = Tissue(name="gel", t1_s=0.150, t2_s=0.100, t2_prime_s=1.0, density=0.4)
"""Relaxation times of white and grey matter, CSF, muscle and fat: O'Reilly and Webb, Magn. Reson. Med. 87 (2022) 884
(50 mT), as in reference domain.md 3.2. Densities, bone, lesion and the phantom fillings are chosen, typical values."""
