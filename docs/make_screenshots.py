# SPDX-License-Identifier: MIT
"""Makes docs/screenshots/exam-*.png from the real program: ``python docs/make_screenshots.py [FOLDER]``.

It drives the virtual scanner, takes about a minute and needs no screen. Each picture is what a person would see;
nothing in it is drawn by hand.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PIL import Image
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from isocenter.app.service import ItemState
from isocenter.app.window import WindowChoice, open_service
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient, Sex
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell
from isocenter.ui.theme import apply_theme

SMALL, LARGE = (1366, 768), (1920, 1080)
LONGEST_S = 100


def main(out: Path) -> None:
    """All pictures, in the order of an exam."""
    out.mkdir(parents=True, exist_ok=True)
    app = QApplication(["isocenter"])
    apply_theme(app)
    shell = Shell()
    shell.resize(*SMALL)
    shell.show()
    with tempfile.TemporaryDirectory() as folder:
        service = open_service(WindowChoice(), Path(folder))
        try:
            program = Program(shell, service)
            pictures(program, out)
            program.detach()
        finally:
            service.close()
    shell.may_close = True
    shell.close()


def pictures(program: Program, out: Path) -> None:  # noqa: PLR0915  one walk, step by step
    """Walk through an exam."""
    shell, exam = program.shell, program.exam

    def save(name: str) -> None:
        settle()
        path = out / f"exam-{name}.png"
        shell.grab().save(str(path))
        Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)

    save("nobody")
    program.commands.register()
    sheet = shell.sheet
    for name, text in (
        ("patient_id", "000231"),
        ("family_name", "Sample"),
        ("given_name", "Patient"),
        ("birth_date", "1984-03"),
    ):
        sheet.inputs[name].setText(text)
        sheet.inputs[name].textEdited.emit(text)
    save("register")
    sheet.dismiss()
    patient = Patient(
        patient_id="000231",
        family_name="Sample",
        given_name="Patient",
        birth_date=date(1984, 3, 7),
        sex=Sex.FEMALE,
        weight_kg=68.0,
    )
    exam.register(patient, PatientPosition.HFS, "HEAD")
    save("registered")
    brain = next(item for item in exam.programmes() if item.name == "Brain, routine")
    short = replace(brain.protocols[3], parameters={**brain.protocols[3].parameters, "n_slab": 18, "n_phase": 88})
    exam.add((*brain.protocols[:3], short, *brain.protocols[4:]))
    until(lambda: all(item.check is not None for item in exam.items))
    save("waiting")
    exam.select(exam.items[3].item_id)
    field = program.place.parameters.rows["tr_s"].input
    field.setText("abc")
    field.textEdited.emit("abc")
    save("refused")
    field.setText("20")
    field.textEdited.emit("20")
    exam.editor.commit()
    until(lambda: exam.items[3].check is not None)
    save("beyond-limits")
    exam.editor.reset()
    exam.editor.commit()
    exam.start()
    until(lambda: exam.items[3].state is ItemState.SCANNING and fraction(program) > 0.5)
    save("scanning")
    shell.resize(*LARGE)
    save("scanning-1920")
    shell.resize(*SMALL)
    program.commands.quit()
    save("closing")
    shell.sheet.dismiss()
    until(lambda: exam.items[3].state is ItemState.DONE)
    exam.stop()
    until(lambda: not exam.status.is_running)
    exam.select(exam.items[3].item_id)
    save("done-and-stopped")
    program.commands.export()
    save("export")
    shell.sheet.dismiss()
    program.commands.show_keys()
    save("keys")
    shell.sheet.dismiss()
    program.commands.go_to(program.scanner)
    save("scanner")
    program.commands.go_to(program.place)
    for name, family, given in (
        ("arabic", "المريض التجريبي الطويل الاسم", "عبد الرحمن"),
        ("chinese", "范例患者", "一二三四五六七八九十"),
    ):
        exam.end_exam()
        exam.register(Patient(patient_id="5" * 40, family_name=family, given_name=given), PatientPosition.FFDL, "HEAD")
        settle()
        exam.add(tuple(replace(item, name=f"{item.name} {'with a very long name ' * 3}") for item in brain.protocols[:2]))
        save(name)


def fraction(program: Program) -> float:
    """How far the running scan's picture is."""
    series = program.place.viewers.main.model.series
    return series.fraction if series is not None and series.title.startswith("T2") else 0.0


def settle(time_ms: int = 250) -> None:
    """Let the window catch up."""
    loop = QEventLoop()
    QTimer.singleShot(time_ms, loop.quit)
    loop.exec()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something, with the window alive."""
    end_s = time.monotonic() + LONGEST_S
    while not is_so():
        if time.monotonic() > end_s:
            raise TimeoutError("The scan did not get there in time.")
        settle(20)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "screenshots")
