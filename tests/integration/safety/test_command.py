# SPDX-License-Identifier: MIT
"""``isocenter scan`` tells exposures, refuses with the advice, and knows what other programs have played."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.app.exams import new_exam
from isocenter.cli.main import main
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.patient import Patient

HARDWARE = Path(__file__).parents[3] / "hardware_configs" / "osii-one.toml"
LARGEST_W = 100e3
"""More than a hardware file may say is refused."""
SHORT = ("n_read=32", "n_phase=8", "n_slab=2", "tr_s=500ms", "dummy_shots=0", "flip_rad=50deg")
LONG = {"n_read": 32, "n_phase": 120, "n_slab": 2, "tr_s": 0.5, "dummy_shots": 0, "flip_rad": 0.87}


@pytest.fixture
def desk(make_desk):
    return make_desk(lambda scanner: replace(scanner, safety=replace(scanner.safety, forward_power_w=LARGEST_W)))


@pytest.fixture
def scan(desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable:
    """The command against a virtual scanner that goes on; gives its exit code and what it said."""
    strong = tmp_path / "osii-one.toml"
    text, n = re.subn(
        r"forward_power_w = \{ value = 33,", f"forward_power_w = {{ value = {LARGEST_W},", HARDWARE.read_text()
    )
    assert n == 1
    strong.write_text(text)
    monkeypatch.setenv("ISOCENTER_DATA", str(desk.folder))
    link = desk.scanner.console
    frequency = f"{desk.scanner.magnet.larmor_hz * 1e-6:.6f}"

    def run(name: str, *more: str) -> tuple[int, str]:
        options = ["--scanner", strong, "--host", link.host, "--port", link.port, "--frequency", frequency]
        sizes = [part for text in SHORT for part in ("-p", text)]
        words = ["isocenter", "scan", "gre_3d", *options, *sizes, "--out", tmp_path / name, *more]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


PERSON = ("--patient-id", "P1", "--patient-name", "Doe^Jo", "--weight", "3", "--birth-date", "2024-02-29")


def test_it_tells_exposures_and_refuses_with_wait_what_another_program_has_used_up(desk, scan, tmp_path):
    code, said = scan("one", *PERSON)
    assert code == 0, said
    assert re.search(r"head SAR in 10 s: [\d.]+ of 6\.4 W/kg, \d+ % \(bound\)", said)
    assert "nerve stimulation" in said
    assert "x gradient coil warming: unknown" in said
    request = json.loads(next((tmp_path / "one").glob("*/scan.json")).read_text())["request"]
    assert request["exam"]["patient"]["weight_kg"] == 3.0
    assert request["exam"]["patient"]["birth_date"] == "2024-02-29"
    assert request["safety"]["mode"] == "normal"
    session = desk.program()
    baby = new_exam(Patient(patient_id="P2", family_name="Roe", weight_kg=3.0), PatientPosition.HFS, "HEAD")
    for n_phase in (120, 89):  # 54 and 40 % of the limit; the command's own scan, 4 %, makes it full
        long = replace(desk.long, parameters=LONG | {"n_phase": n_phase})
        desk.measure(session, desk.prepare(session, baby, long), baby)
    session.close()
    code, said = scan("two", *PERSON)
    assert code == 1, said
    assert "head SAR in 6 min" in said
    assert re.search(r"What to do: Wait \d+ ", said)
    assert not (tmp_path / "two").exists()


def test_without_a_patient_it_says_what_does_not_hold(scan):
    code, said = scan("phantom", "--name", "bottle")
    assert code == 0, said
    assert "No patient was named: limits that protect people do not hold." in said
    assert "head SAR" not in said


def test_a_weight_without_a_name_is_not_taken_for_a_phantom(scan):
    code, said = scan("nameless", "--weight", "70")
    assert code == 1
    assert "The patient ID is missing" in said
    code, said = scan("wrong", "--weight", "nan")
    assert code == 2
    assert "nan is not a number" in said
