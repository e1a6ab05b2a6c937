# SPDX-License-Identifier: MIT
"""Finding the frequency before the first scan: once at the last known one, then over the whole search span."""

from dataclasses import replace
from pathlib import Path
from threading import Event

from isocenter.acquisition.prescan.frequency import Frequency, measure_frequency
from isocenter.acquisition.prescan.search import FrequencySearch
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.domain.patient import Exam
from isocenter.domain.scan import Protocol
from isocenter.storage.stored import read_raw

_BAND_HZ = 100e3
_PROTOCOL = Protocol(name="Prescan frequency", sequence="frequency", parameters={"bandwidth_hz": _BAND_HZ, "averages": 4})


def find_frequency(session: ScannerSession, exam: Exam, parent: Path, *, cancel: Event) -> Frequency:
    """Measure the frequency and take it into use.

    Raises
    ------
    AcquisitionError
        No frequency can be told; nothing was changed. The problem says what was seen, the remedy what to do.
    ScanAborted
        Stop was pressed.
    """
    magnet, calibration = session.scanner.magnet, session.calibration
    allowed_hz = (magnet.larmor_hz - magnet.search_span_hz, magnet.larmor_hz + magnet.search_span_hz)
    search = FrequencySearch(calibration.larmor_hz, magnet.search_span_hz, _BAND_HZ, allowed_hz=allowed_hz)
    while (lo_hz := search.next_lo_hz()) is not None:
        session.require_not_stopped(cancel)
        at_lo = replace(calibration, larmor_hz=lo_hz)
        prepared = prepare(_PROTOCOL, session.scanner, at_lo, exam.position, session.situation(exam))
        with session.prescanning():
            path, _ = session.measure(prepared, exam, parent, cancel=cancel)
        session.require_not_stopped(cancel)
        search.report(measure_frequency(read_raw(path)))
    found = search.result()
    session.set_frequency(found.larmor_hz)
    return found
