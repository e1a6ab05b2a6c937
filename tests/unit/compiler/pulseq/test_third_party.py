# SPDX-License-Identifier: MIT
"""Files of other projects read to the waveforms that the reference reader gives. Origin: tests/golden/pulseq/*/ORIGIN.md."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pypulseq
import pytest

from isocenter.compiler.pulseq import read_pulseq
from isocenter.compiler.pulseq.waveforms import adc_times, block_starts_s, rf_waveform, waveform

GOLDEN = Path(__file__).parents[3] / "golden" / "pulseq"
ALL = sorted(GOLDEN.glob("*/*.seq"))
# What pypulseq 1.5.0.post1 cannot read or cannot turn into waveforms; see peers.md 2.4.
NOT_FOR_PYPULSEQ = (
    "v1.3_spiral",
    "v1.4_gr-time-shaped",
    "rotation_radial_tiny",
    "unknown_ext",
    "seq_make_radial",
    "test_loopback",
    "rf-pulse",
    "rf-time-shaped",
)
COMPARABLE = [path for path in ALL if not any(name in path.name for name in NOT_FOR_PYPULSEQ)]


@pytest.fixture(scope="module", params=COMPARABLE, ids=lambda path: path.stem)
def both(request):
    sequence = pypulseq.Sequence()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        sequence.read(str(request.param), detect_rf_use=None, remove_duplicates=False)
        reference = sequence.waveforms_and_times(append_RF=True)
    return read_pulseq(request.param), sequence, reference


def test_there_are_files_of_every_version():
    assert {read_pulseq(path).version[:2] for path in ALL} == {(1, 2), (1, 3), (1, 4), (1, 5)}
    assert len(ALL) >= 35
    assert len(COMPARABLE) >= 25


def test_blocks_last_as_long_as_in_pypulseq(both):
    ours, sequence, _ = both
    np.testing.assert_allclose(ours.blocks.duration_s, list(sequence.block_durations.values()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_gradients_equal_those_of_pypulseq(both, axis):
    ours, _, (waves, *_) = both
    times_s, values = waveform(ours, axis)
    their_times_s, their_values = waves["xyz".index(axis)].real
    if not len(their_times_s) or not len(times_s):
        assert not np.any(values)
        assert not np.any(their_values)
        return
    corners = np.unique(np.concatenate([times_s, their_times_s]))
    middle = (corners[1:] + corners[:-1]) / 2
    mine = np.interp(middle, times_s, values, left=0, right=0)
    theirs = np.interp(middle, their_times_s, their_values, left=0, right=0)
    # Theirs is interpolated across the gap before such a shape, so both ends of an interval count.
    is_edge = _is_at_oversampled_edge(ours, axis, corners)
    is_edge = is_edge[1:] | is_edge[:-1]
    np.testing.assert_allclose(mine[~is_edge], theirs[~is_edge], rtol=0, atol=1e-6 * np.abs(their_values).max())


def _is_at_oversampled_edge(file, axis, times_s):
    """The half raster at either end of a shape with time id -1, which pypulseq leaves out of its waveforms."""
    rows = getattr(file.blocks, f"g{axis}")
    is_edge = np.zeros(len(times_s), dtype=bool)
    for block in np.flatnonzero(rows >= 0):
        inner_s = file.gradients.times_s[rows[block]]
        if len(inner_s) > 3000 and np.isclose(inner_s[2] - inner_s[1], file.gradient_raster_s / 2):
            start_s = block_starts_s(file)[block] + file.gradients.delay_s[rows[block]]
            for edge_s in (start_s, start_s + inner_s[-1]):
                is_edge |= np.abs(times_s - edge_s) < file.gradient_raster_s
    return is_edge


def test_rf_equals_that_of_pypulseq(both):
    ours, sequence, (waves, *_) = both
    times_s, samples = rf_waveform(ours, larmor_hz=sequence.system.gamma * sequence.system.B0)
    keep, theirs = np.abs(samples) > 0, waves[3]
    keep_theirs = np.abs(theirs[1]) > 0
    np.testing.assert_allclose(times_s[keep], theirs[0][keep_theirs].real, rtol=0, atol=1e-9)
    scale = np.abs(samples).max(initial=1.0)
    np.testing.assert_allclose(samples[keep], theirs[1][keep_theirs], rtol=0, atol=1e-6 * scale)


def test_readout_times_and_offsets_equal_those_of_pypulseq(both):
    ours, _, (_, _, _, their_times_s, their_offsets) = both
    np.testing.assert_allclose(adc_times(ours), np.asarray(their_times_s, dtype=float).reshape(-1), rtol=0, atol=1e-9)
    rows = ours.blocks.adc[ours.blocks.adc >= 0]
    if len(rows):
        np.testing.assert_allclose(ours.adc.frequency_hz[rows], np.asarray(their_offsets)[:, 0], atol=1e-9)
        np.testing.assert_allclose(ours.adc.phase_rad[rows], np.asarray(their_offsets)[:, 1], atol=1e-9)


def _labels(file, name):
    value, seen = 0, []
    for block in range(len(file.blocks.adc)):
        one = file.extension_sets[file.blocks.extension[block]] if file.blocks.extension[block] >= 0 else None
        if one:
            for label, number in one.label_set:
                value = number if label == name else value
            value += sum(number for label, number in one.label_increment if label == name)
        if file.blocks.adc[block] >= 0:
            seen.append(value)
    return seen


def test_labels_equal_those_of_pypulseq():
    path = GOLDEN / "pypulseq" / "write_gre_label_softdelay.seq"
    sequence = pypulseq.Sequence()
    sequence.read(str(path), remove_duplicates=False)
    theirs = sequence.evaluate_labels(evolution="adc")
    ours = read_pulseq(path)
    assert theirs
    for name, values in theirs.items():
        assert _labels(ours, name) == np.asarray(values).tolist(), name
    assert {one.soft_delay.hint for one in ours.extension_sets if one.soft_delay} == {"TE", "TR"}


def test_uses_equal_those_of_the_same_sequence_in_1_5():
    told, guessed = (read_pulseq(GOLDEN / "pypulseq" / f"simple_mprage{version}.seq") for version in (150, 141))
    uses = [file.rf.use[file.blocks.rf[file.blocks.rf >= 0]].tolist() for file in (told, guessed)]
    assert uses[0] == uses[1]
    assert set(uses[1]) == {"e", "i"}


def test_marcos_client_file_with_comments_behind_its_values():
    file = read_pulseq(GOLDEN / "marcos_client" / "test_loopback.seq")
    assert file.version == (1, 3, 0)
    np.testing.assert_allclose(file.rf.amplitude_hz, [1.0, 1.0, 0.5 * 6.01])  # the third shape has its peak at 6.01
    np.testing.assert_allclose(block_starts_s(file)[:2], [0, 300e-6])  # 50 + 100 + 150 us of the trapezoid
    np.testing.assert_allclose(file.adc.dwell_s, [497e-9])


def test_signatures_of_files_that_were_not_touched():
    states = {path.stem: read_pulseq(path).signature for path in ALL}
    assert [states[f"simple_mprage{version}"] for version in (141, 150)] == ["valid", "valid"]
    assert states["basic_tests_v1.2_epi_JEMRIS"] == "valid"  # JEMRIS hashes the line break before [SIGNATURE] as well
    assert states["basic_tests_v1.5_unknown_ext"] == "absent"
    assert states["read_comparison_v1.4_epi"] == "invalid"  # the file was edited after it was signed


def test_rotations_of_the_radial_sequence():
    file = read_pulseq(GOLDEN / "pulseq" / "seq_make_radial.seq")
    assert file.definitions["GradientRasterTime"] == "1e-05"
    angles = [2 * np.rad2deg(np.arctan2(one.rotation[3], one.rotation[0])) for one in file.extension_sets]
    np.testing.assert_allclose(angles, [0, 30, 45, 60, 90], atol=1e-4)
    assert file.blocks.extension.tolist() == [-1, 0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 0]
