# SPDX-License-Identifier: MIT
"""The roles that devices on serial lines play. A driver knows its wire format and nothing else.

Every method belongs to the one thread that owns the device's line, and has a deadline: none takes longer than half a second
but ``open`` (2 s) and those whose docstring says how long. A method that got no answer, or one that cannot be right, raises;
it never returns as if the device had done what was asked.

Errors of all methods: ConnectError (the port is not there), DeviceTimeout (no answer), ProtocolError (an answer that cannot
be right; the line is closed and opened again by ``open``), DeviceFault (the device refused or reports a fault).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.device import DeviceReading, DeviceRole


class Peripheral(Protocol):
    """Any device on a line."""

    @property
    def role(self) -> DeviceRole:
        """What it is for."""
        ...

    def open(self) -> str:
        """Open the line and ask who is there; returns the identity. Outputs stay as they are. Again after a lost line."""
        ...

    def close(self) -> None:
        """Let go of the line. Never raises; changes nothing in the device."""
        ...

    def poll(self) -> DeviceReading:
        """Ask how it is. Changes nothing in the device."""
        ...


class Switched(Peripheral, Protocol):
    """A device whose output can hurt: amplifiers, and the interlock that blanks them."""

    def enable(self) -> None:
        """Switch the output on; returns only when the device has confirmed. At most 3 s.

        Raises
        ------
        WrongState
            Something must be cleared first; the remedy says what.
        """
        ...

    def standby(self) -> None:
        """Switch the output off; returns only when the device has confirmed."""
        ...

    def trip(self) -> None:
        """Switch off at once: the shortest message that does it goes out first, whatever was under way on the line.

        Returns when the device has confirmed; raises when it has not within 0.3 s, after having sent it again.
        """
        ...

    def clear_fault(self) -> None:
        """Clear a latched fault, at a person's word only. The output stays off."""
        ...


class Interlock(Switched, Protocol):
    """The controller that blanks the RF amplifier and parks the gradient amplifier when the heartbeat stops.

    ``enable`` arms it: from then on it wants a beat at least every 0.8 s. ``clear_fault`` leaves the latch, which the
    device refuses while its cause (emergency stop, door) is there.
    """

    def beat(self) -> DeviceReading:
        """One heartbeat; answers with what ``poll`` would."""
        ...


class SarMonitor(Switched, Protocol):
    """Watches forward and reflected RF power and cuts the blanking when a limit is passed. ``enable`` starts watching."""

    def set_limits(self, *, mean_10s_w: float, mean_6min_w: float, peak_w: float) -> None:
        """Limits of forward power for this patient [W]; confirmed by the device. Not while it watches."""
        ...

    def mean_power_w(self) -> tuple[float, float]:
        """Mean forward power of the last 10 s and 6 min in which it watched [W]; NaN for what it does not tell.

        After it was told to stop; before, only where its ``poll`` tells it as well (``forward_mean_10s_w`` and
        ``forward_mean_6min_w``).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflection:
    """Reflection of a coil over frequency.

    Attributes
    ----------
    frequency_hz
        Shape ``(n,)``, rising [Hz].
    s11
        complex128, shape ``(n,)``: voltage reflected over voltage sent, at the analyser's plane of calibration.
    """

    frequency_hz: NDArray[np.float64]
    s11: NDArray[np.complex128]


class NetworkAnalyser(Peripheral, Protocol):
    """Measures reflection."""

    def sweep(self, start_hz: float, stop_hz: float, n_points: int = 101) -> Reflection:
        """One sweep. At most 5 s."""
        ...


class Tuner(Peripheral, Protocol):
    """Relays that switch capacitors into the coil, and the coil over to the network analyser."""

    def set_capacitors(self, series: int, tune: int, match: int) -> None:
        """Switch capacitors in: bit 0 is the largest, 1 is in; five bits each. Confirmed by the device."""
        ...

    def connect_analyser(self, is_connected: bool) -> None:
        """The coil to the network analyser (True) or to the scanner (False). Confirmed by the device."""
        ...


class Attenuator(Peripheral, Protocol):
    """Sets the receiver's gain."""

    @property
    def gains_db(self) -> tuple[float, ...]:
        """Gains that can be set [dB], rising."""
        ...

    def set_gain(self, gain_db: float) -> None:
        """Set the nearest gain that exists [dB]; confirmed by the device, or ``poll`` says that it is unknown."""
        ...
