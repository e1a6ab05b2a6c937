# SPDX-License-Identifier: MIT
"""Interference removed with sensors: what it must reach, what it must leave alone."""

import numpy as np
import pytest
from ward import background_rms, make_ward

from isocenter.domain.errors import ReconError
from isocenter.recon.correct import stiff
from isocenter.recon.correct.editer import remove_with_sensors
from isocenter.recon.correct.editer_live import LiveRemoval
from isocenter.recon.correct.record import Record


def _left(samples, ward) -> float:
    return background_rms(samples) / background_rms(ward.coil)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_sensors_more_sources_drift_and_bursts_leave_a_quarter_at_most(seed):
    ward = make_ward(n_sensors=5, n_sources=7, drift=0.3, bursts=4, seed=seed)
    result = remove_with_sensors(ward.coil, ward.sensors)
    assert _left(result.samples, ward) <= 0.25
    # the head is still there: what was added to it is what was taken away
    assert np.linalg.norm(result.samples - ward.clean) <= 0.27 * np.linalg.norm(ward.coil - ward.clean)
    assert result.is_changed
    assert result.figure.ratio < 0.5


def test_weak_interference_goes_and_the_head_stays():
    ward = make_ward(level=0.1)
    result = remove_with_sensors(ward.coil, ward.sensors)
    assert _left(result.samples, ward) < 1.5 * background_rms(ward.clean) / background_rms(ward.coil)
    centre = np.s_[56:72, 56:72]
    change = np.linalg.norm((result.samples - ward.clean)[centre]) / np.linalg.norm(ward.clean[centre])
    assert change < 0.02


@pytest.mark.parametrize("seed", [7, 8])
@pytest.mark.parametrize("leak", [0.0, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("shape", [(128, 128), (24, 64), (256, 100)])
def test_clean_record_comes_back_as_it_was(shape, leak, seed):
    ward = make_ward(*shape, level=0.0, leak=leak, seed=seed)
    result = remove_with_sensors(ward.coil, ward.sensors)
    change = np.linalg.norm(result.samples - ward.coil) / np.linalg.norm(ward.coil)
    assert change <= 1e-3


@pytest.mark.parametrize("leak", [0.02, 0.05])
def test_interference_goes_although_sensors_hear_a_little_of_the_head(leak):
    ward = make_ward(leak=leak)
    result = remove_with_sensors(ward.coil, ward.sensors)
    assert _left(result.samples, ward) <= 0.25
    centre = np.s_[56:72, 56:72]
    assert np.linalg.norm((result.samples - ward.clean)[centre]) < 0.25 * np.linalg.norm(ward.clean[centre])


def test_clean_record_is_untouched_bit_by_bit_and_says_so():
    ward = make_ward(level=0.0)
    result = remove_with_sensors(ward.coil, ward.sensors)
    np.testing.assert_array_equal(result.samples, ward.coil)
    assert not result.is_changed
    assert result.windows == ()


def test_one_disturbed_line_is_mended_and_others_are_left():
    ward = make_ward(n_sources=1, level=0.0, seed=3)
    rng = np.random.default_rng(0)
    source = 20 * (rng.standard_normal(128) + 1j * rng.standard_normal(128))
    ward.coil[40] += 0.2 * source
    ward.sensors[40] += np.array([1, 0.5j, -1, 0.3, 0.1j])[:, None] * source
    result = remove_with_sensors(ward.coil, ward.sensors)
    assert result.n_single == 1
    assert np.linalg.norm(result.samples[40] - ward.clean[40]) < 0.1 * np.linalg.norm(ward.coil[40] - ward.clean[40])
    rest = np.delete(np.arange(128), 40)
    np.testing.assert_array_equal(result.samples[rest], ward.coil[rest])


def test_drifting_coupling_gets_windows_steady_coupling_needs_few():
    steady = make_ward(drift=0.0, n_sources=2, bursts=0, seed=4)
    turning = make_ward(drift=1.5, n_sources=2, bursts=0, seed=4)
    few, many = (remove_with_sensors(w.coil, w.sensors) for w in (steady, turning))
    assert len(many.windows) > len(few.windows)
    assert sum(n for _, n in many.windows) == 128
    assert _left(many.samples, turning) <= 0.25


def test_several_coils_are_cleaned_each():
    one, two = make_ward(seed=5), make_ward(seed=6)
    # both coils and the sensors of the first ward: only the first coil can be helped
    coils = np.stack([one.coil, two.clean], axis=1)
    result = remove_with_sensors(coils, one.sensors)
    assert result.samples.shape == coils.shape
    assert background_rms(result.samples[:, 0]) <= 0.25 * background_rms(one.coil)
    assert background_rms(result.samples[:, 1]) <= 1.5 * background_rms(two.clean)


def test_normal_equations_equal_those_of_the_matrix_of_shifted_copies():
    ward = make_ward(6, 80, 2, 3)
    problem = Record(ward.coil[:, None], ward.sensors, 3)
    problem.weigh(problem.coil)
    gram, cross = problem.sums(np.array([0, 0, 1, -1, 1, 0]), 2, problem.weights)
    sensors, coil = (real + 1j * imag for real, imag in (problem.sensors, problem.coil))
    for number, lines in ((0, [0, 1, 5]), (1, [2, 4])):
        want_gram, want_cross = 0, 0
        for line in lines:
            shifted = np.stack([sensors[line, c, i : i + 80] for c in range(2) for i in range(7)], axis=1)
            weight = np.repeat(problem.weights[line], np.diff(problem.starts))[:, None]
            want_gram = want_gram + shifted.conj().T @ (weight * shifted)
            want_cross = want_cross + shifted.conj().T @ (weight * coil[line].T)
        np.testing.assert_allclose(gram[number], want_gram, atol=2e-6 * np.abs(want_gram).max())
        np.testing.assert_allclose(cross[number], want_cross, atol=2e-6 * np.abs(want_cross).max())


@pytest.mark.parametrize("n_taps", [1, 2, 15, 16, 17, 45, 75])
def test_stiff_solutions_solve_the_normal_equations(n_taps):
    rng = np.random.default_rng(n_taps)
    heard, coils = (rng.standard_normal((2, 90, n)) + 1j * rng.standard_normal((2, 90, n)) for n in (n_taps, 2))
    gram, cross = heard.conj().transpose(0, 2, 1) @ heard, heard.conj().transpose(0, 2, 1) @ coils
    ridges = np.array([[1e-2, 0.3], [0.1, 1.0]])
    found = stiff.solve_stiff(gram, cross, ridges)
    level = np.trace(gram, axis1=1, axis2=2).real / n_taps
    for trial in (0, 1):
        stiffened = gram + (ridges[:, trial] * level)[:, None, None] * np.eye(n_taps)
        np.testing.assert_allclose(found[trial], np.linalg.solve(stiffened, cross), atol=2e-4 * np.abs(found).max())
    # what they explain in the other record is what its lines lose
    gains = stiff.gains_of(gram, cross, found, np.array([1, 0]))
    for trial, at in np.ndindex(2, 2):
        lost = np.linalg.norm(coils[1 - at]) ** 2 - np.linalg.norm(coils[1 - at] - heard[1 - at] @ found[trial, at]) ** 2
        assert gains[trial, at] == pytest.approx(lost, rel=1e-6)


@pytest.mark.parametrize("taps", [0, 1, 7])
def test_gains_are_what_the_weighted_stretches_lose(taps):
    ward = make_ward(6, 80, 2, 3)
    record = Record(ward.coil[:, None], ward.sensors, taps)
    record.weigh(record.coil)
    bins = np.array([0, 1, -1, 1, 0, 0])
    fits = stiff.solve_stiff(*record.sums(bins, 2, record.weights), np.full((2, 1), 0.01))[0]
    gains = record.gains(fits, bins, record.edge)
    before = record.power(record.residual)
    record.predict(fits, bins)
    record.subtract(bins >= 0)
    lost = (before - record.power(record.residual)) * np.diff(record.starts) * record.weights * record.edge
    np.testing.assert_allclose(gains, lost, atol=1e-4 * np.abs(lost).max())


def test_dead_sensor_does_no_harm():
    ward = make_ward(seed=8)
    ward.sensors[:, 2] = 0
    result = remove_with_sensors(ward.coil, ward.sensors)
    assert np.isfinite(result.samples).all()
    assert _left(result.samples, ward) <= 0.4


def test_nothing_to_do_without_sensors_lines_or_signal():
    ward = make_ward(16, 32, level=0.0)
    assert remove_with_sensors(ward.coil, ward.sensors[:, :0]).samples is ward.coil
    assert remove_with_sensors(ward.coil[:0], ward.sensors[:0]).samples.shape == (0, 32)
    zeros = np.zeros_like(ward.coil)
    assert remove_with_sensors(zeros, ward.sensors).samples is zeros


def test_wrong_shape_and_damaged_samples_are_refused():
    ward = make_ward(16, 32)
    with pytest.raises(ReconError, match=r"16 lines of 32 samples.*\n.*lines, sensors, samples"):
        remove_with_sensors(ward.coil, ward.sensors[:8])
    ward.sensors[3, 1, 7] = np.nan
    with pytest.raises(ReconError, match=r"no numbers.*\n.*check the receiver"):
        remove_with_sensors(ward.coil, ward.sensors)


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_live_removal_learns_and_helps(batch):
    ward = make_ward(256, 128, n_sources=4, drift=0.3, seed=2)
    live = LiveRemoval()
    cleaned = np.concatenate([live.add(ward.coil[a : a + batch], ward.sensors[a : a + batch]) for a in range(0, 256, batch)])
    assert live.is_active
    late = slice(64, None)
    left = np.linalg.norm((cleaned - ward.clean)[late]) / np.linalg.norm((ward.coil - ward.clean)[late])
    assert left < 0.45


@pytest.mark.parametrize("batch", [1, 16])
def test_live_removal_leaves_a_clean_scan_alone(batch):
    ward = make_ward(level=0.0)
    live = LiveRemoval()
    for a in range(0, 128, batch):
        lines = ward.coil[a : a + batch]
        assert live.add(lines, ward.sensors[a : a + batch]) is lines
