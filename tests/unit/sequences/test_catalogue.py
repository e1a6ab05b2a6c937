# SPDX-License-Identifier: MIT
"""Sequence files: found, listed without the heavy import, and one that is broken hides no other."""

import hashlib
import os
import subprocess
import sys

import pypulseq as pp
import pytest

from isocenter.config import paths
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import LimitError, SequenceError
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import catalogue, list_sequences, parameters

SHIPPED = [
    "b0_map",
    "bssfp_3d",
    "eddy_currents",
    "epi_2d",
    "fid",
    "frequency",
    "gradient_map",
    "gre_3d",
    "localizer",
    "noise",
    "nutation",
    "petra_3d",
    "projections",
    "radial_2d",
    "shim_sweep",
    "spin_echo_2d",
    "spiral_2d",
    "t2_map",
    "tse_3d",
]
CLINICAL = {"gre_3d", "localizer", "petra_3d", "radial_2d", "spin_echo_2d", "t2_map", "tse_3d"}

GOOD = """
from dataclasses import dataclass
from isocenter.sequences.kit import Player, number, pp
TITLE, SUMMARY, RECON, CLINICAL = "Mine", "One of mine.", "spectrum", False
@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    wait_s: float = number(0.1, "Wait", unit="ms", low=0.01, high=1.0, help="How long.")
def build(p, system):
    player = Player(system)
    pulse = system.hard_pulse(1.57, 1e-4, use="excitation")
    player.block(pulse.block_s, pulse.event)
    player.block(p.wait_s)
    return player.define(Wait=p.wait_s)
"""


@pytest.fixture
def mine(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path))
    folder = tmp_path / "sequences"
    folder.mkdir()

    def write(name, text):
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return write


def test_the_shipped_sequences():
    found = catalogue()
    assert [info.name for info in found.infos] == SHIPPED
    assert not found.broken
    assert {info.name for info in found.infos if info.is_clinical} == CLINICAL
    assert {info.name: info.recon for info in found.infos}["frequency"] == "spectrum"


def test_listing_does_not_import_pypulseq():
    code = (
        "import sys; from isocenter.sequences.catalogue import list_sequences; list_sequences(); "
        "print('pypulseq' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_parameter_is_declared_in_full(name):
    for item in parameters(name):
        assert item.label
        assert item.help.endswith(".")
        assert item.kind in {"number", "integer", "choice", "switch"}
        if item.kind in {"number", "integer"}:
            assert item.low <= item.default <= item.high


def test_a_file_of_the_user_is_found_and_built(mine):
    mine("mine.py", GOOD)
    assert "mine" in [info.name for info in list_sequences()]
    built = build("mine", {"wait_s": 0.5}, load_scanner("osii-one"))
    assert built.report["Wait"] == 0.5
    assert built.report["TotalDuration"] == pytest.approx(0.5, abs=1e-3)


def test_a_file_of_the_user_replaces_a_shipped_one_and_an_edit_counts_at_once(mine):
    mine("fid.py", GOOD)
    assert [item.name for item in parameters("fid")] == ["wait_s"]
    mine("fid.py", GOOD.replace("wait_s", "rest_s"))
    assert [item.name for item in parameters("fid")] == ["rest_s"]


BROKEN = {
    "syntax": ("def build(:\n", r"broken.py, line 1 fails when it is read: SyntaxError"),
    "import": ("import no_such_module_at_all\n", r"line 1 fails when it is read: ModuleNotFoundError"),
    "raises": (GOOD + "\n1 / 0\n", r"line 15 fails when it is read: ZeroDivisionError"),
    "exits": (GOOD + "\nraise SystemExit(3)\n", r"line 15 fails when it is read: SystemExit"),
    "no title": (GOOD.replace("TITLE", "NAME"), r"does not declare TITLE as text"),
    "recon": (
        GOOD.replace('"spectrum"', '"magic"'),
        r"does not declare RECON as one of cartesian, noncartesian, spectrum, noise",
    ),
    "no build": (GOOD.replace("def build", "def make"), r"does not declare build as a function"),
    "no parameters": (GOOD.replace("class Parameters", "class Values"), r"does not declare Parameters as a dataclass"),
    "not text": ("\0\0", r"broken.py.* fails when it is read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_and_the_others_still_list(case, mine):
    text, message = BROKEN[case]
    mine("broken.py", text)
    found = catalogue()
    assert [info.name for info in found.infos] == SHIPPED
    with pytest.raises(SequenceError, match=message):
        raise found.broken["broken"]
    with pytest.raises(SequenceError, match=message):
        build("broken", {}, load_scanner("osii-one"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    player = Player(system)", "    return None", r"sequence 'mine' has no blocks"),
        ("    player = Player(system)", "    return system.sequence()", r"sequence 'mine' has no blocks"),
        ("player.block(p.wait_s)", "nonsense()", r"mine.py, line 12 fails when it is built: NameError"),
    ],
)
def test_a_file_that_fails_when_built_says_where(old, new, message, mine):
    mine("mine.py", GOOD.replace(old, new))
    with pytest.raises(SequenceError, match=message):
        build("mine", {}, load_scanner("osii-one"))


FREE = """
    import numpy as np
    wave = {amplitude} * np.sin(np.pi * (np.arange(200) + 0.5) / 200)
    shape = pp.make_arbitrary_grad("x", wave, first=0.0, last=0.0, max_grad=1e9, max_slew=1e15)
    player.seq.add_block(shape)
    return player.seq
"""

LONG = "\n    for _ in range(500):" + FREE.replace("\n    ", "\n        ").replace("        return", "    return")
PULSE = """
    player.seq.add_block(pp.make_block_pulse(3.14, duration={duration}, delay=1e-3, use="refocusing"))
    return player.seq
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (FREE.format(amplitude=6e5), r"needs a gradient of 14\.09 mT/m; this scanner allows 9\.5 mT/m\.\n.*67% or less"),
        (FREE.replace("/ 200)", "/ 20)").format(amplitude=3e5), r"slew rate of 1\d\d.* T/m/s; this scanner allows 45 T/m/s"),
        (LONG.format(amplitude=3.5e5), r"Gradient x .*root mean square of 5\.\d+ mT/m.*4\.5 mT/m"),
        (PULSE.format(duration=5.1e-3), r"RF pulse of 5100 us; this scanner allows 5000 us"),
        (PULSE.format(duration=5e-5), r"needs B1 of 234\.\d uT; this scanner gives 150 uT"),
    ],
)
def test_a_file_that_asks_too_much_is_refused(body, message, mine):
    mine("mine.py", GOOD.split("    pulse =", maxsplit=1)[0] + body)
    with pytest.raises(LimitError, match=message):
        build("mine", {}, load_scanner("osii-one"))


def test_unknown_sequence_and_parameter_and_value():
    scanner = load_scanner("osii-one")
    with pytest.raises(SequenceError, match=r"no sequence 'tse3d'.*\n.*Did you mean 'tse_3d'"):
        build("tse3d", {}, scanner)
    with pytest.raises(SequenceError, match=r"no parameter 'te'.*\n.*echo_spacing_s"):
        build("tse_3d", {"te": 0.1}, scanner)
    with pytest.raises(SequenceError, match=r"TR \(tr_s\) cannot be 20000 ms.*\n.*Give 10 to 10000 ms"):
        build("tse_3d", {"tr_s": 20.0}, scanner)


def test_the_file_is_pulseq_1_5_signed_and_reads_back(tmp_path):
    built = build("tse_3d", {"n_phase": 8, "n_slab": 2}, load_scanner("osii-one"))
    text = built.seq
    assert b"major 1\nminor 5\n" in text
    assert b"\nMatrix 96 8 2 \n" in text
    assert b"\nFOV 0.22 0.22 0.18 \n" in text
    body, signature = text.split(b"\n[SIGNATURE]\n")
    assert hashlib.md5(body).hexdigest().encode() in signature
    path = tmp_path / "a.seq"
    path.write_bytes(text)
    seq = pp.Sequence()
    seq.read(str(path))
    assert seq.definitions["Name"] == "tse_3d"
    assert float(seq.definitions["TotalDuration"]) == pytest.approx(built.report["TotalDuration"])


def test_the_same_values_give_the_same_file():
    scanner = load_scanner("osii-one")
    assert build("gre_3d", {"n_phase": 8}, scanner).seq == build("gre_3d", {"n_phase": 8}, scanner).seq
