# SPDX-License-Identifier: MIT
"""The scenarios that come with the program."""

from typing import Final

from isocenter.domain.errors import ConfigError
from isocenter.domain.scenario import CoilFaults, MagnetFaults, ReceiverFaults, Scenario


def _shimmed(name: str, summary: str, phantom: str = "head") -> Scenario:
    return Scenario(
        name=name,
        summary=summary,
        phantom=phantom,
        magnet=MagnetFaults(frequency_offset_hz=1700.0, spread_hz=300.0),
        coil=CoilFaults(b1_fall_db=0.45),
        receiver=ReceiverFaults(noise=1.0),
    )


def _perfect(name: str, summary: str, phantom: str) -> Scenario:
    return Scenario(name=name, summary=summary, phantom=phantom, has_t2_prime=False, has_chemical_shift=False)


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        _shimmed("osii-one-brain", "A head in a well shimmed 47 mT magnet, with the noise of a good coil."),
        _shimmed("block", "The marked block in the same magnet, to see which way images lie.", "block"),
        _shimmed("vials", "Vials of known T1 and T2 in the same magnet.", "vials"),
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
