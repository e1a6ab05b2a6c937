# SPDX-License-Identifier: MIT
"""Makes docs/screenshots/exam-*.png from the real program: ``python docs/make_screenshots.py [FOLDER]``.

It drives the virtual scanner, takes about five minutes and needs no screen. Each picture is what a person would see;
nothing in it is drawn by hand. On a computer that is busy with something else a scanner may be stopped, as it should be when
its devices are not heard in time; that part is then done once more.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PIL import Image
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from isocenter.app.service import ItemState
from isocenter.app.window import WindowChoice, open_service
from isocenter.config.paths import shipped_dir
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient, Sex
from isocenter.domain.scan import Protocol
from isocenter.recon.defaults import default_pipeline
from isocenter.ui.program import Program
from isocenter.ui.shell import Shell
from isocenter.ui.theme import apply_theme

SMALL, LARGE = (1366, 768), (1920, 1080)
LONGEST_S = 400
TRIES = 4


class Interrupted(Exception):
    """The scanner was stopped, and not by the walk."""


def main(out: Path) -> None:
    """All pictures, in the order of an exam."""
    out.mkdir(parents=True, exist_ok=True)
    app = QApplication(["isocenter"])
    apply_theme(app)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "config"
        os.environ["XDG_CONFIG_HOME"] = str(own)  # nothing of whoever makes the pictures is seen in them
        walks = (("osii-one-brain", pictures), ("noisy-ward", derived_pictures), ("service-ball", service_pictures))
        add_denoising(own / "isocenter" / "sequences")
        for number, (scenario, walk) in enumerate(walks):
            for one in range(TRIES):
                try:
                    take(scenario, walk, Path(folder) / f"{number}-{one}", out)
                    break
                except Interrupted:
                    if one == TRIES - 1:
                        raise
    make_small(out)


def take(scenario: str, walk: Callable[[Program, Callable[[str], None]], None], folder: Path, out: Path) -> None:
    """One walk in a window of its own, on a scanner that knows nothing of the others."""
    folder.mkdir()
    shell = Shell()
    shell.resize(*SMALL)
    shell.show()
    service = open_service(WindowChoice(scenario=scenario), folder)
    try:
        program = Program(shell, service)
        shown[:] = [program]
        walk(program, partial(save_to, out, shell))
    finally:
        for program in shown:
            program.detach()
        shown.clear()
        service.close()
        shell.may_close = True
        shell.close()


shown: list[Program] = []
"""What is walked through just now."""


def save_to(out: Path, shell: Shell, name: str) -> None:
    """Keep what is seen now; made small at the end, since a window that does not react for a second stops the scanner."""
    settle()
    shell.grab().save(str(out / f"exam-{name}.png"), quality=100)  # 100: not compressed, which is fast
    settle(20)


def make_small(out: Path) -> None:
    """Few colours and good compression."""
    for path in sorted(out.glob("exam-*.png")):
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def pictures(program: Program, save: Callable[[str], None]) -> None:  # noqa: PLR0915  one walk, step by step
    """Walk through an exam."""
    shell, exam = program.shell, program.exam
    save("nobody")
    program.commands.choose_scenario()
    until(lambda: bool(program.scenarios.entries))
    save("scenario")
    program.scenarios.select("noisy-ward")
    program.scenarios.toggle_wrong()
    save("scenario-wrong")
    shell.sheet.dismiss()
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
    prescan_pictures(program, save)
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
    program.commands.show_exposure()
    save("exposure")
    shell.sheet.dismiss()
    exam.editor.reset()
    exam.editor.commit()
    until(lambda: not exam.why_not_start())
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
    until(lambda: exam.status.is_running and exam.items[4].state is ItemState.SCANNING)
    exam.stop()
    until(lambda: not exam.status.is_running and program.commands.control.verdict[0] != "unknown")
    save("stopped")
    program.commands.go_to(program.scanner)
    save("scanner-stopped")
    program.commands.make_ready()
    save("make-ready")
    shell.sheet.person.setText("A. Technologist")
    shell.sheet.submit()
    until(lambda: not program.commands.control.is_stopped)
    program.commands.go_to(program.place)
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


def prescan_pictures(program: Program, save: Callable[[str], None]) -> None:
    """One button, all steps, on the scanner's devices."""
    program.commands.go_to(program.prescan)
    settle()
    program.commands.prescan.run()
    until(lambda: (step := program.commands.prescan.status.current) is not None and step.name == "transmit_power")
    save("prescan-running")
    until(lambda: not program.exam.status.is_running)
    save("prescan")
    program.commands.go_to(program.place)


def add_denoising(folder: Path) -> None:
    """A sequence of one's own whose pipeline gives a second series."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (shipped_dir("sequences") / "gre_3d.py").read_text(encoding="utf-8")
    steps = [order.step for order in default_pipeline("cartesian")]
    steps.insert(steps.index("output"), "denoise")
    (folder / "gre_denoised.py").write_text(f"{text}\nTITLE = '3D GRE, denoised'\nPIPELINE = {steps!r}\n", encoding="utf-8")


def derived_pictures(program: Program, save: Callable[[str], None]) -> None:
    """A scan with a derived series, on a scanner that hears interference."""
    exam = program.exam
    exam.register_phantom()
    parameters = {"n_read": 96, "n_phase": 96, "n_slab": 8}
    exam.add((Protocol(name="T1 GRE axial, denoised", sequence="gre_denoised", parameters=parameters),))
    exam.start()
    until(lambda: exam.items[0].state is ItemState.DONE and not exam.status.is_running)
    program.place.viewers.toggle_compare()
    save("compare")
    program.commands.explain(program.place.viewers.derived.model)
    save("how-made")
    program.shell.sheet.dismiss()
    exam.end_exam()
    program.scenarios.load()
    until(lambda: bool(program.scenarios.entries))
    program.scenarios.draw()
    until(lambda: exam.status.is_exercise)
    program.commands.go_to(program.scanner)
    save("exercise")


def service_pictures(program: Program, save: Callable[[str], None]) -> None:
    """A scanner that nobody has calibrated: the word of a person, two calibrations, their history."""
    shell, service = program.shell, program.commands.service
    program.commands.go_to(program.service)
    save("service-never")
    program.commands.confirm_phantom()
    sheet = shell.sheet
    sheet.empty.setChecked(True)
    for line, text in zip(sheet.centre, ("16", "-8", "24"), strict=True):
        line.setText(text)
    sheet.person.setText("A. Service")
    save("service-phantom")
    sheet.submit()
    until(lambda: service.status.confirmation is not None)
    for name in ("gradient_currents", "gradient_scale"):
        until(lambda: not service.why_not_measure() or service.status.pending is not None)
        service.measure(name)
        until(lambda: service.status.current is not None)
        until(lambda: not program.exam.status.is_running and service.status.pending is not None)
        if name == "gradient_scale":
            save("service")
            shell.resize(*LARGE)
            save("service-1920")
            shell.resize(*SMALL)
        service.accept()
        until(lambda: service.status.pending is None)
    service.measure("gradient_scale")
    until(lambda: service.status.pending is not None)
    service.keep()
    until(lambda: service.status.pending is None)
    program.commands.show_calibration_history()
    save("service-history")
    shell.sheet.dismiss()


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
        for program in shown:
            if (cause := program.exam.service.control.cause) is not None:
                raise Interrupted(cause.problem, cause.detail)
        if time.monotonic() > end_s:
            raise TimeoutError("The scan did not get there in time.")
        settle(20)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "screenshots")
