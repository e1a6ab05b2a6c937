# SPDX-License-Identifier: MIT
"""What the RF monitor measures stands beside what was computed, is written down, and stops or warns when it is too much."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.safety.conftest import LONG, PERSON, STRONG_W, strong_scanner

from isocenter.app.control_journal import FILE
from isocenter.app.exams import new_exam
from isocenter.app.measured_power import measured_now
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.exposure import Label
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import OperatingMode
from isocenter.domain.scan import EndReason
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.peripherals.boxes import VirtualBoxes
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.plant_model import PlantSignalModel
from isocenter.virtual.physics.scenario import find_scenario

SHORT_WINDOW = 0.25
"""A shot is a twentieth of 10 s, and the box's clock and the scan's part by some of them on a computer that is slow."""
OPTIONS = {"w_per_adc2": 1e-4, "tells_while_watching": 1.0}


@contextmanager
def rig(folder: Path, file_w: float = STRONG_W, amplifier_w: float = STRONG_W, options: dict[str, float] = OPTIONS):
    """A scanner whose amplifier may give another power than its hardware file says."""
    scanner = strong_scanner(file_w)
    monitor = DeviceLink(role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url="monitor", options=options)
    boxes = VirtualBoxes(scanner.magnet.larmor_hz, (monitor,), is_real_time=False)
    scenario = replace(find_scenario("ideal-block"), n_spins=200)
    model = PlantSignalModel(BlochSignalModel(scanner, scenario), strong_scanner(amplifier_w), scenario, boxes)
    server = VirtualConsoleServer(
        signal_model=model, board=scanner.gradients.board, segment_gap_s=scanner.console.segment_gap_s
    )
    server.on_end = model.ended
    with boxes, server:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port), devices=boxes.links)
        session = ScannerSession(placed, is_virtual=True, pace="none")
        session.set_frequency(scanner.magnet.larmor_hz)
        session.control.begin(folder)
        try:
            yield session, boxes
        finally:
            session.close()


def measure(session, folder, on_progress=None):
    exam = new_exam(PERSON, PatientPosition.HFS, "HEAD")
    prepared = prepare(LONG, session.scanner, session.calibration, PatientPosition.HFS, session.situation(exam))
    path, result = session.measure(prepared, exam, folder / "scans", cancel=threading.Event(), on_progress=on_progress)
    predicted = {one.title: one for one in prepared.safety.exposures}
    return path, result, predicted


def journal(path: Path, event: str) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if event in (line.get("event"), line.get("kind"))]


def test_measured_sar_stands_beside_the_computed_one_and_in_both_journals(tmp_path):
    with rig(tmp_path) as (session, _):
        live = []

        def look(_):
            now = measured_now(session.supervisor.devices)
            if now.is_known:
                subject = session.situation(new_exam(PERSON, PatientPosition.HFS, "HEAD")).subject
                live.append({one.title: one for one in now.exposures(session.scanner, subject, OperatingMode.NORMAL)})

        path, result, predicted = measure(session, tmp_path, look)
        assert result.reason is EndReason.COMPLETED
        assert not session.supervisor.faults
    shown = live[-1]["measured head SAR in 10 s"]
    assert shown.label is Label.MEASURED
    assert shown.value == pytest.approx(predicted["head SAR in 10 s"].value, rel=SHORT_WINDOW)
    assert shown.limit == predicted["head SAR in 10 s"].limit
    (line,) = journal(tmp_path / FILE, "rf_power")
    assert line["folder"] == path.name
    for window, rel in (("10s", SHORT_WINDOW), ("6min", 0.05)):
        assert line[f"measured_{window}_w"] == pytest.approx(line[f"predicted_{window}_w"], rel=rel)
    (line,) = journal(path / "journal.jsonl", "rf_power")
    assert {one["label"] for one in line["exposures"]} == {"measured"}


def test_a_monitor_that_tells_only_when_it_is_stopped_is_asked_after_the_scan(tmp_path):
    with rig(tmp_path, options={"w_per_adc2": 1e-4}) as (session, _):
        seen = []
        measure(session, tmp_path, lambda _: seen.append(measured_now(session.supervisor.devices).is_known))
        assert not any(seen)
    (line,) = journal(tmp_path / FILE, "rf_power")
    assert line["measured_6min_w"] == pytest.approx(line["predicted_6min_w"], rel=0.05)


def test_far_more_power_than_was_computed_is_told(tmp_path):
    with rig(tmp_path, file_w=STRONG_W / 2, amplifier_w=0.75 * STRONG_W) as (session, _):
        _, result, _ = measure(session, tmp_path)
        assert result.reason is EndReason.COMPLETED, "0.6 of the limit"
        (fault,) = session.supervisor.faults
        assert fault.name == "rf_above_predicted"
        assert "W computed" in fault.detail
        assert session.supervisor.state is ScannerState.READY


def test_measured_sar_above_its_limit_stops_even_if_the_box_does_not(tmp_path):
    with rig(tmp_path, amplifier_w=3 * STRONG_W) as (session, boxes):
        far = boxes.device(DeviceRole.SAR_MONITOR)
        far._limits = {"l10s": 4095**2, "l6m": 4095**2, "tran": 4095}
        configure = far._configure
        far._configure = lambda text: () if text[0] in "lt" else configure(text)
        path, result, _ = measure(session, tmp_path)
        assert result.reason is EndReason.ABORTED
        assert session.supervisor.state is ScannerState.SAFE
        assert session.supervisor.cause.name in ("sar_10s", "sar_6min")
        assert "measured head SAR" in session.supervisor.cause.detail
    assert journal(path / "journal.jsonl", "rf_power")
