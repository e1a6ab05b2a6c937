# SPDX-License-Identifier: MIT
"""Radial and spiral scans pass the centre of k-space with every readout: a jump shows there, a moved patient does not."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.special import j1

from isocenter.acquisition.prescan.tracking import FrequencyTracker
from isocenter.acquisition.prescan.tracking_centre import WINDOW, find_centres
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build

SCANNER = load_scanner("osii-one")
SCANS = {
    "golden": ("radial_2d", {"n_read": 48, "n_spokes": 210}),
    "two slices": ("radial_2d", {"n_read": 48, "n_spokes": 126, "slices": 2, "tr_s": 0.2}),
    "spiral": ("spiral_2d", {"averages": 12}),
    "in order": ("radial_2d", {"n_read": 48, "n_spokes": 210, "golden": False}),
    "half spokes": ("petra_3d", {"n_matrix": 32, "n_spokes": 200}),
}
FOLLOWED = ("golden", "two slices", "spiral")
DISCS = (((0.0, 0.01), 0.085, 1.0), ((0.03, 0.04), 0.02, 0.8), ((-0.045, -0.02), 0.025, -0.6), ((0.05, -0.03), 0.012, 1.5))
"""Centre [m], radius [m] and brightness of what lies in the slice."""


@lru_cache
def compiled(name):
    sequence, values = SCANS[name]
    seq = build(sequence, values, SCANNER).seq
    return compile_scan(read_pulseq(seq), SCANNER, nominal_calibration(SCANNER), place(Orientation.AXIAL))


def plane(scan):
    """Trajectory in the plane that is encoded, shape (n, n_samples, 2)."""
    k_per_m = np.nan_to_num(scan.trajectory_per_m.astype(np.float64))
    axes = np.argsort(np.ptp(k_per_m, axis=(0, 1)))[-2:]
    return k_per_m[..., np.sort(axes)]


def lines(name, frequency_hz, *, noise=0.003, shift_m=(0.0, 0.0), seed=1):
    """Samples of discs, 1 at the centre of k-space, at a frequency that is off by so much in each readout."""
    scan, rng = compiled(name), np.random.default_rng(seed)
    k_per_m = plane(scan)
    away = np.linalg.norm(k_per_m, axis=-1) + 1e-9
    samples = sum(
        light * radius * j1(2 * np.pi * away * radius) / away * np.exp(2j * np.pi * (k_per_m @ np.array(centre)))
        for centre, radius, light in DISCS
    )
    samples = samples / sum(light * np.pi * radius**2 for _, radius, light in DISCS)
    moved = np.arange(len(samples)) >= len(samples) // 2
    samples = samples * np.exp(2j * np.pi * (k_per_m @ np.array(shift_m)) * moved[:, None])
    dwell_s = float(scan.readouts.dwell_ticks[0]) / scan.clock_hz
    time_s = scan.evolution_s[:, None] + dwell_s * np.arange(samples.shape[1])
    samples = samples * np.exp(2j * np.pi * np.asarray(frequency_hz)[:, None] * time_s)
    samples += noise * (rng.normal(size=samples.shape) + 1j * rng.normal(size=samples.shape))
    return samples[:, None].astype(np.complex64)


def follow(name, samples):
    scan, jumps = compiled(name), []
    tracker = FrequencyTracker(scan, jumps.append)
    for first in range(0, len(samples), 8):
        part = samples[first : first + 8]
        tracker.add(scan.readouts.slice(first, first + len(part)), part)
    return tracker, jumps


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_steady_magnet_is_left_alone(name, noise):
    tracker, jumps = follow(name, lines(name, np.zeros(len(compiled(name).readouts)), noise=noise))
    assert tracker.is_possible
    assert len(tracker.changes) >= 3
    assert np.all(np.abs(tracker.changes.change_hz) < 2 * tracker.changes.sd_hz)
    assert jumps == []


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize("jump_hz", [750.0, -750.0])
def test_a_jump_is_told_within_four_windows(name, jump_hz):
    scan = compiled(name)
    at = len(scan.readouts) // 2
    tracker, jumps = follow(name, lines(name, np.where(np.arange(len(scan.readouts)) >= at, jump_hz, 0.0)))
    assert jumps == [tracker.jump]
    assert jumps[0].change_hz == pytest.approx(jump_hz, abs=100.0)
    assert jumps[0].sure_until <= at, "everything behind the jump is measured again"
    n_groups = 2 if name == "two slices" else 1
    assert at - jumps[0].sure_until <= 2 * n_groups * WINDOW


def test_a_patient_who_moves_across_the_spokes_looks_like_no_jump():
    """20 mm; a navigator of one direction would see more than a kilohertz."""
    tracker, jumps = follow("golden", lines("golden", np.zeros(210), shift_m=(0.02, 0.01)))
    assert jumps == []
    assert np.all(np.abs(tracker.changes.change_hz) < 100.0)


@pytest.mark.parametrize("name", ["in order", "half spokes"])
def test_what_cannot_be_told_stays_untold(name):
    """Directions that change slowly look like a drift; half spokes begin beside the centre."""
    assert find_centres(compiled(name)) is None
    assert not FrequencyTracker(compiled(name), print).is_possible


@pytest.mark.parametrize("name", FOLLOWED)
def test_noise_tells_nothing(name):
    for seed in range(3):
        samples = lines(name, np.zeros(len(compiled(name).readouts)), noise=1.0, seed=seed)
        tracker, jumps = follow(name, samples)
        assert jumps == []
        assert tracker.trusted is None or tracker.trusted[1][1] > 50.0


def test_after_a_pause_it_goes_on_at_the_new_oscillator():
    scan, jumps = compiled("golden"), []
    tracker, at = FrequencyTracker(scan, jumps.append), 105
    magnet_hz = np.where(np.arange(210) >= at, 750.0, 0.0)
    before, after = lines("golden", magnet_hz), lines("golden", magnet_hz - 750.0)
    stop = 200
    tracker.add(scan.readouts.slice(0, stop), before[:stop])
    (jump,) = jumps
    tracker.resume(jump.sure_until, 750.0)
    again = np.where(np.arange(210)[:, None, None] < at, lines("golden", np.zeros(210)), after)
    tracker.add(scan.readouts.slice(jump.sure_until, 210), again[jump.sure_until :])
    assert len(jumps) == 1
    assert tracker.jump is None
