# SPDX-License-Identifier: MIT
"""What lies in the virtual scanner, and how good its magnet and receiver are."""

from dataclasses import dataclass
from typing import Final

from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import PatientPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a virtual scanner that is not in its hardware file. Same scenario, same result.

    Attributes
    ----------
    name, summary
        For people.
    phantom
        Name of a phantom.
    position
        How the patient lies.
    n_spins
        About how many isochromats.
    noise
        Thermal noise over that of a good 50 mT head coil; 0 for none.
    b0_spread_hz
        Peak-to-peak frequency over the imaging sphere, left after shimming [Hz].
    b1_fall_db
        About how much the transmit and receive fields fall towards the edge of the imaging sphere [dB].
    has_t2_prime, has_chemical_shift
        Frequencies spread inside each tissue; fat is shifted.
    frequency_offset_hz
        True frequency minus the hardware file's [Hz]; the prescan has to find it.
    seed
        Chooses the magnet, the spins' places and the noise.
    """

    name: str = "custom"
    summary: str = ""
    phantom: str = "head"
    position: PatientPosition = PatientPosition.HFS
    n_spins: int = 200_000
    noise: float = 1.0
    b0_spread_hz: float = 300.0
    b1_fall_db: float = 0.45
    has_t2_prime: bool = True
    has_chemical_shift: bool = True
    frequency_offset_hz: float = 1700.0
    seed: int = 1


def _perfect(name: str, summary: str, phantom: str) -> Scenario:
    return Scenario(
        name=name,
        summary=summary,
        phantom=phantom,
        noise=0.0,
        b0_spread_hz=0.0,
        b1_fall_db=0.0,
        has_t2_prime=False,
        has_chemical_shift=False,
        frequency_offset_hz=0.0,
    )


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="osii-one-brain", summary="A head in a well shimmed 47 mT magnet, with the noise of a good coil."),
        Scenario(name="block", summary="The marked block in the same magnet, to see which way images lie.", phantom="block"),
        Scenario(name="vials", summary="Vials of known T1 and T2 in the same magnet.", phantom="vials"),
        _perfect("ideal", "A head in a perfect magnet, without noise.", "head"),
        _perfect("ideal-block", "The marked block in a perfect magnet, without noise.", "block"),
        _perfect("ideal-box", "A box of known size in a perfect magnet, without noise.", "box"),
        _perfect("ideal-cylinder", "A cylinder of known size in a perfect magnet, without noise.", "cylinder"),
        _perfect("ideal-vials", "Vials of known T1 and T2 in a perfect magnet, without noise.", "vials"),
        _perfect("uniform", "A uniform sphere in a perfect magnet, without noise.", "sphere"),
    )
}


def find_scenario(name: str) -> Scenario:
    """Scenario of a name.

    Raises
    ------
    ConfigError
        When there is none of that name; the remedy lists those that there are.
    """
    if name not in SCENARIOS:
        raise ConfigError(f"There is no scenario called {name!r}.", f"Choose one of {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]
