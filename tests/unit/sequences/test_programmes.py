# SPDX-License-Identifier: MIT
"""Programmes build on the scanner they are for; the page shows what the files declare; its example works."""

import re
from pathlib import Path

import pytest

from isocenter.config import paths
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import Orientation
from isocenter.sequences.build import build
from isocenter.sequences.page import sequence_tables
from isocenter.sequences.programmes import load_programmes

PAGE = Path(__file__).parents[3] / "docs" / "sequences.md"


@pytest.fixture
def mine(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path))
    (tmp_path / "sequences").mkdir()

    def write(name, text):
        (tmp_path / "sequences" / name).write_text(text, encoding="utf-8")

    return write


def test_the_shipped_programmes():
    programmes = {item.name: item for item in load_programmes()}
    assert list(programmes) == ["Brain, routine", "Knee, routine", "Phantom QA"]
    brain = programmes["Brain, routine"].protocols
    assert [item.prescription.orientation for item in brain[:3]] == [
        Orientation.AXIAL,
        Orientation.CORONAL,
        Orientation.SAGITTAL,
    ]
    assert brain[3].name == "T2 TSE axial"
    assert brain[3].parameters["tr_s"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("programme", "scanner"),
    [
        ("Brain, routine", "osii-one"),
        ("Knee, routine", "physio-72mT"),
        ("Phantom QA", "osii-one"),
        ("Phantom QA", "osii-mini"),
    ],
)
def test_each_programme_builds_on_its_scanner(programme, scanner):
    chosen = next(item for item in load_programmes() if item.name == programme)
    hardware = load_scanner(scanner)
    for protocol in chosen.protocols:
        report = build(protocol.sequence, protocol.parameters, hardware).report
        assert report["TotalDuration"] < 480, protocol.name


def test_t2_has_a_long_and_t1_a_short_echo_time():
    brain = next(item for item in load_programmes() if item.name == "Brain, routine").protocols
    scanner = load_scanner("osii-one")
    echo_s = {
        item.name: build(item.sequence, item.parameters, scanner).report["EffectiveEchoTime"]
        for item in brain
        if "TSE" in item.name
    }
    assert echo_s["T2 TSE axial"] > 0.1
    assert echo_s["T1 TSE axial"] == pytest.approx(0.012)


ENTRY = '["Mine"]\nsummary = "s"\nbody_part = "HEAD"\n[["Mine".protocols]]\nname = "A"\nsequence = "tse_3d"\n'


def test_a_programme_of_the_user_comes_first_and_replaces(mine):
    mine("programmes.toml", ENTRY + ENTRY.replace("Mine", "Phantom QA"))
    found = load_programmes()
    assert [item.name for item in found] == ["Mine", "Phantom QA", "Brain, routine", "Knee, routine"]
    assert len(found[1].protocols) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [\n", r"programmes.toml cannot be read: .*(line|end of)"),
        ("Mine = 3", r"programme 'Mine' is not a table"),
        (ENTRY.replace("summary", "sumary"), r"programme 'Mine': 'summary' is missing"),
        (ENTRY.replace("sequence =", "sequenze ="), r"Give name and sequence"),
        (
            ENTRY + 'orientation = "oblique"\n',
            r"protocol 'A': there is no orientation 'oblique'.*\n.*axial, coronal, sagittal",
        ),
        (ENTRY.replace("tse_3d", "tse"), r"protocol 'A': There is no sequence 'tse'"),
        (ENTRY + "parameters = { te = 3 }", r"protocol 'A': There is no parameter 'te'"),
        (ENTRY + 'parameters = { tr_s = "2 s" }', r"protocol 'A': TR \(tr_s\) cannot be 2 s"),
        (ENTRY + "parameters = { tr_s = 2000 }", r"TR \(tr_s\) cannot be 2e\+06 ms.*\n.*10 to 10000 ms"),
    ],
)
def test_a_wrong_file_is_refused(text, message, mine):
    mine("programmes.toml", text)
    with pytest.raises(SequenceError, match=message):
        load_programmes()


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8").endswith(sequence_tables())


def test_the_example_on_the_page_builds(mine):
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    mine("decay.py", example[1])
    assert build("decay", {}, load_scanner("osii-mini")).report["RepetitionTime"] == 0.5
