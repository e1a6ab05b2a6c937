# SPDX-License-Identifier: MIT
"""Every step that a pipeline may have, one file for each family."""

from typing import Final

from isocenter.recon.steps import (
    concomitant,
    distortion,
    disturbances,
    echoes,
    grid,
    image,
    noncartesian,
    partial,
    readouts,
    second,
    sort,
)
from isocenter.recon.steps.base import Step

_FAMILIES: Final = (
    readouts.STEPS,
    disturbances.STEPS,
    echoes.STEPS,
    sort.STEPS,
    noncartesian.STEPS,
    partial.STEPS,
    grid.STEPS,
    distortion.STEPS,
    concomitant.STEPS,
    image.STEPS,
    second.STEPS,
)

STEPS: Final[dict[str, Step]] = {step.name: step for family in _FAMILIES for step in family}
"""By name, in the order in which they are usually done."""
