# SPDX-License-Identifier: MIT
"""Which way the console's transmit phase turns, as a loop-back has shown it once: what is kept of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from isocenter.app.finding import Finding
from isocenter.app.service import Health
from isocenter.domain.calibration import Quantity, RefusedCalibration
from isocenter.domain.errors import StorageError
from isocenter.domain.scanner import Scanner
from isocenter.storage.calibrations import CalibrationStore

DIRECTION: Final = "Direction of the transmit phase"
_CONFIRM: Final = "Run `isocenter doctor --loop-back` once, as docs/conventions.md says."


def confirmation(scanner: Scanner, folder: Path, *, is_real: bool) -> Finding:
    """Whether somebody has confirmed the direction of the transmit phase on this scanner, and whether the file agrees."""
    try:
        entries = store_of(scanner, folder, is_real=is_real).history(Quantity.TX_PHASE_SIGN)
    except StorageError as error:
        return Finding(what=DIRECTION, health=Health.BAD, text=error.problem, remedy=error.remedy)
    if not entries:
        return Finding(
            what=DIRECTION,
            health=Health.UNKNOWN,
            text="not confirmed: it follows the console's public design, and nobody has measured this board",
            remedy=_CONFIRM,
        )
    entry = entries[-1]
    at = datetime.fromtimestamp(entry.written.wall_s, tz=UTC).astimezone()
    said = f"on {at:%Y-%m-%d %H:%M} by {entry.by or 'somebody'}"
    if isinstance(entry.content, RefusedCalibration):
        text = f"not confirmed: the loop-back {said} found it {entry.content.reason}"
        return Finding(what=DIRECTION, health=Health.UNKNOWN, text=text, remedy=_CONFIRM)
    sign = round(entry.content.value[0])
    if sign == scanner.console.tx_phase_sign:
        return Finding(what=DIRECTION, health=Health.GOOD, text=f"confirmed {said}, with tx_phase_sign {sign}")
    return Finding(
        what=DIRECTION,
        health=Health.BAD,
        text=f"the loop-back {said} asks for tx_phase_sign {sign}, the hardware file has {scanner.console.tx_phase_sign}: "
        "slices beside the isocentre would be taken at the opposite place",
        remedy=f"Scan nobody. Correct tx_phase_sign under [console] of the hardware file '{scanner.name}', then repeat the "
        "loop-back.",
    )


def contradiction(scanner: Scanner, folder: Path, *, is_real: bool) -> str:
    """What the newest loop-back asks for, when the hardware file has the opposite; else, and when nobody knows, empty."""
    try:
        entries = store_of(scanner, folder, is_real=is_real).history(Quantity.TX_PHASE_SIGN)
    except StorageError:
        return ""
    if not entries or isinstance(entries[-1].content, RefusedCalibration):
        return ""
    sign = round(entries[-1].content.value[0])
    return "" if sign == scanner.console.tx_phase_sign else f"It asks for tx_phase_sign {sign}."


def store_of(scanner: Scanner, folder: Path, *, is_real: bool) -> CalibrationStore:
    """Where calibrations of this scanner are kept; what a simulated console says is nothing to a real one."""
    return CalibrationStore(folder, f"{'' if is_real else 'virtual-'}{scanner.name}")
