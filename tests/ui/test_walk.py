# SPDX-License-Identifier: MIT
"""Whole exams on the real service and the virtual console, as a person does them."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PySide6.QtCore import Qt

from isocenter.app.exam_service import ExamService
from isocenter.app.service import Health, ImageChanged, ItemState, QueueChanged
from isocenter.app.session import ScannerSession
from isocenter.domain.geometry import Orientation, PatientPosition
from isocenter.domain.patient import Patient
from isocenter.domain.scan import Prescription
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell


def test_register_queue_start_watch_export(program, qtbot, quick, tmp_path):
    exam, shell = program.exam, program.shell
    qtbot.keyClick(shell, Qt.Key.Key_F10)
    qtbot.waitUntil(lambda: exam.exam is not None)
    assert shell.banner.virtual.isVisible()
    sagittal = replace(quick, name="Sagittal", prescription=Prescription(orientation=Orientation.SAGITTAL))
    exam.add((quick, sagittal))
    fractions, order = [], []
    exam.images_changed.connect(lambda item: fractions.append((item, exam.images.of(item).fraction)) if item else None)
    exam.queue_changed.connect(lambda: order.append(tuple(item.state for item in exam.items)))
    qtbot.waitUntil(lambda: not exam.why_not_start() and all(item.check for item in exam.items), timeout=20_000)
    qtbot.keyClick(shell, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: all(item.state is ItemState.DONE for item in exam.items), timeout=40_000)
    qtbot.waitUntil(lambda: not exam.status.is_running)

    first, second = (item.item_id for item in exam.items)
    assert [item for item, _ in fractions].index(first) < [item for item, _ in fractions].index(second)
    assert (ItemState.DONE, ItemState.WAITING) in order or (ItemState.DONE, ItemState.PREPARING) in order
    assert fractions[-1] == (second, 1.0)
    planes = program.place.viewers.planes
    assert planes[Orientation.AXIAL].model.series.item_id == first
    assert planes[Orientation.SAGITTAL].model.series.item_id == second
    assert planes[Orientation.SAGITTAL].model.letters().left == "A"
    assert planes[Orientation.CORONAL].model.series is None
    shown = program.place.viewers.main.model
    assert shown.series.item_id == second
    assert shown.series.patient_name == "PHANTOM, Virtual"
    assert shown.frame().max() > 200

    exam.export((first, second), tmp_path)
    qtbot.waitUntil(lambda: bool(shell.messages.texts), timeout=20_000)
    files = sorted(tmp_path.rglob("*.dcm"))
    assert f"files were written to {tmp_path}" in shell.messages.texts[0]
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 2
    assert {str(pydicom.dcmread(file).PatientName) for file in files} == {"Phantom^Virtual"}
    row = np.array(pydicom.dcmread(files[-1]).ImageOrientationPatient[:3], float)
    np.testing.assert_allclose(row, shown.current()[0].geometry.row_direction, atol=1e-6)


def test_nothing_of_one_patient_is_seen_in_the_exam_of_the_next(program, qtbot, quick):
    exam = program.exam
    exam.register(Patient(patient_id="1", family_name="First"), PatientPosition.HFS, "HEAD")
    exam.add((quick,))
    exam.start()
    qtbot.waitUntil(lambda: exam.items and exam.items[0].state is ItemState.DONE, timeout=40_000)
    qtbot.waitUntil(lambda: not exam.status.is_running)
    old = exam.images.newest
    assert old.patient_name == "FIRST"
    exam.register(Patient(patient_id="2", family_name="Second"), PatientPosition.HFS, "HEAD")
    qtbot.waitUntil(lambda: exam.exam.patient.patient_id == "2")
    late = ImageChanged(exam_id=old.exam_id, item_id=old.item_id, title=old.title, volumes=old.volumes, fraction=1.0)
    program.exam._relay.post(late)
    qtbot.wait(120)
    assert exam.images.newest is None
    assert all(pane.model.series is None for pane in program.place.viewers.panes)
    assert exam.items == ()
    assert program.shell.banner.name.text() == "SECOND"


def test_a_console_that_does_not_answer_is_told_in_words_and_nothing_is_green(service, qtbot, quick, tmp_path):
    link = replace(service.scanner.console, host="127.0.0.1", port=1)
    session = ScannerSession(replace(service.scanner, console=link), is_virtual=False)
    broken = ExamService(session, tmp_path, is_prescan_at_start=False)
    shell = Shell()
    shell.resize(1366, 768)
    shell.show()
    program = Program(shell, broken)
    try:
        lights = {light.name: light.health for light in program.exam.status.lights}
        assert lights["Console"] in (Health.UNKNOWN, Health.BAD)  # it is asked at once; how that ends may be known already
        assert not shell.banner.virtual.isVisible()
        program.exam.register_phantom()
        program.exam.add((quick, quick))
        program.exam.start()
        qtbot.waitUntil(lambda: program.exam.items[0].state is ItemState.FAILED, timeout=30_000)
        qtbot.waitUntil(lambda: not program.exam.status.is_running)
        assert program.exam.items[1].state is ItemState.WAITING
        assert "What to do" in program.exam.items[0].note
        qtbot.waitUntil(lambda: bool(shell.messages.texts))
        lights = {light.name: light.health for light in program.exam.status.lights}
        assert lights["Console"] is Health.BAD
        assert Health.GOOD not in {lights["Magnet"], lights["RF amplifier"], lights["Gradients"]}
    finally:
        program.detach()
        broken.close()
        shell.may_close = True
        shell.close()


@pytest.mark.parametrize("sequence", ["noise", "fid"])
def test_a_scan_without_pictures_ends_well(program, qtbot, sequence):
    exam = program.exam
    exam.register_phantom()
    exam.add_sequence(next(info for info in exam.sequences() if info.name == sequence))
    exam.start()
    qtbot.waitUntil(lambda: exam.items[0].state not in (ItemState.WAITING,) and not exam.status.is_running, timeout=30_000)
    assert exam.items[0].state is ItemState.DONE, exam.items[0].note
    assert exam.images.newest is None


def test_two_exams_in_a_row_keep_their_own_pictures_apart_in_the_queue(program, qtbot, quick):
    """An event of the queue that belongs to the exam before cannot bring its entries back."""
    exam = program.exam
    exam.register(Patient(patient_id="1", family_name="First"), PatientPosition.HFS, "HEAD")
    exam.add((quick, quick))
    stale = exam.items
    exam.register(Patient(patient_id="2", family_name="Second"), PatientPosition.HFS, "HEAD")
    exam._relay.post(QueueChanged(items=stale))
    qtbot.wait(120)
    assert exam.items == ()
    assert exam.queue.rowCount() == 0
    assert exam.editor.protocol is None
