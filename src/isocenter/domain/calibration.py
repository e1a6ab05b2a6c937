# SPDX-License-Identifier: MIT
"""Calibrations as values: what was found, how well, when, under which conditions, and how long it holds.

A scan uses a snapshot (``domain.scanner.Calibration``) made of those that still hold; the snapshot is stored with it.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Quantity(StrEnum):
    """What can be calibrated; the unit of ``CalibrationValue.value`` is in brackets."""

    LARMOR = "larmor_hz"
    """Frequency of the magnet [Hz]."""
    RF_SCALE = "rf_scale"
    """B1+ at full scale over the hardware file's [1]."""
    SHIM = "shim_t_per_m"
    """Constant gradients on channels x, y, z [T/m]."""
    RECEIVE_GAIN = "receive_gain_db"
    """Gain of the receiver's attenuator [dB]."""
    TUNING = "tuning"
    """Capacitors in the coil: series, tune, match, as ``Tuner.set_capacitors`` takes them."""
    NOISE = "noise_v"
    """Noise at the receiver, root mean square [V]."""
    GRADIENT_SCALE = "gradient_scale"
    """True over nominal gradient, signed, of channels x, y, z [1]."""
    GRADIENT_DELAY = "gradient_delay_s"
    """Delay of channels x, y, z beyond the hardware file's [s]."""
    GRADIENT_CURRENTS = "gradient_currents"
    """Board calibration: four coefficients each of channels x, y, z (``domain.currents.ChannelFit``) [1]."""
    EDDY = "eddy"
    """Amplitudes [1] and time constants [s] of three exponentials, in turn, of channels x, y, z; zeros for fewer."""
    EDDY_B0 = "eddy_b0"
    """The same for the shift of the whole field that each gradient leaves; amplitudes over the gradient [m]."""
    B0_MAP = "b0_map"
    """Peak-to-peak field over the imaging sphere [Hz]; the map itself is in the raw data."""
    B1_MAP = "b1_map"
    """Spread of B1+ over the object, standard deviation over mean [1]."""
    FLIP_CHECK = "flip_check"
    """A check, used by no scan: turned over asked angle, and B1+ at full scale over the hardware file's by that [1]."""
    TX_PHASE_SIGN = "tx_phase_sign"
    """How the console's transmit mixer was seen to turn: as ``ConsoleLink.tx_phase_sign`` has to be, 1 or -1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationValue:
    """One calibration that was accepted.

    Attributes
    ----------
    quantity, value, sd
        What, and how well it is known; ``value`` and ``sd`` have the same length, SI. NaN in ``sd`` for unknown.
    measured_at_s
        Seconds since 1970, UTC; NaN where it cannot be told any more, since the computer's clock was set back.
    temperature_c
        Of the magnet, NaN where there is no sensor.
    coil
        Which coil was in use.
    subject
        Identifier of the exam, or name of the phantom; empty where it does not depend on who lies in the scanner.
    raw
        Folder of the data behind it, relative to the data folder; empty for none.
    holds_s, holds_c
        It holds for so long, and while the temperature stays within so much; infinite for until it is replaced.
    phantom
        What lay in the magnet for a service calibration, for people to read; empty where that was nobody's to say. Unlike
        ``subject`` it does not limit for whom the value holds.
    """

    quantity: Quantity
    value: tuple[float, ...]
    sd: tuple[float, ...]
    measured_at_s: float
    temperature_c: float = float("nan")
    coil: str = ""
    subject: str = ""
    raw: str = ""
    holds_s: float = math.inf
    holds_c: float = math.inf
    phantom: str = ""

    def why_not(self, *, now_s: float, temperature_c: float, coil: str, subject: str) -> str:
        """Why it does not hold any more, in words; empty when it does. Unknown temperatures are not held against it."""
        if reason := self.why_not_for(coil=coil, subject=subject):
            return reason
        if math.isnan(self.measured_at_s) and math.isfinite(self.holds_s):
            return "of unknown age: this computer's clock was set back since"
        age_s = now_s - self.measured_at_s
        if age_s < -1.0:
            return "measured in the future: this computer's clock was set back"
        if age_s > self.holds_s:
            return f"{age_s / 60:.0f} minutes old"
        if abs(temperature_c - self.temperature_c) > self.holds_c:
            return f"the magnet's temperature changed by {temperature_c - self.temperature_c:+.1f} degrees"
        return ""

    def why_not_for(self, *, coil: str, subject: str) -> str:
        """Why it is not for this coil and subject, at whatever age; empty when it is."""
        if self.coil and coil and self.coil != coil:
            return f"measured with the coil {self.coil}, not {coil}"
        if self.subject and self.subject != subject:
            return "measured with somebody or something else on the table"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCalibration:
    """A calibration that was tried and not believed; the old value stayed.

    Attributes
    ----------
    quantity
        What was to be calibrated.
    reason
        Why it was refused, with values, in words.
    refused_at_s
        Seconds since 1970, UTC.
    value
        What it would have been, SI; empty when there was nothing.
    temperature_c, coil, subject, raw
        As in ``CalibrationValue``.
    """

    quantity: Quantity
    reason: str
    refused_at_s: float
    value: tuple[float, ...] = ()
    temperature_c: float = float("nan")
    coil: str = ""
    subject: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedCalibration:
    """What one scan used of a quantity. Stored with the scan.

    Attributes
    ----------
    quantity
        Which.
    value
        What was used; None when nothing that was measured holds, so that the hardware file's value stood.
    age_s
        Of the value at the start of the scan [s]; NaN when unknown, and without a value.
    why_not
        Why the newest measured value does not hold; empty when it does.
    """

    quantity: Quantity
    value: CalibrationValue | None = None
    age_s: float = float("nan")
    why_not: str = ""
