# SPDX-License-Identifier: MIT
"""Whether loops that need a compiler are at hand.

Loading numba takes longer than one image by other means. Programs that scan have it anyway; one that reconstructs a single
scan and ends had better do without.
"""

import importlib
import sys
from types import ModuleType
from typing import Final

_MODULES: Final = ("isocenter.recon.fft_own", "isocenter.recon.magnitude_loops")


def warm_up() -> None:
    """Compile the loops of transform and magnitude, or load what was compiled before; they are used from then on."""
    for name in _MODULES:
        importlib.import_module(name)


def loops(name: str) -> ModuleType | None:
    """A module of this package with compiled loops; None in programs that have loaded none."""
    name = f"isocenter.recon.{name}"
    if "numba" not in sys.modules:
        return None
    return sys.modules.get(name) or importlib.import_module(name)
