# SPDX-License-Identifier: MIT
"""Broken and hostile files: one SequenceError with file, section, line and what to do; never a hang, never anything else."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocenter.compiler.pulseq import read_pulseq
from isocenter.compiler.pulseq.sections import MAX_FILE_BYTES
from isocenter.compiler.pulseq.waveforms import waveform
from isocenter.domain.errors import SequenceError, StorageError

GOLDEN = Path(__file__).parents[3] / "golden" / "pulseq"
ROW = "1 100 0 0 0 0 0 0"

BROKEN = {
    "10^12 samples in a shape": (
        {"SHAPES": "shape_id 1\nnum_samples 1000000000000\n0\n0\n999999999998"},
        r"line 42.*10000000000",
    ),
    "run as long as 10^8": (
        {
            "RF": "1 1000 1 2 0 50 100 0 0 0 0 e",
            "SHAPES": "shape_id 1\nnum_samples 9\n0\n0\n99999998\n\nshape_id 2\nnum_samples 1\n1",
        },
        r"\[SHAPES\].*do not unfold to 9",
    ),
    "negative run": ({"SHAPES": "shape_id 1\nnum_samples 4\n0\n0\n-3\n1"}, r"4|unfold|not in the file"),
    "run without a count": (
        {"RF": "1 1000 1 2 0 50 100 0 0 0 0 e", "SHAPES": "shape_id 1\nnum_samples 9\n1\n1\n\nshape_id 2\nnum_samples 1\n1"},
        r"do not unfold",
    ),
    "shape without samples": (
        {"SHAPES": "shape_id 1\nnum_samples 0\n"},
        r"line 42, section \[SHAPES\]: the shape has no samples",
    ),
    "shape without a head": ({"SHAPES": "1\n2\n3"}, r"must start with 'shape_id'"),
    "shape with a word": ({"SHAPES": "shape_id 1\nnum_samples 2\n1\nx"}, r"not a number"),
    "nan in a shape": ({"SHAPES": "shape_id 1\nnum_samples 2\n1\nnan"}, r"not finite"),
    "same shape twice": ({"SHAPES": "shape_id 1\nnum_samples 1\n1\n\nshape_id 1\nnum_samples 1\n1"}, r"already at line 42"),
    "nan amplitude": ({"RF": "1 nan 1 2 3 50 100 0 0 0 0 e"}, r"line 19, section \[RF\].*not finite"),
    "infinite gradient": ({"TRAP": "3 inf 100 200 100 20"}, r"section \[TRAP\].*not finite"),
    "absurd amplitude": ({"TRAP": "3 1e300 100 200 100 20"}, r"more than 1e\+12 Hz/m"),
    "negative ramp": ({"TRAP": "3 1000 -100 200 100 20"}, r"line 26, section \[TRAP\].*negative"),
    "amplitude without length": ({"TRAP": "3 1000 0 0 0 20"}, r"no length"),
    "negative duration": ({"BLOCKS": "1 -5 0 0 0 0 0 0"}, r"line 14, section \[BLOCKS\]: '-5'"),
    "fraction as id": ({"BLOCKS": "1 100 1.5 0 0 0 0 0"}, r"line 14, section \[BLOCKS\]: '1\.5' is not a whole number"),
    "id beyond 64 bits": ({"BLOCKS": "1 100 99999999999999999999999 0 0 0 0 0"}, r"not a whole number"),
    "word in a table": ({"BLOCKS": f"{ROW}\n2 100 x 0 0 0 0 0"}, r"line 15, section \[BLOCKS\]: 'x'"),
    "missing column": ({"BLOCKS": f"{ROW}\n2 100 0 0 0 0 0"}, r"line 15, section \[BLOCKS\]: 7 values where 8"),
    "columns that even out": ({"BLOCKS": f"{ROW}\n2 100 0 0 0 0 0\n3 100 0 0 0 0 0 0 0"}, r"line 15.*7 values where 8"),
    "no blocks": ({"BLOCKS": ""}, r"no blocks"),
    "same block twice": ({"BLOCKS": f"{ROW}\n\n{ROW}"}, r"line 16.*already used at line 14"),
    "unknown pulse": ({"BLOCKS": "1 50 9 0 0 0 0 0"}, r"line 14, section \[BLOCKS\]: the RF pulse 9 is not in the file"),
    "unknown gradient": ({"BLOCKS": "1 50 0 0 77 0 0 0"}, r"gradient 77 is not"),
    "unknown readout": ({"BLOCKS": "1 50 0 0 0 0 4 0"}, r"readout 4 is not"),
    "unknown extension list": ({"BLOCKS": "1 50 0 0 0 0 0 8"}, r"extension list 8 is not"),
    "unknown shape": ({"RF": "1 1000 17 2 3 50 100 0 0 0 0 e"}, r"line 19.*the shape 17 is not in the file"),
    "unknown gradient shape": ({"GRADIENTS": "1 2000 0 0 44 0 10\n2 3000 0 1500 5 6 900"}, r"shape 44 is not"),
    "gradient without a shape": ({"GRADIENTS": "1 2000 0 0 0 0 10\n2 3000 0 1500 5 6 900"}, r"line 22.*shape 0 is not"),
    "unknown time id": ({"GRADIENTS": "1 2000 0 0 4 -2 10\n2 3000 0 1500 5 6 900"}, r"line 22.*shape -2 is not"),
    "times and values differ": ({"GRADIENTS": "1 2000 0 0 4 6 10\n2 3000 0 1500 5 6 900"}, r"4 values and 3 times"),
    "time id beyond 64 bits": ({"RF": "1 1000 1 2 9e30 50 100 0 0 0 0 e"}, r"line 19.*time shape id is not a whole"),
    "bad use": ({"RF": "1 1000 1 2 3 50 100 0 0 0 0 x"}, r"one of e r i s p o u"),
    "use of two letters": ({"RF": "1 1000 1 2 3 50 100 0 0 0 0 ex"}, r"one letter"),
    "event longer than block": (
        {"BLOCKS": "1 50 1 0 0 0 0 0\n2 40 0 1 0 3 0 0"},
        r"z gradient of block 2 ends at 420\.000 us.*400\.000 us",
    ),
    "readout longer than block": (
        {"ADC": "1 64 20000 20 0 0 0 0 0"},
        r"readout of block 3 ends at 1300\.000 us.*\n.*at least 1300 us",
    ),
    "no samples": ({"ADC": "1 0 10000 20 0 0 0 0 0"}, r"samples must be"),
    "10^12 samples": ({"ADC": "1 1000000000000 10000 20 0 0 0 0 0"}, r"samples must be"),
    "no dwell": ({"ADC": "1 64 0 20 0 0 0 0 0"}, r"dwell"),
    "circle": ({"EXTENSIONS": "1 1 1 2\n2 1 1 1"}, r"circle"),
    "list into nothing": ({"EXTENSIONS": "1 1 1 5"}, r"entry 5 of an extension list"),
    "extension without section": ({"EXTENSIONS": "1 8 1 0"}, r"extension number 8 has no"),
    "extension entry missing": ({"EXTENSIONS": "1 1 9 0"}, r"LABELSET has no entry 9"),
    "label value": ({"extension__LABELSET__1": "1 99999999999 LIN"}, r"32 bits"),
    "two rotations": (
        {"EXTENSIONS": "1 7 1 2\n2 7 1 0", "extension__ROTATIONS__7": "1 1 0 0 0"},
        r"two ROTATIONS",
    ),
    "rotation of length 2": ({"extension__ROTATIONS__7": "1 2 0 0 0"}, r"length 2"),
    "soft delay with a gradient": (
        {"EXTENSIONS": "1 7 1 0", "extension__DELAYS__7": "1 0 0 1 TE"},
        r"line 16.*soft delay may only",
    ),
    "soft delay factor 0": ({"extension__DELAYS__7": "1 0 0 0 TE"}, r"factor of a soft delay is 0"),
    "trigger type": ({"extension__TRIGGERS__7": "1 3 1 0 10"}, r"type 1 or 2"),
    "unknown section": ({"WOBBLE": "1 2 3"}, r"\[WOBBLE\].*not part of Pulseq"),
    "delays in 1.5": ({"DELAYS": "1 100"}, r"1\.4 and later have no delay"),
    "version 2": ({"VERSION": "major 2\nminor 0\nrevision 0"}, r"version 2\.0\.0 cannot be read"),
    "no version": ({"VERSION": None}, r"no section \[VERSION\]"),
    "no blocks section": ({"BLOCKS": None}, r"no section \[BLOCKS\]"),
    "no rasters": ({"DEFINITIONS": "FOV 0.2 0.2 0.2"}, r"GradientRasterTime is missing.*\n.*Add a line"),
    "raster 0": ({"DEFINITIONS": "GradientRasterTime 0"}, r"GradientRasterTime is '0'"),
    "raster nan": ({"DEFINITIONS": "GradientRasterTime nan"}, r"GradientRasterTime is 'nan'"),
    "too long": ({"BLOCKS": "1 999999999999999999 0 0 0 0 0 0"}, r"longer than 7 days"),
    "ids shared": ({"TRAP": "1 1000 100 200 100 20"}, r"already used in \[GRADIENTS\]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_in_words(make_seq, case):
    changes, expected = BROKEN[case]
    with pytest.raises(SequenceError, match=r"(?s)" + expected) as caught:
        read_pulseq(make_seq(**changes), name="patient.seq")
    assert "patient.seq" in caught.value.problem or "file" in caught.value.problem
    assert caught.value.remedy
    assert len(str(caught.value)) < 600
    assert pickle.loads(pickle.dumps(caught.value)).problem == caught.value.problem


def test_binary_files_are_refused():
    with pytest.raises(SequenceError, match=r"binary Pulseq file.*\n.*as text"):
        read_pulseq(b"\x01pulseq\x02" + bytes(64))
    with pytest.raises(SequenceError, match="not a text file"):
        read_pulseq(np.random.default_rng(1).bytes(4096))
    for data in (b"", b"\n\n", b"hello\n", b"[", b"[]", b"\xff\xfe[BLOCKS]"):
        with pytest.raises(SequenceError, match=r"not a Pulseq|section"):
            read_pulseq(data)


def test_huge_files_are_refused_before_they_are_parsed():
    class Huge(bytes):
        def __len__(self):
            return MAX_FILE_BYTES + 1

    with pytest.raises(SequenceError, match=r"512 MiB"):
        read_pulseq(Huge(b"[VERSION]"))


def test_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"nothing\.seq cannot be read"):
        read_pulseq(tmp_path / "nothing.seq")


def test_many_sections_are_refused(make_seq):
    with pytest.raises(SequenceError, match="more than 100 sections"):
        read_pulseq(make_seq() + b"\n[TRAP]\n" * 100_000)
    with pytest.raises(SequenceError, match=r"already at line"):
        read_pulseq(make_seq() + b"\n[TRAP]\n")


def test_small_file_cannot_fill_the_memory(make_seq):
    count = 60
    shapes = "".join(f"shape_id {i}\nnum_samples 1000000\n0\n0\n999998\n\n" for i in range(1, count + 1))
    rf = "\n".join(f"{i} 100 {i} {i} 0 50 0 0 0 0 0 e" for i in range(1, count + 1))
    with pytest.raises(SequenceError, match="unfold to more than"):
        read_pulseq(make_seq(RF=rf, SHAPES=shapes, GRADIENTS=None, BLOCKS="1 100000 1 0 0 0 0 0"))


def test_long_lists_for_every_block_end_in_time(make_seq):
    n = 10_000
    entries = "\n".join(f"{i} 1 1 {i + 1 if i % 250 else 0}" for i in range(1, n + 1))
    blocks = "\n".join(f"{i} 1 0 0 0 0 0 {i}" for i in range(1, n + 1))
    assert len(read_pulseq(make_seq(EXTENSIONS=entries, BLOCKS=blocks)).extension_sets) == n
    entries = "\n".join(f"{i} 1 1 {i + 1 if i % n else 0}" for i in range(1, n + 1))
    with pytest.raises(SequenceError, match="circle or has more than 256 entries"):
        read_pulseq(make_seq(EXTENSIONS=entries, BLOCKS=blocks))


SEEDS = [
    (GOLDEN / "komamri" / "read_comparison_v1.3_fid.seq").read_bytes(),
    (GOLDEN / "komamri" / "basic_tests_v1.4_label_test.seq").read_bytes(),
    (GOLDEN / "komamri" / "basic_tests_v1.5_rotation_radial_tiny.seq").read_bytes(),
    (GOLDEN / "komamri" / "read_comparison_v1.5_rf-time-shaped.seq").read_bytes(),
    (GOLDEN / "pypulseq" / "seq1.seq").read_bytes(),
    (GOLDEN / "komamri" / "basic_tests_v1.2_epi_JEMRIS.seq").read_bytes(),
]
WORDS = [
    b"",
    b"0",
    b"-1",
    b"1",
    b"2",
    b"7",
    b"nan",
    b"inf",
    b"1e9",
    b"1e308",
    b"99999999999999999999",
    b"0.5",
    b"x",
    b"\n",
    b"[",
    b"#",
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_files_give_a_result_or_a_sequence_error(data):
    seed = data.draw(st.sampled_from(SEEDS))
    words = seed.split(b" ")
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["word", "byte", "cut", "line", "drop"]))
        if kind == "word":
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(WORDS))
            continue
        text = bytearray(b" ".join(words))
        place = data.draw(st.integers(0, max(len(text) - 1, 0)))
        if kind == "byte" and text:
            text[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del text[place:]
        else:
            lines = bytes(text).split(b"\n")
            row = data.draw(st.integers(0, len(lines) - 1))
            lines[row : row + 1] = [] if kind == "drop" else [lines[row], lines[row]]
            text = bytearray(b"\n".join(lines))
        words = bytes(text).split(b" ")
    try:
        file = read_pulseq(b" ".join(words))
    except SequenceError as error:
        assert error.remedy  # noqa: PT017  either outcome is right
        return
    assert np.all(np.isfinite(file.blocks.duration_s))
    assert np.all(file.blocks.duration_s >= 0)
    for axis in "xyz":
        times_s, values = waveform(file, axis)
        assert np.all(np.isfinite(values))
        assert np.all(np.diff(times_s) >= -1e-9)
