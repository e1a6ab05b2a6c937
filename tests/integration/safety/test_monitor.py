# SPDX-License-Identifier: MIT
"""The RF monitor at the far end of its line is told what this patient may take, before anything is played."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.app.exams import new_exam
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.compiler.check import allowed_forward_power_w
from isocenter.config.hardware import load_scanner
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, Subject
from isocenter.domain.patient import Patient
from isocenter.domain.scan import EndReason, Protocol
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.peripherals.boxes import VirtualBoxes
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

W_PER_SQUARE = 1e-4
MONITOR = DeviceLink(
    role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url="monitor", options={"w_per_adc2": W_PER_SQUARE}, is_required=True
)
SHORT = Protocol(
    name="Short", sequence="gre_3d", parameters={"n_read": 32, "n_phase": 40, "n_slab": 2, "tr_s": 0.1, "dummy_shots": 0}
)


@pytest.fixture
def rig(tmp_path: Path):
    """A session on a scanner whose only box is the monitor; nerves lie between normal and first level mode."""
    scanner = load_scanner("osii-one")
    boxes = VirtualBoxes(scanner.magnet.larmor_hz, (MONITOR,))
    server = VirtualConsoleServer(
        signal_model=BlochSignalModel(scanner, replace(find_scenario("ideal-block"), n_spins=200)),
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    with boxes, server:
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port), devices=boxes.links)
        session = ScannerSession(placed, is_virtual=True, pace="none")
        session.set_frequency(scanner.magnet.larmor_hz)
        try:
            yield session, boxes, tmp_path
        finally:
            session.close()


def limits_while_playing(rig, patient: Patient, body_part: str, side: str = "", *, first_level: bool = False):
    session, boxes, folder = rig
    if first_level:
        probe = prepare(SHORT, session.scanner, session.calibration, PatientPosition.HFS)
        bound = next(one for one in probe.safety.exposures if one.name == "nerve stimulation").value
        radius_m = session.scanner.magnet.bore_m / 2 * 0.9 / bound
        safety = replace(session.scanner.safety, nerve_radius_m=radius_m)
        session.scanner = replace(session.scanner, safety=safety)
    exam = new_exam(patient, PatientPosition.HFS, body_part, laterality=side)
    confirmation = FirstLevelConfirmation(name="Dr. Ada", at="2026-01-01T00:00:00+00:00") if first_level else None
    situation = session.situation(exam, confirmation)
    prepared = prepare(SHORT, session.scanner, session.calibration, PatientPosition.HFS, situation)
    box, seen = boxes.device(DeviceRole.SAR_MONITOR), []

    def look(progress):
        if progress.segment == 1:
            seen.append((box.is_watching, box.limits))

    _, result = session.measure(prepared, exam, folder, cancel=threading.Event(), on_progress=look)
    assert result.reason is EndReason.COMPLETED
    assert not box.is_watching, "it blanks again after the scan"
    ((watching, limits),) = seen
    assert watching
    squares = limits | {"tran": limits["tran"] ** 2}  # the peak is told as an amplitude
    return {name: square * W_PER_SQUARE for name, square in squares.items()}, prepared.safety.mode


def test_each_patient_has_limits_of_his_own(rig):
    scanner = rig[0].scanner
    baby = Patient(patient_id="B", family_name="Doe", weight_kg=3.0)
    limits, _ = limits_while_playing(rig, baby, "HEAD")
    ten_s_w, six_min_w = allowed_forward_power_w(scanner, Subject(body_part="HEAD", weight_kg=3.0), OperatingMode.NORMAL)
    assert six_min_w == pytest.approx(3.2 * 0.06 * 3.0)
    assert limits["l6m"] == pytest.approx(six_min_w, rel=1e-3)
    assert limits["l10s"] == pytest.approx(ten_s_w, rel=1e-3)
    assert limits["tran"] == pytest.approx(33 * 1.25, rel=4e-3)
    adult = Patient(patient_id="A", family_name="Doe", weight_kg=80.0)
    limits, _ = limits_while_playing(rig, adult, "HEAD")
    assert limits["l6m"] == pytest.approx(3.2 * 4.0, rel=1e-3)


def test_a_patient_whom_nobody_weighed_counts_as_a_light_one(rig):
    limits, _ = limits_while_playing(rig, Patient(patient_id="U", family_name="Doe"), "HEAD")
    assert limits["l6m"] == pytest.approx(3.2 * 0.06 * 2.0, rel=2e-3)


def test_what_a_person_confirmed_reaches_the_monitor(rig):
    patient = Patient(patient_id="K", family_name="Doe", weight_kg=80.0)
    normal, mode = limits_while_playing(rig, patient, "ABDOMEN")
    assert mode is OperatingMode.NORMAL
    first, mode = limits_while_playing(rig, patient, "ABDOMEN", first_level=True)
    assert mode is OperatingMode.FIRST_LEVEL
    assert first["l6m"] > normal["l6m"]
