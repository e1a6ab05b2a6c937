# SPDX-License-Identifier: MIT
"""Service calibrations from the command line: what is kept, and measuring some behind a person's word."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.service import ServicePhantom, service_steps
from isocenter.app.exam_service import ExamService
from isocenter.app.prescan_status import StepState
from isocenter.app.service_job import ServiceJob
from isocenter.app.service_status import ServiceRow
from isocenter.app.session import ScannerSession
from isocenter.domain.calibration import CalibrationValue
from isocenter.domain.errors import AcquisitionError, ConsoleError, ScanAborted, WrongState
from isocenter.domain.scanner import Scanner
from isocenter.storage.calibrations import CalibrationStore

_LOOK_S: Final = 0.05

Say = Callable[[str], None]
Decide = Callable[[ServiceRow], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOrder:
    """What the command line asked for.

    Attributes
    ----------
    names
        Which calibrations, in this order.
    person
        Who looked into the magnet.
    is_empty
        True when that person said that no patient is in it.
    """

    names: tuple[str, ...]
    person: str
    phantom: ServicePhantom
    is_empty: bool


def kept_calibrations(scanner: Scanner, folder: Path) -> list[dict[str, Any]]:
    """What is kept of every service calibration of a real scanner, without asking it anything.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    store = CalibrationStore(folder, scanner.name)
    job = ServiceJob(service_steps(), store, scanner, since_s=-math.inf, tell=lambda: None)
    now_s = time.time()
    rows = job.rows(now_s=now_s, temperature_c=math.nan, coil=scanner.receiver.coil_name)
    return [_kept(row, now_s) for row in rows]


def _kept(row: ServiceRow, now_s: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "is_used": row.is_used,
        "is_check": row.is_check,
        "why_again": row.why_again,
        "values": [{**_value(used.value, now_s), "why_not": used.why_not} for used in row.values],
    }


def _value(value: CalibrationValue, now_s: float) -> dict[str, Any]:
    """As plain JSON: unknown is null."""
    return {
        "quantity": value.quantity.value,
        "value": list(value.value),
        "sd": [_known(sd) for sd in value.sd],
        "age_s": _known(now_s - value.measured_at_s),
        "temperature_c": _known(value.temperature_c),
        "coil": value.coil,
        "phantom": value.phantom,
        "raw": value.raw,
    }


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def kept_text(kept: dict[str, Any]) -> str:
    """One line of the list for people; numbers are SI, as the quantity's name says."""
    head = f"{kept['name']:18} {kept['title']}"
    if not kept["values"]:
        return f"{head}: a check, not made yet" if kept["is_check"] else f"{head}: never measured"
    lines = [head + (f" (measure again: {kept['why_again']})" if kept["why_again"] else "")]
    for value in kept["values"]:
        numbers = " ".join(f"{number:.6g}" for number in value["value"])
        age = "age not known" if value["age_s"] is None else f"{value['age_s'] / 86_400:.1f} days old"
        warm = "temperature not known" if value["temperature_c"] is None else f"{value['temperature_c']:.1f} °C"
        state = f"does not hold: {value['why_not']}" if value["why_not"] else ("in use" if kept["is_used"] else "kept")
        phantom = f" · {value['phantom']}" if value["phantom"] else ""
        lines.append(f"{'':18} {value['quantity']} = {numbers} · {state} · {age} · {warm}{phantom}")
    return "\n".join(lines)


def check_names(names: Sequence[str]) -> None:
    """Refuse what is no service calibration, before anything is started.

    Raises
    ------
    WrongState
        The problem names it.
    """
    known = [step.name for step in service_steps()]
    for name in names:
        if name not in known:
            raise WrongState(f"There is no service calibration '{name}'.", f"Choose from {', '.join(known)}.")


def calibrate_once(
    order: ServiceOrder,
    scanner: Scanner,
    folder: Path,
    *,
    is_virtual: bool,
    cancel: Event,
    say: Say,
    decide: Decide,
) -> list[dict[str, Any]]:
    """Measure calibrations one after the other; ends at the first that is refused, on which others may build.

    Parameters
    ----------
    folder
        The data folder: values and raw data are kept there.
    decide
        Asked for each new value whether it is taken into use.

    Returns
    -------
        For each its name, verdict, text and whether it was taken into use.

    Raises
    ------
    ConsoleError
        It was refused, stopped, or could not be measured; the old value stays in use.
    """
    session = ScannerSession(scanner, is_virtual=is_virtual, pace="none" if is_virtual else "wall")
    try:
        session.control.begin(folder)
        session.connect()  # tells whether the console is a simulation, whose values are kept apart
    except ConsoleError:
        session.close()
        raise
    service = ExamService(session, folder)
    try:
        service.confirm_service(order.person, order.phantom, is_empty=order.is_empty)
        return [_calibrate(service, name, cancel, say, decide) for name in order.names]
    finally:
        service.close()


def _calibrate(service: ExamService, name: str, cancel: Event, say: Say, decide: Decide) -> dict[str, Any]:
    title = _row(service, name).title
    say(f"Measuring: {title}")
    service.measure_service(name)
    pause = Event()
    while service.status.is_running:
        if cancel.is_set():
            service.stop()
        pause.wait(_LOOK_S)
    row = _row(service, name)
    if row.state is StepState.STOPPED:
        status = service.service_calibrations
        kind: type[ConsoleError] = ScanAborted if cancel.is_set() else AcquisitionError
        raise kind(f"{title}: {status.problem}", f"{status.remedy} The old value stays in use.")
    if row.result.verdict is Verdict.FAIL:
        raise AcquisitionError(f"{title}: {row.result.text}", row.result.remedy)
    say(f"  {row.result.verdict or ''}: {row.result.text}")
    if row.result.remedy:
        say(f"  What to do: {row.result.remedy}")
    is_used = row.is_pending and decide(row)
    if row.is_pending:
        (service.accept_service if is_used else service.keep_service)(name)
    now_s = time.time()
    return {
        "name": name,
        "verdict": str(row.result.verdict or ""),
        "text": row.result.text,
        "remedy": row.result.remedy,
        "is_taken_into_use": is_used,
        "values": [_value(value, now_s) for value in row.result.values],
    }


def _row(service: ExamService, name: str) -> ServiceRow:
    row = service.service_calibrations.row(name)
    if row is None:
        status = service.service_calibrations
        raise WrongState(status.problem or f"There is no service calibration '{name}'.", status.remedy or "Choose another.")
    return row
