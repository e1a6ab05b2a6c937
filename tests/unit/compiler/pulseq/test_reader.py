# SPDX-License-Identifier: MIT
"""What a sound file becomes: every column, every version's layout, signatures, and text as people's computers write it."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.compiler.pulseq import read_pulseq
from isocenter.compiler.pulseq.model import SoftDelay, Trigger
from isocenter.compiler.pulseq.shapes import unfold
from isocenter.compiler.pulseq.waveforms import adc_times, block_starts_s, rf_waveform, waveform


def test_every_column_of_a_small_file(make_seq):
    file = read_pulseq(make_seq())
    assert (file.version, file.signature, file.warnings) == ((1, 5, 1), "absent", ())
    np.testing.assert_allclose(file.blocks.duration_s, [500e-6, 1e-3, 1e-3])
    columns = [getattr(file.blocks, name).tolist() for name in ("rf", "gx", "gy", "gz", "adc", "extension", "number")]
    assert columns == [[0, -1, -1], [-1, 1, -1], [-1, 2, -1], [-1, 0, -1], [-1, -1, 0], [-1, -1, 0], [1, 2, 3]]
    assert (file.rf.amplitude_hz[0], file.rf.phase_rad[0], file.rf.use[0], file.rf.on_raster[0]) == (1000, 0.5, "e", False)
    np.testing.assert_allclose([file.rf.delay_s[0], file.rf.center_s[0], file.rf.duration_s[0]], [100e-6, 50e-6, 100e-6])
    assert file.gradients.is_trapezoid.tolist() == [True, False, False]
    np.testing.assert_allclose(file.gradients.delay_s, [20e-6, 10e-6, 900e-6])
    np.testing.assert_allclose(file.gradients.times_s[0], [0, 100e-6, 300e-6, 400e-6])
    np.testing.assert_allclose(file.gradients.shape[1], [0, 0.25, 0.75, 0.75, 0.25, 0])
    np.testing.assert_allclose(file.gradients.times_s[2], [0, 50e-6, 100e-6])
    assert (file.adc.n_samples[0], file.adc.frequency_hz[0], file.adc.phase_rad[0]) == (64, 100, 0.25)


def test_waveforms_lie_on_the_time_of_the_scan(make_seq):
    file = read_pulseq(make_seq())
    np.testing.assert_allclose(block_starts_s(file), [0, 500e-6, 1500e-6, 2500e-6])
    times_s, values = waveform(file, "z")
    np.testing.assert_allclose(times_s, np.array([520, 620, 820, 920]) * 1e-6)
    np.testing.assert_allclose(values, [0, -4000, -4000, 0])
    np.testing.assert_allclose(adc_times(file)[[0, 63]], 1500e-6 + 20e-6 + np.array([0.5, 63.5]) * 10e-6)
    times_s, samples = rf_waveform(file)
    np.testing.assert_allclose(times_s, [100e-6, 200e-6])
    np.testing.assert_allclose(samples, 1000 * np.exp(0.5j) * np.ones(2))


def test_order_of_sections_does_not_matter(make_seq):
    parts = re.split(r"(?m)^(?=\[|extension)", make_seq().decode())
    turned = "".join(reversed(parts)).encode()
    assert turned != make_seq()
    a, b = read_pulseq(make_seq()), read_pulseq(turned)
    np.testing.assert_array_equal(a.blocks.duration_s, b.blocks.duration_s)
    np.testing.assert_array_equal(waveform(a, "y")[1], waveform(b, "y")[1])
    assert a.extension_sets == b.extension_sets


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_other_line_endings_read_the_same(make_seq, ending):
    file = read_pulseq(make_seq().replace(b"\n", ending))
    np.testing.assert_array_equal(waveform(file, "x")[1], waveform(read_pulseq(make_seq()), "x")[1])


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_with_umlauts(make_seq, encoding):
    text = make_seq(DEFINITIONS=make_seq().decode().split("[DEFINITIONS]\n")[1].split("\n\n")[0] + "\nName Schädel").decode()
    assert read_pulseq(text.encode(encoding)).definitions["Name"] == "Schädel"


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_signatures_of_all_kinds(make_seq, kind):
    text = make_seq()
    digest = hashlib.new(kind, text).hexdigest()
    signed = text + f"\n[SIGNATURE]\n# a comment\nType {kind}\nHash {digest}\n".encode()
    assert read_pulseq(signed).signature == "valid"
    assert read_pulseq(signed.replace(b"\n", b"\r\n")).signature == "valid"
    assert read_pulseq(signed.replace(b"1 1000 1", b"1 9000 1")).signature == "invalid"
    assert read_pulseq(signed.replace(kind.encode(), b"crc7")).signature == "unknown type"
    # What follows the signature is covered by nothing.
    after = make_seq(TRAP=None, BLOCKS="1 50 1 0 0 0 0 0")
    digest = hashlib.new(kind, after).hexdigest()
    after += f"\n[SIGNATURE]\nType {kind}\nHash {digest}\n\n[TRAP]\n3 1000 100 200 100 0\n".encode()
    assert read_pulseq(after).signature == "invalid"


def test_triggers_soft_delays_and_shims(make_seq):
    file = read_pulseq(
        make_seq(
            BLOCKS="1 50 1 0 0 0 0 3\n2 100 0 0 0 0 0 1",
            EXTENSIONS="1 5 1 2\n2 6 1 0\n3 7 1 0",
            extension__TRIGGERS__5="1 1 3 500 100",
            extension__DELAYS__6="1 0 -7840 2 TE",
            extension__RF_SHIMS__7="1 2 1 0 0.5 1.5707963267948966",
        )
    )
    shim, delay = file.extension_sets[file.blocks.extension[0]], file.extension_sets[file.blocks.extension[1]]
    times = {"delay_s": pytest.approx(500e-6), "duration_s": pytest.approx(100e-6)}
    assert delay.triggers == (Trigger(is_output=True, channel=3, **times),)
    assert delay.soft_delay == SoftDelay(number=0, offset_s=pytest.approx(-7.84e-3), factor=2, hint="TE")
    np.testing.assert_allclose(shim.rf_shim, [1, 0.5j], atol=1e-12)


@pytest.mark.parametrize(
    ("times", "expected_times_us", "expected"),
    [
        ("100 200 50", [0, 100, 300, 350], [0, 1, 1, 0]),
        ("100 0 50", [0, 100, 150], [0, 1, 0]),
        ("0 200 50", [0, 200, 250], [1, 1, 0]),
        ("100 200 0", [0, 100, 300], [0, 1, 1]),
        ("0 200 0", [0, 200], [1, 1]),
        ("100 0 0", [0, 100], [0, 1]),
    ],
)
def test_trapezoids_with_parts_left_out(make_seq, times, expected_times_us, expected):
    file = read_pulseq(make_seq(TRAP=f"3 1000 {times} 0"))
    np.testing.assert_allclose(file.gradients.times_s[0], np.array(expected_times_us) * 1e-6)
    np.testing.assert_array_equal(file.gradients.shape[0], expected)


def test_trapezoid_without_amplitude_and_length_plays_nothing(make_seq):
    assert read_pulseq(make_seq(TRAP="3 0 0 0 0 0")).blocks.gz.tolist() == [-1, -1, -1]


def test_edges_of_old_shapes_join_where_they_touch():
    # Two halves of one lobe: the first ends at 0.9 extended by half a step to 1.0, the second starts there.
    shapes = "shape_id 1\nnum_samples 5\n0.1\n0.3\n0.5\n0.7\n0.9\n\nshape_id 2\nnum_samples 5\n0.9\n0.7\n0.5\n0.3\n0.1\n"
    head = "[VERSION]\nmajor 1\nminor 4\nrevision 1\n\n[DEFINITIONS]\nAdcRasterTime 1e-07\nBlockDurationRaster 1e-05\n"
    head += "GradientRasterTime 1e-05\nRadiofrequencyRasterTime 1e-06\n\n"
    blocks = "[BLOCKS]\n1 5 0 1 0 0 0 0\n2 5 0 2 0 0 0 0\n3 9 0 1 0 0 0 0\n4 5 0 2 0 0 0 0\n\n"
    file = read_pulseq((head + blocks + "[GRADIENTS]\n1 1000 1 0 0\n2 1000 2 0 0\n\n[SHAPES]\n\n" + shapes).encode())
    times_s, values = waveform(file, "x")
    np.testing.assert_allclose(np.interp([50e-6, 45e-6, 55e-6], times_s, values), [1000, 900, 900])
    # In block 3 the first half ends 40 us before its block, so block 4 starts at 0 although it is the same event.
    assert file.blocks.gx.tolist() == [file.blocks.gx[0], file.blocks.gx[1], file.blocks.gx[0], file.blocks.gx[3]]
    assert file.blocks.gx[1] != file.blocks.gx[3]
    np.testing.assert_allclose([file.gradients.shape[file.blocks.gx[block]][0] for block in (1, 3)], [1.0, 0.0], atol=1e-12)


def test_events_with_the_same_shapes_share_one_array(make_seq):
    rf = "1 1000 1 2 3 50 100 0 0 0 0 e\n2 500 1 2 3 50 100 0 0 10 1 e"
    file = read_pulseq(make_seq(RF=rf))
    assert file.rf.envelope[0] is file.rf.envelope[1]


def test_amplitude_is_the_peak_even_if_a_shape_exceeds_one(make_seq):
    shapes = "shape_id 1\nnum_samples 2\n1.5\n3\n\nshape_id 2\nnum_samples 2\n0\n0\n\nshape_id 3\nnum_samples 2\n0\n100\n"
    file = read_pulseq(make_seq(SHAPES=shapes, GRADIENTS=None, BLOCKS="1 50 1 0 0 0 0 0"))
    assert file.rf.amplitude_hz[0] == 3000
    np.testing.assert_allclose(np.abs(file.rf.envelope[0]), [0.5, 1.0])


def test_sparse_ids_are_found(make_seq):
    file = read_pulseq(make_seq(TRAP="900000000000 -4000 100 200 100 20", BLOCKS="7 100 0 1 2 900000000000 0 0"))
    assert file.blocks.gz.tolist() == [0]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 6)), min_size=1, max_size=30))
def test_run_length_coding_is_undone(runs):
    differences = np.repeat([value for value, _ in runs], [count for _, count in runs]).astype(float)
    np.testing.assert_allclose(unfold(_code(differences), len(differences)), np.cumsum(differences), atol=1e-9)


def _code(differences):
    """Runs of two or more as value, value, count - 2."""
    stored, place = [], 0
    while place < len(differences):
        end = place
        while end < len(differences) and differences[end] == differences[place]:
            end += 1
        stored += [differences[place]] if end - place == 1 else [differences[place], differences[place], end - place - 2]
        place = end
    return np.array(stored, dtype=float)
