# SPDX-License-Identifier: MIT
"""Whether loops that need a compiler are at hand.

Loading numba takes longer than one image by other means. Programs that scan have it anyway; one that reconstructs a single
scan and ends had better do without.
"""

import functools
import importlib
import logging
import sys
from types import ModuleType
from typing import Final

_log = logging.getLogger(__name__)

_MODULES: Final = ("isocenter.recon.fft.transform", "isocenter.recon.magnitude_loops")


def warm_up() -> None:
    """Compile the loops of transform and magnitude, or load what was compiled before; they are used from then on."""
    for name in _MODULES:
        importlib.import_module(name)


def loops(name: str) -> ModuleType | None:
    """A module of this package with compiled loops; None in programs that have loaded none, or where they cannot be."""
    return _loaded(f"isocenter.recon.{name}") if "numba" in sys.modules else None


@functools.cache
def _loaded(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # numba finds no place for what it compiled, or no compiler
        _log.warning("%s cannot be compiled here, so images take longer: %s", name, error)
        return None
