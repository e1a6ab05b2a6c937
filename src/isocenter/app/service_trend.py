# SPDX-License-Identifier: MIT
"""What becomes of a scanner over months: the strength of its transmitter, as checks found it under like conditions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from isocenter.acquisition.prescan.contract import StepResult, Verdict
from isocenter.domain.calibration import CalibrationValue

FALLEN: Final = 0.1
"""More than the power is known to from exam to exam: then somebody looks at the amplifier before it fails."""
_DAY_S: Final = 86_400.0


def with_trend(result: StepResult, earlier: Sequence[CalibrationValue]) -> StepResult:
    """A check's result, compared with the first like it; a transmitter that became weaker makes it a warning.

    Parameters
    ----------
    earlier
        What was found before, oldest first; only what was found with the same coil and phantom is compared.
    """
    now = result.values[0]
    like = [value for value in earlier if value.coil == now.coil and _phantom(value) == _phantom(now)]
    if not like or not like[0].value[1] > 0:
        return result
    first = like[0]
    needs = first.value[1] / now.value[1] - 1
    when = _ago((now.measured_at_s - first.measured_at_s) / _DAY_S)
    much = f"{abs(100 * needs):.0f} % {'more than' if needs > 0 else 'less than'}" if abs(needs) >= 0.005 else "as much as"
    text = f"{result.text} The transmitter needs {much} {when}."
    if needs <= FALLEN:
        return replace(result, text=text)
    return replace(
        result,
        text=text,
        verdict=Verdict.WARN,
        remedy="Look at the RF amplifier, its cables and the tuning of the coil. Call service if it goes on.",
    )


def _phantom(value: CalibrationValue) -> str:
    """Which, without where it lay."""
    return value.phantom.partition(", centre")[0]


def _ago(days: float) -> str:
    if not days >= 1:  # in this form an unknown age, too
        return "the first time"
    if days < 60:
        return f"{days:.0f} {'day' if days < 1.5 else 'days'} ago"
    return f"{days / 30.44:.0f} months ago"
