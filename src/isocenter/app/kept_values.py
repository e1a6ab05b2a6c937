# SPDX-License-Identifier: MIT
"""What service calibrations left, taken into use by a command that scans once, as the window does it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from isocenter.acquisition.prescan.snapshot import Snapshot, snapshot
from isocenter.app.board_currents import currents_of
from isocenter.app.prescan_bench import magnet_temperature_c
from isocenter.app.prescan_service import calibration_store
from isocenter.app.session import ScannerSession
from isocenter.domain.calibration import Quantity, UsedCalibration
from isocenter.domain.errors import WrongState

_ZERO_S: Final = 10.0
_TITLES: Final = {
    Quantity.GRADIENT_CURRENTS: "gradient currents",
    Quantity.GRADIENT_SCALE: "gradient strength",
    Quantity.GRADIENT_DELAY: "gradient delay",
    Quantity.SHIM: "shim",
}


def use_kept(session: ScannerSession, folder: Path, subject: str, *, now_s: float, say: Callable[[str], None]) -> None:
    """Have scans use what was calibrated on this scanner and still holds; says what that is, and why the rest is not used.

    For a session that is connected: nothing that is kept is of a virtual scanner, which begins anew each time.

    Parameters
    ----------
    folder
        The data folder.
    subject
        Identifier of the exam.
    now_s
        Seconds since 1970.

    Raises
    ------
    StorageError
        What is kept cannot be read.
    DeviceError
        The outputs could not be brought to the board's calibrated zero.
    """
    if session.is_virtual:
        return
    store, coil = calibration_store(folder, session), session.scanner.receiver.coil_name
    newest = (store.latest(quantity, coil=coil, subject=subject) for quantity in Quantity)
    values = tuple(value for value in newest if value is not None)
    found = snapshot(
        session.scanner,
        values,
        now_s=now_s,
        temperature_c=magnet_temperature_c(session),
        coil=coil,
        subject=subject,
    )
    now = session.calibration
    session.calibration = replace(found.calibration, larmor_hz=now.larmor_hz, measured_at=now.measured_at)
    used = tuple(one for one in found.used if one.quantity is not Quantity.LARMOR)  # that one is measured here
    session.used_calibrations = lambda: used
    measured = {value.quantity for value in values}
    if not _use_currents(session, found, say):
        measured.discard(Quantity.GRADIENT_CURRENTS)
    _tell([one for one in used if one.quantity in measured], say)


def _use_currents(session: ScannerSession, found: Snapshot, say: Callable[[str], None]) -> bool:
    """Whether there is anything left to be told of the board's currents."""
    kept = next((one.value for one in found.used if one.quantity is Quantity.GRADIENT_CURRENTS), None)
    if session.why_no_currents or kept is None:
        return not session.why_no_currents
    try:
        session.use_currents(currents_of(kept, session.scanner.gradients))
    except WrongState as error:
        say(f"Note: {error.problem} {error.remedy}")
        return False
    session.wait_until_safe(_ZERO_S)  # until then the board rests at another zero, which would block the scan
    return True


def _tell(measured: list[UsedCalibration], say: Callable[[str], None]) -> None:
    known = [one for one in measured if one.quantity in _TITLES]
    held = [f"{_TITLES[one.quantity]} ({_age(one.age_s)})" for one in known if one.value is not None]
    if held:
        say(f"Calibrated by service: {', '.join(held)}")
    for one in known:
        if one.value is None:
            say(f"Note: the kept {_TITLES[one.quantity]} is not used: {one.why_not}.")


def _age(age_s: float) -> str:
    return "age not known" if math.isnan(age_s) else f"{age_s / 86_400:.1f} days old"
