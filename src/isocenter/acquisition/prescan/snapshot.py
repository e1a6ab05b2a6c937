# SPDX-License-Identifier: MIT
"""What one scan uses of everything that was ever calibrated: values that still hold, and why others do not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from isocenter.domain.calibration import CalibrationValue, Quantity, UsedCalibration
from isocenter.domain.scanner import Calibration, Magnet, Scanner, nominal_calibration

_LENGTHS: Final = {
    Quantity.LARMOR: 1,
    Quantity.RF_SCALE: 1,
    Quantity.SHIM: 3,
    Quantity.RECEIVE_GAIN: 1,
    Quantity.NOISE: 1,
    Quantity.TUNING: 3,
    Quantity.GRADIENT_SCALE: 3,
    Quantity.GRADIENT_DELAY: 3,
    Quantity.GRADIENT_CURRENTS: 12,
    Quantity.B0_MAP: 1,
    Quantity.B1_MAP: 1,
    Quantity.FLIP_CHECK: 2,
    Quantity.TX_PHASE_SIGN: 1,
}
"""Numbers of a value; of those that are not here it may have any number but none."""
_OF_EVERY_SCAN: Final = (Quantity.LARMOR, Quantity.RF_SCALE, Quantity.SHIM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One scan's calibration, and what it is made of.

    Attributes
    ----------
    calibration
        For the compiler. Where nothing measured holds it has the hardware file's value.
    used
        One for each quantity that every scan uses, and for each other that was ever measured; goes into ``scan.json``.
    """

    calibration: Calibration
    used: tuple[UsedCalibration, ...]

    def why_not(self, quantity: Quantity) -> str:
        """Why there is no measured value of a quantity to use, in words; empty when there is one."""
        found = next((used for used in self.used if used.quantity is quantity), None)
        return "never measured" if found is None else found.why_not

    def holds(self, quantity: Quantity) -> bool:
        """True when a measured value is in use."""
        return not self.why_not(quantity)


def snapshot(
    scanner: Scanner,
    values: Sequence[CalibrationValue],
    *,
    now_s: float,
    temperature_c: float,
    coil: str,
    subject: str,
) -> Snapshot:
    """What a scan that starts now uses.

    Parameters
    ----------
    values
        All that were accepted, in the order in which that happened (``storage.calibrations.CalibrationStore.values``).
    now_s
        Seconds since 1970, on the clock that ``measured_at_s`` is from.
    temperature_c, coil, subject
        Of now.
    """
    here = {"now_s": now_s, "temperature_c": temperature_c, "coil": coil, "subject": subject}
    seen = {value.quantity for value in values}
    used = tuple(
        judge(scanner, values, quantity, **here) for quantity in Quantity if quantity in seen or quantity in _OF_EVERY_SCAN
    )
    held = {entry.quantity: entry.value for entry in used if entry.value is not None}
    nominal = nominal_calibration(scanner)
    larmor, scale = held.get(Quantity.LARMOR), held.get(Quantity.RF_SCALE)
    calibration = Calibration(
        larmor_hz=nominal.larmor_hz if larmor is None else larmor.value[0],
        rf_scale=nominal.rf_scale if scale is None else scale.value[0],
        shim_t_per_m=_of_channels(held, Quantity.SHIM, nominal.shim_t_per_m),
        measured_at="" if larmor is None else _local_text(larmor.measured_at_s),
        gradient_scale=_of_channels(held, Quantity.GRADIENT_SCALE, nominal.gradient_scale),
        gradient_delay_s=_of_channels(held, Quantity.GRADIENT_DELAY, nominal.gradient_delay_s),
    )
    return Snapshot(calibration=calibration, used=used)


def _of_channels(
    held: Mapping[Quantity, CalibrationValue], quantity: Quantity, otherwise: tuple[float, float, float]
) -> tuple[float, float, float]:
    found = held.get(quantity)
    return otherwise if found is None else (found.value[0], found.value[1], found.value[2])


def judge(scanner: Scanner, values: Sequence[CalibrationValue], quantity: Quantity, **here: Any) -> UsedCalibration:
    """The value of one quantity that holds, or why none does. Further arguments as of ``snapshot``.

    The newest for this coil and subject is judged. When it does not hold an older one does not either: it was replaced.
    """
    of_it = [value for value in values if value.quantity is quantity]
    if not of_it:
        return UsedCalibration(quantity=quantity, why_not="never measured")
    coil, subject = here["coil"], here["subject"]
    fitting = [value for value in of_it if not value.why_not_for(coil=coil, subject=subject)]
    newest = (fitting or of_it)[-1]
    reason = newest.why_not(**here) or _why_absurd(newest, scanner.magnet)
    if reason:
        return UsedCalibration(quantity=quantity, why_not=reason)
    return UsedCalibration(quantity=quantity, value=newest, age_s=here["now_s"] - newest.measured_at_s)


def _why_absurd(value: CalibrationValue, magnet: Magnet) -> str:
    """Values come from a file that people can reach."""
    numbers, expected = value.value, _LENGTHS.get(value.quantity, len(value.value))
    if not numbers or len(numbers) != expected or not all(math.isfinite(number) for number in numbers):
        return f"kept as {numbers}, which cannot be right"
    if value.quantity is Quantity.LARMOR and not abs(numbers[0] - magnet.larmor_hz) <= magnet.search_span_hz:
        return f"{numbers[0] / 1e6:.4f} MHz, which is outside of what the hardware file allows this magnet"
    if value.quantity is Quantity.RF_SCALE and not numbers[0] > 0:
        return f"kept as {numbers[0]:g}, which cannot be right"
    if value.quantity is Quantity.GRADIENT_SCALE and not min(numbers) > 0:
        return "a gradient was found to point the other way: the wiring in the hardware file is wrong, mend it there"
    return ""


def _local_text(time_s: float) -> str:
    if math.isnan(time_s):
        return ""
    return datetime.fromtimestamp(time_s, tz=UTC).astimezone().isoformat(timespec="seconds")
