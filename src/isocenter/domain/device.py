# SPDX-License-Identifier: MIT
"""What a scanner is connected to besides its console, and how each box is.

Unknown is a state of its own: whatever was not answered in time is unknown, never good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DeviceRole(StrEnum):
    """What a device is for. A scanner has at most one of each."""

    INTERLOCK = "interlock"
    RF_AMPLIFIER = "rf_amplifier"
    GRADIENT_AMPLIFIER = "gradient_amplifier"
    SAR_MONITOR = "sar_monitor"
    NETWORK_ANALYSER = "network_analyser"
    TUNER = "tuner"
    ATTENUATOR = "attenuator"
    SENSORS = "sensors"


class LinkState(StrEnum):
    """State of the line to a device."""

    NEVER = "never"
    """Not asked yet."""
    CONNECTED = "connected"
    """It answered the last question in time."""
    LOST = "lost"
    """It did not answer, answered nonsense, or cannot be found."""


class Condition(StrEnum):
    """What a device says about itself."""

    UNKNOWN = "unknown"
    READY = "ready"
    """Enabled; or, for a device that only measures, working."""
    STANDBY = "standby"
    """Healthy and switched off, so that nothing can come out of it."""
    FAULT = "fault"
    """It says that something is wrong, or its outputs were cut (tripped)."""


class DeviceFaultName(StrEnum):
    """Names of what devices report in ``DeviceReading.faults``."""

    EMERGENCY_STOP = "emergency_stop"
    """The red button is pressed."""
    DOOR_OPEN = "door_open"
    HEARTBEAT_LOST = "heartbeat_lost"
    """The interlock controller heard no beat in time."""
    INTERLOCK_LATCHED = "interlock_latched"
    """The interlock controller keeps the outputs cut until a person clears it."""
    GRADIENT_FAULT = "gradient_fault"
    GRADIENT_HOT = "gradient_hot"
    RF_FAULT = "rf_fault"
    SAR_10S = "sar_10s"
    SAR_6MIN = "sar_6min"
    SAR_PEAK = "sar_peak"
    REFLECTED = "reflected"
    """Too much RF power comes back from the coil."""
    ON_BATTERY = "on_battery"
    """The mains is gone."""
    MAGNET_TEMPERATURE = "magnet_temperature"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsbIdentity:
    """By what a USB serial device is found.

    Attributes
    ----------
    vendor_id, product_id
        As the device tells them.
    serial_number
        Empty for any; needed where two of a kind are connected.
    """

    vendor_id: int
    product_id: int
    serial_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLink:
    """One device as the hardware file tells of it.

    Attributes
    ----------
    role
        What it is for.
    driver
        Which protocol it speaks, such as ``barthel``.
    url
        What pyserial opens: a port's name, ``socket://host:port`` or ``rfc2217://host:port``; empty when it is found by
        ``usb``.
    usb
        Its USB identity, None when ``url`` is given.
    baud
        Bits per second, where the line has a speed; 0 for the driver's own.
    is_required
        True when no scan may start without it.
    options
        Numbers that the driver needs, by the names that its documentation gives, SI.
    """

    role: DeviceRole
    driver: str
    url: str = ""
    usb: UsbIdentity | None = None
    baud: int = 0
    is_required: bool = True
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """What one poll of a device found. Made by its driver.

    Attributes
    ----------
    condition
        What the device says of itself; never guessed.
    text
        For the operator, one short sentence, such as ``on, no fault``.
    said
        The device's own words in its last answer, printable.
    faults
        Names of faults that it reports, each one a ``DeviceFaultName``; empty when it reports none.
    values
        What it measures, SI with the unit in the name, such as ``temperature_magnet_c`` or ``forward_peak_w``.
    """

    condition: Condition
    text: str
    said: str
    faults: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """A device as screens, ``doctor`` and the supervisor see it.

    Attributes
    ----------
    role, name
        What it is for, and what people call it.
    link
        State of its line.
    identity
        What it called itself, empty when it never did.
    answered_s
        When it last answered, on the steady clock (``time.monotonic``); NaN for never.
    answered_at
        The same for people, ISO 8601; empty for never.
    reading
        The newest reading; None as soon as the line is lost: an old reading is not shown as the present.
    problem, remedy
        Why the link is lost and what to do; empty while all is well.
    address
        Where it was looked for: URL or USB identity, in words.
    """

    role: DeviceRole
    name: str
    link: LinkState = LinkState.NEVER
    identity: str = ""
    answered_s: float = float("nan")
    answered_at: str = ""
    reading: DeviceReading | None = None
    problem: str = ""
    remedy: str = ""
    address: str = ""

    @property
    def condition(self) -> Condition:
        """What is known now."""
        return Condition.UNKNOWN if self.link is not LinkState.CONNECTED or self.reading is None else self.reading.condition
