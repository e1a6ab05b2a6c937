# SPDX-License-Identifier: MIT
"""Every step that a pipeline may have, one file for each family."""

from typing import Final

from isocenter.recon.steps import echoes, grid, image, partial, readouts, sort
from isocenter.recon.steps.base import Step

STEPS: Final[dict[str, Step]] = {
    step.name: step
    for family in (readouts.STEPS, echoes.STEPS, sort.STEPS, partial.STEPS, grid.STEPS, image.STEPS)
    for step in family
}
"""By name, in the order in which they are usually done."""
