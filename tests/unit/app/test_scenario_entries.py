# SPDX-License-Identifier: MIT
"""The scenarios in words: all of them, the user's own, and those with a broken file."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from isocenter.app.fault_words import _WORDS, fault_sentences, is_good_day
from isocenter.app.scenario_entries import scenario_entries
from isocenter.app.service import ScenarioEntry
from isocenter.config import paths
from isocenter.config.hardware import load_scanner
from isocenter.config.scenarios import list_scenarios, load_scenario
from isocenter.domain.scenario import (
    CoilFaults,
    DeviceFaults,
    GradientFaults,
    Interference,
    InterferenceKind,
    MagnetFaults,
    Motion,
    ReceiverFaults,
    Scenario,
)


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> Path:
    """The user's folder of scenarios, empty."""
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *_args, **_kwargs: str(tmp_path))
    folder = tmp_path / "scenarios"
    folder.mkdir()
    return folder


def entries() -> dict[str, ScenarioEntry]:
    found = scenario_entries(load_scanner("osii-one"))
    assert pickle.loads(pickle.dumps(found)) == found
    return {entry.name: entry for entry in found}


def test_every_shipped_scenario_can_be_chosen_and_says_what_it_is(own):
    found = entries()
    assert set(found) == set(list_scenarios())
    for entry in found.values():
        assert entry.is_usable, entry.problem
        assert all((entry.summary, entry.phantom, entry.magnet, entry.look_for))
        assert entry.own_file == ""
    assert found["knee-72mT"].magnet == load_scanner("physio-72mT").title
    assert found["ideal"].magnet == load_scanner("osii-one").title
    assert found["broken-cable"].wrong[0] == "The cable of the receive coil is broken."


def test_a_good_day_is_told_from_trouble(own):
    days = {name: entry.is_good_day for name, entry in entries().items()}
    assert days["osii-one-brain"]
    assert days["ideal"]
    for name in ("broken-cable", "noisy-ward", "cold-magnet", "restless-child", "clipping", "osii-mini-raw-magnet"):
        assert not days[name], name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("summary = 3\n", ("summary", "3")),
        ("summary = 'x'\nphantom = 'unicorn'\n", ("unicorn", "Choose one of")),
        ("summary = 'x'\nphantom_file = 'gone.nii.gz'\n", ("gone.nii.gz",)),
        ("summary = 'x'\nscanner = 'no-such-scanner'\n", ("no-such-scanner",)),
        ("summary = 'x'\n[magnet]\ntable = 'gone.csv'\n", ("gone.csv", "magnet.table")),
        ("summary = [[[", ("not valid TOML",)),
        ("summary = 'x'\n[coil]\nis_disconected = true\n", ("is_disconected",)),
    ],
)
def test_a_broken_file_is_listed_with_its_error_and_the_others_are_none_the_worse(own, text, words):
    (own / "my-ward.toml").write_text(text)
    found = entries()
    entry = found["my-ward"]
    assert not entry.is_usable
    assert entry.remedy
    assert entry.own_file == str(own / "my-ward.toml")
    for word in words:
        assert word in f"{entry.problem} {entry.remedy}"
    assert found["osii-one-brain"].is_usable


def test_an_own_file_hides_the_shipped_one_of_its_name_and_says_so(own):
    (own / "noisy-ward.toml").write_text("summary = 'Our own ward.'\n")
    entry = entries()["noisy-ward"]
    assert entry.summary == "Our own ward."
    assert entry.own_file
    assert entry.wrong == ()


def test_every_fault_that_a_file_can_have_has_words_of_its_own():
    parts = (("magnet", MagnetFaults), ("gradients", GradientFaults), ("coil", CoilFaults), ("receiver", ReceiverFaults))
    keys = {
        f"{part}.{field.name}"
        for part, kind in (*parts, ("motion", Motion), ("devices", DeviceFaults))
        for field in dataclasses.fields(kind)
    }
    assert keys | {"interference", "n_sensors", "has_diffusion"} == set(_WORDS)


def test_every_shipped_fault_is_a_sentence():
    for name in list_scenarios():
        for sentence in fault_sentences(load_scenario(name)):
            assert sentence.endswith(".")
            assert not any(bracket in sentence for bracket in "[]{}"), sentence


def test_numbers_come_with_units_that_a_person_uses():
    faults = GradientFaults(delay_s=(9e-6, 0.0, -2e-6), scale=(1.02, 1.0, 0.99))
    source = Interference(kind=InterferenceKind.TONE, level=1e-3, frequency_hz=4300.0)
    motion = Motion(restless_hz=0.1, restless_m=0.0015)
    text = " ".join(fault_sentences(Scenario(gradients=faults, interference=(source,), motion=motion)))
    assert "x +9 · y 0 · z −2 µs" in text
    assert "x +2 · y 0 · z −1 %" in text
    assert "a tone at +4300 Hz" in text
    assert "every 10 s" in text
    assert "1.5 mm" in text
    assert is_good_day(Scenario())
    assert fault_sentences(Scenario()) == ()
