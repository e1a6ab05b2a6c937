# SPDX-License-Identifier: MIT
"""Tissues and phantom fillings at 50 to 70 mT."""

from dataclasses import dataclass
from typing import Final

ASSUMED: Final = "assumed"
OREILLY: Final = "O'Reilly and Webb, Magn. Reson. Med. 87 (2022) 884, in vivo at 50 mT"


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
    diffusion_m2_per_s
        Diffusion coefficient [m2/s].
    source
        Where the relaxation times come from; begins with ``assumed`` where nobody has measured them at this field.
    """

    name: str
    t1_s: float
    t2_s: float
    t2_prime_s: float = 0.2
    density: float = 1.0
    shift_ppm: float = 0.0
    diffusion_m2_per_s: float = 0.0
    source: str = ASSUMED

    @property
    def t2_star_s(self) -> float:
        """Decay time of a free induction decay in a perfect magnet [s]: rates of T2 and T2' add."""
        return 1 / (1 / self.t2_s + 1 / self.t2_prime_s)


FAT: Final = Tissue(
    name="fat", t1_s=0.130, t2_s=0.090, density=0.9, shift_ppm=-3.4, diffusion_m2_per_s=0.03e-9, source=OREILLY
)
MARROW: Final = Tissue(
    name="marrow fat",
    t1_s=0.135,
    t2_s=0.085,
    t2_prime_s=0.08,
    density=0.85,
    shift_ppm=-3.4,
    diffusion_m2_per_s=0.05e-9,
    source="assumed: as fat; the trabeculae spread its frequencies",
)
BONE: Final = Tissue(name="bone", t1_s=0.120, t2_s=0.004, density=0.08, source="assumed: skull with its diploe")
CORTICAL: Final = Tissue(
    name="cortical bone",
    t1_s=0.100,
    t2_s=0.0005,
    density=0.15,
    source="assumed: T2 of 0.4 to 0.5 ms at clinical fields hardly depends on field",
)
CSF: Final = Tissue(
    name="csf", t1_s=3.695, t2_s=1.584, t2_prime_s=1.0, density=1.0, diffusion_m2_per_s=3.0e-9, source=OREILLY
)
VITREOUS: Final = Tissue(
    name="vitreous",
    t1_s=3.0,
    t2_s=1.0,
    t2_prime_s=1.0,
    density=1.0,
    diffusion_m2_per_s=2.9e-9,
    source="assumed: between CSF and plasma",
)
GREY: Final = Tissue(name="grey matter", t1_s=0.327, t2_s=0.102, density=0.82, diffusion_m2_per_s=0.85e-9, source=OREILLY)
WHITE: Final = Tissue(name="white matter", t1_s=0.275, t2_s=0.102, density=0.70, diffusion_m2_per_s=0.70e-9, source=OREILLY)
MUSCLE: Final = Tissue(name="muscle", t1_s=0.171, t2_s=0.039, density=0.78, diffusion_m2_per_s=1.5e-9, source=OREILLY)
SKIN: Final = Tissue(
    name="skin", t1_s=0.200, t2_s=0.030, density=0.70, diffusion_m2_per_s=1.0e-9, source="assumed: as muscle with shorter T2"
)
BLOOD: Final = Tissue(
    name="blood", t1_s=0.700, t2_s=0.250, density=0.90, diffusion_m2_per_s=1.4e-9, source="assumed; it does not flow"
)
LESION: Final = Tissue(
    name="lesion", t1_s=0.600, t2_s=0.250, density=0.90, diffusion_m2_per_s=1.4e-9, source="assumed: oedema"
)
CARTILAGE: Final = Tissue(
    name="cartilage",
    t1_s=0.250,
    t2_s=0.045,
    density=0.75,
    diffusion_m2_per_s=1.3e-9,
    source="assumed: T2 as at clinical fields",
)
MENISCUS: Final = Tissue(
    name="meniscus",
    t1_s=0.200,
    t2_s=0.012,
    density=0.65,
    diffusion_m2_per_s=1.0e-9,
    source="assumed: T2 as at clinical fields",
)
LIGAMENT: Final = Tissue(
    name="ligament",
    t1_s=0.180,
    t2_s=0.008,
    density=0.60,
    diffusion_m2_per_s=0.9e-9,
    source="assumed: T2 as at clinical fields",
)
TENDON: Final = Tissue(
    name="tendon",
    t1_s=0.150,
    t2_s=0.003,
    density=0.55,
    diffusion_m2_per_s=0.9e-9,
    source="assumed: T2 as at clinical fields",
)
SYNOVIAL: Final = Tissue(
    name="synovial fluid",
    t1_s=2.500,
    t2_s=0.800,
    t2_prime_s=1.0,
    density=1.0,
    diffusion_m2_per_s=2.4e-9,
    source="assumed: thicker than CSF",
)
WATER: Final = Tissue(
    name="doped water",
    t1_s=0.150,
    t2_s=0.120,
    t2_prime_s=1.0,
    density=1.0,
    diffusion_m2_per_s=2.2e-9,
    source="assumed: copper sulphate",
)
GEL: Final = Tissue(
    name="gel",
    t1_s=0.150,
    t2_s=0.100,
    t2_prime_s=1.0,
    density=0.4,
    diffusion_m2_per_s=1.9e-9,
    source="assumed: doped agarose",
)
"""Densities are typical of such tissues relative to water. Diffusion: water at 37 degrees 3.0e-9 m2/s and at 25 degrees
2.3e-9 m2/s (Holz et al., Phys. Chem. Chem. Phys. 2 (2000) 4740); in tissues, typical mean values in vivo."""
