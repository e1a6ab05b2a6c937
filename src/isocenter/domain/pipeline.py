# SPDX-License-Identifier: MIT
"""What a reconstruction is told to do: a list of named steps with parameters. Sequences declare one; ``recon`` runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """One step of a pipeline as it is asked for, not yet checked.

    Attributes
    ----------
    step
        Name of a step.
    parameters
        SI values of parameters that differ from the step's defaults.
    is_required
        True: without this step there is no image. False: when it fails, the image is made without it and says so. None: as
        the step itself says.
    """

    step: str
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    is_required: bool | None = None
