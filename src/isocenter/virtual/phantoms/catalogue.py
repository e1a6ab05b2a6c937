# SPDX-License-Identifier: MIT
"""The phantoms that come with the program."""

from typing import Final

from isocenter.domain.errors import ConfigError
from isocenter.virtual.phantoms.acr import SMALL, acr
from isocenter.virtual.phantoms.head import HEAD
from isocenter.virtual.phantoms.knee import KNEE
from isocenter.virtual.phantoms.nema import NEMA
from isocenter.virtual.phantoms.phantom import Phantom
from isocenter.virtual.phantoms.simple import SIMPLE
from isocenter.virtual.phantoms.vials import VIAL_PHANTOMS

PHANTOMS: Final[dict[str, Phantom]] = {
    phantom.name: phantom for phantom in (HEAD, *SIMPLE, *VIAL_PHANTOMS, KNEE, acr("acr"), acr("acr-small", SMALL), NEMA)
}


def find_phantom(name: str) -> Phantom:
    """Phantom of a name.

    Raises
    ------
    ConfigError
        When there is none of that name; the remedy lists those that there are.
    """
    if name not in PHANTOMS:
        raise ConfigError(f"There is no phantom called {name!r}.", f"Choose one of {', '.join(PHANTOMS)}.")
    return PHANTOMS[name]
