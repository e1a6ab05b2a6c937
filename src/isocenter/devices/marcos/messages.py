# SPDX-License-Identifier: MIT
"""What a MaRCoS server says, in plain words. Source of its strings: reference marcos.md 2.4, 2.5, 3 and 4."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from isocenter.devices.protocols import DeviceMessage, Severity

_AGAIN = "Start the scan again; if it happens again, report it with the scan folder."
_SLOWER = "Choose a protocol with a longer dwell time or a coarser raster, or shorten the readouts."
_GRADIENT = (
    "Do not use these images. Check spi_divider and update_interval_s in the hardware file, and the cable of the "
    "gradient board."
)
_NETWORK = "Check that nothing else uses the console and start the scan again."

_KNOWN: Final[tuple[tuple[str, Severity, str, str], ...]] = (
    (r"memory buffer underrun", Severity.ERROR, "The console ran out of instructions and stopped the sequence.", _SLOWER),
    (r"didn't copy \d+ bytes", Severity.ERROR, "The console ended before the whole sequence was loaded.", _AGAIN),
    (r"RX FIFO/s full", Severity.ERROR, "The receive buffer overflowed; samples were lost.", _SLOWER),
    (r"output buffers overflowed", Severity.ERROR, "Too many outputs changed at once; the console stopped.", _SLOWER),
    (r"(ocra1|gpa-fhdo) gradient error", Severity.ERROR, "The gradient board may have missed values.", _GRADIENT),
    (r"ocra1 data was lost", Severity.ERROR, "The gradient board lost a value before it was sent.", _GRADIENT),
    (r"FSM was not idle", Severity.WARNING, "The console was still busy when the run began; it was halted first.", _AGAIN),
    (r"memory buffer low", Severity.WARNING, "The console came close to running out of instructions.", _SLOWER),
    (r"RX FIFO/s almost filled", Severity.WARNING, "The receive buffer was nearly full; no sample was lost.", _SLOWER),
    (r"output buffers were full", Severity.WARNING, "Some output buffers were full; outputs were still on time.", _SLOWER),
    (r"output buffers were not empty", Severity.WARNING, "Some outputs were still waiting when the run ended.", _AGAIN),
    (r"GPAs not idle", Severity.WARNING, "The gradient board was still sending when the run ended.", _AGAIN),
    (r"no RX data received", Severity.INFO, "The receiver delivered no samples.", ""),
    (r"significantly different", Severity.ERROR, "The console's server has another major version.", "Update the server."),
    (r"version .* different from", Severity.WARNING, "The console's server has another minor version.", ""),
    (r"version .* differs slightly", Severity.INFO, "The console's server differs slightly in version.", ""),
    (r"not all client commands were understood", Severity.ERROR, "The console did not know a command.", _AGAIN),
    (r"no commands present", Severity.ERROR, "The console could not read the request.", _AGAIN),
    (r"too much mar mem data", Severity.ERROR, "The sequence does not fit into the console's memory.", _SLOWER),
    (r"mar mem data bytes copied", Severity.INFO, "The console took the instructions.", ""),
    (r"acquisition retry limit", Severity.ERROR, "The console refused a setting.", _AGAIN),
    (r"FPGA clock control words", Severity.ERROR, "The console refused its clock setting.", _AGAIN),
    (r"[Ee]mergency stop", Severity.ERROR, "The console has no emergency stop of its own.", "Use Stop in this program."),
    (r"Shutting down server", Severity.WARNING, "The console's server is shutting down.", _NETWORK),
)

_SEVERITY: Final[Mapping[str, Severity]] = {
    "errors": Severity.ERROR,
    "warnings": Severity.WARNING,
    "infos": Severity.INFO,
}
UNKNOWN_REMEDY: Final = "Note the message and start the scan again; if it happens again, restart the console."


def explain(kind: str, original: str) -> DeviceMessage:
    """One of the server's strings for the operator; ``kind`` is ``errors``, ``warnings`` or ``infos``.

    Loss of a gradient value, which the server only warns of, counts as an error. An unknown string is passed through.
    """
    for pattern, severity, text, _ in _KNOWN:
        if re.search(pattern, original):
            worse = severity is Severity.ERROR or _SEVERITY[kind] is Severity.ERROR
            return DeviceMessage(severity=Severity.ERROR if worse else severity, text=text, original=original)
    return DeviceMessage(severity=_SEVERITY[kind], text=f"The console says: {original}", original=original)


def remedy_for(original: str) -> str:
    """What the operator does about one of the server's strings."""
    return next((remedy for pattern, _, _, remedy in _KNOWN if remedy and re.search(pattern, original)), UNKNOWN_REMEDY)


def explain_all(messages: Mapping[str, Iterable[str]]) -> tuple[DeviceMessage, ...]:
    """Every message of a reply, errors first."""
    return tuple(explain(kind, text) for kind in _SEVERITY for text in messages.get(kind, ()))
