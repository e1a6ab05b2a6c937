# SPDX-License-Identifier: MIT
"""What Start measures before a scan: all that an exam needs before its first picture, the frequency before every scan."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from isocenter.app.prescan_status import StepState, StepStatus
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError, ScanAborted
from isocenter.domain.scan import SequenceInfo

FREQUENCY_STEPS: Final = ("coarse_frequency", "fine_frequency")
"""Without these no scan starts."""
NEEDED: Final = {
    "receive_gain": Quantity.RECEIVE_GAIN,
    "transmit_power": Quantity.RF_SCALE,
    "linear_shim": Quantity.SHIM,
}
"""Steps that find what pictures need, once for each coil and subject."""
MAY_BE_LEFT: Final = frozenset({"transmit_power", "linear_shim"})
"""Long steps that can be left between two of their measurements: until they end they change nothing."""
_PICTURES: Final = frozenset({"cartesian", "noncartesian"})
_EXPECTED_S: Final = {
    "noise": 1.0,
    "tune": 20.0,
    "coarse_frequency": 4.0,
    "fine_frequency": 2.0,
    "receive_gain": 3.0,
    "transmit_power": 19.0,
    "linear_shim": 33.0,
    "final_frequency": 2.0,
}
"""Time on the scanner, as seen on the virtual one. Source for the tune step: reference domain.md 2."""


class NotReady(AcquisitionError):
    """A step of the prescan that Start began was not good enough; the entry of the queue still waits."""


class OnlyFrequency(ScanAborted):
    """Somebody wants only the frequency: the rest of the prescan is not measured."""


def makes_pictures(info: SequenceInfo) -> bool:
    """True for sequences that power, gain and shim matter for; a spectrum or noise is measured without."""
    return info.recon in _PICTURES


def missing_steps(
    steps: Sequence[StepStatus], holds: Callable[[Quantity], bool], *, has_attenuator: bool
) -> tuple[str, ...]:
    """Steps whose value is needed and does not hold, and that nobody has left out.

    Parameters
    ----------
    steps
        All that this scanner has.
    holds
        Says whether there is a value for the coil and the subject that are in the scanner now.
    has_attenuator
        Without one there is no gain to set.
    """
    return tuple(
        step.name
        for step in steps
        if (quantity := NEEDED.get(step.name)) is not None
        and not step.skipped_by
        and not holds(quantity)
        and (quantity is not Quantity.RECEIVE_GAIN or has_attenuator)
    )


def to_run(steps: Sequence[StepStatus], missing: Sequence[str]) -> tuple[str, ...]:
    """What Start runs when something is missing: that, and all that has not ended well, in order; nothing when none is."""
    return tuple(step.name for step in steps if step.name in missing or not step.is_settled) if missing else ()


def remaining_s(steps: Sequence[StepStatus]) -> float:
    """Time that the steps which run or wait will take if none of them can be left away [s]; NaN when one is unknown."""
    to_come = [step.name for step in steps if step.state in (StepState.RUNNING, StepState.WAITING)]
    return sum(_EXPECTED_S.get(name, math.nan) for name in to_come)


def only_frequency() -> OnlyFrequency:
    """What ends a prescan then."""
    return OnlyFrequency(
        "Only the frequency is measured in this exam, as asked. What was found until then stays in use.",
        "Press Run prescan to measure power, gain and shim after all.",
    )


def not_ready(step: StepStatus) -> NotReady:
    """Why the first scan does not begin, and what a person may do about it."""
    result = step.result
    remedy = f"{result.remedy} ".lstrip() + "Then press Start: what is missing is measured again."
    if step.name not in FREQUENCY_STEPS:
        remedy += " To scan all the same, leave the step out on the Prescan page."
    return NotReady(f"{result.title} was not good enough, so nothing was scanned. {result.text}".strip(), remedy)
