# SPDX-License-Identifier: MIT
"""What the driver itself has to say of a console: its version, and that nobody can be sure of its outputs."""

from isocenter.devices.marcos.outputs import AMPLIFIERS_OFF
from isocenter.devices.marcos.wire import CLIENT_VERSION, Reply
from isocenter.devices.protocols import DeviceMessage, SafeReport, Severity
from isocenter.domain.errors import DeviceError


def unsafe(error: DeviceError) -> SafeReport:
    """Report of a console that could not be brought to zero, or did not confirm it."""
    text = f"It is not certain that every output is at zero: {error.problem} {AMPLIFIERS_OFF}"
    return SafeReport(verified=False, messages=(DeviceMessage(severity=Severity.ERROR, text=text, original=error.problem),))


def version_notes(reply: Reply) -> list[DeviceMessage]:
    """The server compares versions itself; this is for one that keeps silent about it."""
    if reply.version == CLIENT_VERSION or any(reply.messages.values()):
        return []
    severity = Severity.INFO if reply.version[:2] == CLIENT_VERSION[:2] else Severity.WARNING
    version = ".".join(map(str, reply.version))
    return [DeviceMessage(severity=severity, text=f"The console's server has version {version}.", original=version)]
