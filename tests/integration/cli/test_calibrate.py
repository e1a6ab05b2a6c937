# SPDX-License-Identifier: MIT
"""`isocenter calibrate`: what is kept, and measuring behind a person's word."""

import json
import time

import pytest

from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.storage.calibrations import CalibrationStore

WORD = ("--person", "A. Service", "--no-patient", "--centre", "16,-8,24")
VIRTUAL = ("--virtual", "--spins", "1500")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCENTER_DATA", str(tmp_path / "exams"))
    return tmp_path / "exams"


def test_what_was_never_measured_is_said_to_be_so(isocenter):
    said = isocenter("calibrate")
    assert said.code == 0
    lines = said.out.splitlines()
    assert len(lines) == 8
    assert "gradient_scale     Gradient strength and direction: never measured" in lines
    assert any("a check, not made yet" in line for line in lines)


def test_what_is_kept_is_listed_with_age_and_phantom(isocenter, folder):
    CalibrationStore(folder, "osii-one").accept(
        CalibrationValue(
            quantity=Quantity.GRADIENT_SCALE,
            value=(1.04, 1.0, 0.96),
            sd=(0.001, float("nan"), 0.001),
            measured_at_s=time.time() - 86_400 * 3,
            phantom="ball 7",
        )
    )
    said = isocenter("calibrate").out
    assert "gradient_scale = 1.04 1 0.96 · in use · 3.0 days old · temperature not known · ball 7" in said
    kept = {one["name"]: one for one in json.loads(isocenter("calibrate", "--json").out)}
    (value,) = kept["gradient_scale"]["values"]
    assert value["sd"] == [0.001, None, 0.001]
    assert value["temperature_c"] is None
    assert kept["gradient_delay"]["values"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gradient_scales", *WORD), "no service calibration 'gradient_scales'"),
        (("gradient_scale", "--person", "A. Service"), "no patient in the magnet"),
        (("gradient_scale", "--no-patient"), "who looked into the magnet"),
        (("gradient_scale", *WORD, "--diameter", "900"), "900 mm cannot be"),
        (("gradient_scale", "--person", "A. Service", "--no-patient", "--centre", "0,0,300"), "300 mm from the isocenter"),
    ],
)
def test_nothing_is_started_without_a_person_and_a_phantom(isocenter, arguments, words):
    assert words in isocenter("calibrate", *arguments, *VIRTUAL).refused()


def test_a_board_is_measured_and_taken_into_use(isocenter, folder):
    said = isocenter("calibrate", "gradient_currents", *WORD, *VIRTUAL, "--accept", "--json")
    assert said.code == 0, said
    (found,) = json.loads(said.out)
    assert found["verdict"] == "pass"
    assert found["is_taken_into_use"]
    value = found["values"][0]
    assert value["value"][1] == pytest.approx(1 / 0.975, abs=2e-3)
    assert value["phantom"].startswith("ball 140 mm: 140 mm wide, centre at +16 −8 +24 mm")
    assert not (folder / "calibrations").exists()  # a virtual scanner leaves nothing


def test_without_accept_the_old_value_stays(isocenter):
    said = isocenter("calibrate", "gradient_currents", *WORD, *VIRTUAL, "--json")
    assert said.code == 0, said
    assert not json.loads(said.out)[0]["is_taken_into_use"]
    assert "the old value stays" in said.err


def test_what_is_refused_ends_it_with_what_to_do(isocenter):
    wrong = (*WORD[:-1], "40,0,10")
    said = isocenter("calibrate", "gradient_scale", "gradient_delay", *wrong, *VIRTUAL, "--json")
    assert said.code == 1
    assert "Problem: Gradient strength and direction: The phantom shows at" in said.err
    assert "The old value stays in use." in said.err
    assert "Gradient delay" not in said.err
