# SPDX-License-Identifier: MIT
"""A console's outputs to zero, and what is said when nobody can confirm it."""

from isocenter.acquisition.hardware import HardwareThread
from isocenter.devices.protocols import Console, DeviceMessage, SafeReport, Severity
from isocenter.domain.errors import DeviceTimeout

_NOT_VERIFIED = (
    "The console has not confirmed that every output is zero. "
    "Switch the amplifiers off by hand, look after the patient, then connect again."
)


def bring_to_zero(console: Console, hardware: HardwareThread, timeout_s: float) -> SafeReport:
    """Zero every output from another thread; never raises, a console that is silent is not verified."""
    try:
        safe = hardware.call(console.make_safe, timeout_s=timeout_s, doing="bring the outputs to zero")
    except DeviceTimeout as error:
        silent = DeviceMessage(severity=Severity.ERROR, text=str(error), original="no answer")
        safe = SafeReport(verified=False, messages=(silent,))
    if safe.verified:
        return safe
    warning = DeviceMessage(severity=Severity.ERROR, text=_NOT_VERIFIED, original="make safe not verified")
    return SafeReport(verified=False, messages=(*safe.messages, warning))
