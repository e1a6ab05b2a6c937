# SPDX-License-Identifier: MIT
"""A magnet that drifts by one degree while a scan runs is followed; one that does not is left alone."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from isocenter.acquisition.prescan.tracking import FrequencyJump, FrequencyTracker
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import Scenario
from isocenter.domain.units import signed
from isocenter.sequences.build import build
from isocenter.virtual.physics.direct import simulate

SCANNER = load_scanner("osii-one")
AXIAL = place(Orientation.AXIAL)
SLOPE_HZ_PER_C = SCANNER.magnet.drift_hz_per_c
VIALS = Scenario(phantom="vials", n_spins=1_500, has_t2_prime=False, has_chemical_shift=False)
BOX = {"fov_read_m": 0.2, "fov_phase_m": 0.2, "fov_slab_m": 0.064, "n_read": 64, "n_phase": 32, "n_slab": 8}
TRAIN = {**BOX, "echo_train_length": 4, "tr_s": 0.3, "dummy_shots": 1}
SCANS = {
    "navigators": ("tse_3d", {**TRAIN, "navigator_every": 2}),
    "linear": ("tse_3d", TRAIN),
    "centre-out": ("tse_3d", {**TRAIN, "order": "centre-out"}),
    "slices": ("spin_echo_2d", {"n_read": 48, "n_phase": 32, "slices": 3, "tr_s": 0.4, "thickness_m": 0.015}),
    "twice": ("gre_3d", {**BOX, "tr_s": 0.05, "averages": 2}),
    "gradient echo": ("gre_3d", {**BOX, "tr_s": 0.05}),
}


@lru_cache
def compiled(name):
    sequence, values = SCANS[name]
    return compile_scan(read_pulseq(build(sequence, values, SCANNER).seq), SCANNER, nominal_calibration(SCANNER), AXIAL)


@lru_cache
def measured(name, drift_c=0.0):
    """Samples of all readouts, of a magnet that warms steadily by so much in the scan."""
    scan = compiled(name)
    magnet = replace(VIALS.magnet, drift_c_per_s=drift_c / scan.facts.duration_s)
    raw = simulate(scan, SCANNER, replace(VIALS, magnet=magnet), AXIAL, with_navigators=True)
    assert len(raw.samples) == len(scan.readouts)
    return raw.samples


def follow(name, samples, *, jump_hz=500.0, step=40):
    """Feed a tracker as the runner does, some readouts at a time."""
    scan, jumps = compiled(name), []
    tracker = FrequencyTracker(scan, jumps.append, jump_hz=jump_hz)
    for first in range(0, len(samples), step):
        part = samples[first : first + step]
        tracker.add(scan.readouts.slice(first, first + len(part)), part)
    return tracker, jumps


def times_s(scan):
    start_s = np.array([segment.start_s for segment in scan.segments])
    return start_s[scan.segment_of_readout] + scan.readouts.first_sample_tick / scan.clock_hz


def turned(name, samples, frequency_hz):
    """The same samples at a frequency that is off by so much in each readout."""
    scan = compiled(name)
    dwell_s = float(scan.readouts.dwell_ticks[0]) / scan.clock_hz
    time_s = scan.evolution_s[:, None] + dwell_s * np.arange(samples.shape[-1])
    return (samples * np.exp(2j * np.pi * frequency_hz[:, None] * time_s)[:, None]).astype(np.complex64)


@pytest.mark.parametrize(
    ("name", "drift_c"),
    [
        ("navigators", 0.05),
        ("navigators", 1.0),
        ("linear", 0.2),
        ("linear", 1.0),
        ("centre-out", 1.0),
        ("slices", 1.0),
        ("twice", 1.0),
    ],
)
def test_a_drift_is_followed_as_well_as_it_says(name, drift_c):
    scan = compiled(name)
    tracker, _ = follow(name, measured(name, drift_c), jump_hz=1e6)
    change_hz, sd_hz = tracker.followed.newest
    true_hz = SLOPE_HZ_PER_C * drift_c * tracker.followed.newest_s / scan.facts.duration_s
    assert abs(change_hz - true_hz) < 3 * sd_hz
    assert sd_hz < (20 if name == "navigators" else 150)
    assert abs(change_hz - true_hz) < 25 + 0.1 * abs(true_hz) or abs(drift_c) < 1


@pytest.mark.parametrize("name", ["navigators", "linear", "centre-out", "slices", "twice"])
def test_one_degree_is_told_once_and_not_before_it_is_there(name):
    tracker, jumps = follow(name, measured(name, 1.0))
    assert jumps == [tracker.jump]
    jump = jumps[0]
    true_hz = SLOPE_HZ_PER_C * jump.time_s / compiled(name).facts.duration_s
    assert abs(true_hz) > 500
    assert jump.change_hz < -500
    assert jump.may_be_motion
    assert "the patient has moved" in jump.text
    assert f"{signed(jump.change_hz)} Hz after" in jump.text


def test_a_steady_temperature_says_that_the_patient_moved():
    jump = FrequencyJump(change_hz=-800.0, time_s=30.0, limit_hz=500.0, may_be_motion=True)
    assert jump.is_rather_motion(0.02, SLOPE_HZ_PER_C)
    assert not jump.is_rather_motion(0.3, SLOPE_HZ_PER_C)
    assert not jump.is_rather_motion(float("nan"), SLOPE_HZ_PER_C)
    assert not replace(jump, may_be_motion=False).is_rather_motion(0.0, SLOPE_HZ_PER_C)


@pytest.mark.parametrize("name", SCANS)
def test_a_steady_magnet_is_left_alone(name):
    tracker, jumps = follow(name, measured(name))
    assert jumps == []
    if tracker.followed is not None:
        change_hz, sd_hz = tracker.followed.newest
        assert abs(change_hz) < 3 * sd_hz


@pytest.mark.parametrize("name", ["navigators", "linear", "twice"])
def test_a_sudden_jump_in_the_middle_is_told_soon(name):
    scan, samples = compiled(name), measured(name)
    time_s = times_s(scan)
    at_s = 0.6 * scan.facts.duration_s
    _, jumps = follow(name, turned(name, samples, np.where(time_s > at_s, 800.0, 0.0)))
    assert len(jumps) == 1
    assert jumps[0].time_s > at_s
    assert 650 < jumps[0].change_hz < 950
    if name == "navigators":  # three of them
        assert jumps[0].time_s < at_s + 4 * 2 * 0.3 + 0.5
    _, jumps = follow(name, turned(name, samples, np.where(time_s > at_s, 350.0, 0.0)))
    assert jumps == []


def test_one_bad_navigator_is_no_jump():
    scan, samples = compiled("navigators"), measured("navigators").copy()
    bad = np.flatnonzero(scan.readouts.label("NAV") & (scan.readouts.label("REF") == 0))[[7, 16]]
    offset_hz = np.zeros(len(samples))
    offset_hz[bad] = 3000.0
    tracker, jumps = follow("navigators", turned("navigators", samples, offset_hz))
    assert jumps == []
    assert abs(tracker.followed.newest[0]) < 30


@pytest.mark.parametrize("name", ["navigators", "linear", "slices", "twice"])
def test_noise_tells_nothing(name):
    samples = measured(name)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(*samples.shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
        tracker, jumps = follow(name, noise)
        assert jumps == []
        assert tracker.followed is None or len(tracker.changes) < 0.2 * tracker._pairs.n_comparisons


def test_a_scan_that_cannot_be_followed_says_so():
    tracker, _ = follow("gradient echo", measured("gradient echo", 1.0))
    assert not tracker.is_possible
    assert tracker.followed is None
    assert tracker.details == {}
    assert follow("linear", measured("linear"))[0].is_possible


def test_the_journal_gets_numbers():
    tracker, _ = follow("navigators", measured("navigators", 1.0))
    details = tracker.details
    assert details["n_comparisons"] == len(tracker.changes)
    assert details["change_hz"] == pytest.approx(tracker.followed.newest[0], abs=0.01)
    assert 0 < details["at_s"] <= compiled("navigators").facts.duration_s


def test_what_is_newly_known_is_noted_once_and_a_full_disk_disturbs_nobody():
    scan, samples, notes = compiled("navigators"), measured("navigators", 0.05), []

    def note(event, **details):
        notes.append((event, details))
        if len(notes) == 2:
            raise StorageError("The disk is full.", "Free space.")

    tracker = FrequencyTracker(scan, print, note=note)
    for row in range(len(samples)):
        tracker.add(scan.readouts.slice(row, row + 1), samples[row : row + 1])
    assert {event for event, _ in notes} == {"frequency"}
    assert [details["n_comparisons"] for _, details in notes] == list(range(1, len(tracker.changes) + 1))
    assert notes[-1][1] == tracker.details


def test_a_narrow_band_bears_less():
    scan = compiled("linear")
    dwell_ticks = np.full(len(scan.readouts), scan.clock_hz / 3000.0)
    narrow = replace(scan, readouts=replace(scan.readouts, dwell_ticks=dwell_ticks))
    assert FrequencyTracker(narrow, print).limit_hz == pytest.approx(300.0)
    assert FrequencyTracker(scan, print).limit_hz == 500.0


def test_how_the_runner_cuts_the_scan_changes_nothing():
    samples = measured("linear", 0.2)
    found = [follow("linear", samples, step=step)[0].followed.newest for step in (1, 7, 1000)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(found[2])


def test_several_channels_and_rows_of_different_length_are_taken():
    scan, samples = compiled("navigators"), measured("navigators", 0.2)
    tracker = FrequencyTracker(scan, print)
    rows = [np.concatenate([row, 0.1 * row[::-1]]) for row in samples]
    rows[3] = rows[3][:, :20]  # cut short
    tracker.add(scan.readouts, rows)
    assert tracker.followed.newest == pytest.approx(follow("navigators", samples)[0].followed.newest, rel=0.05)


def test_a_jump_says_from_where_on_lines_are_spoilt():
    scan, samples = compiled("navigators"), measured("navigators")
    spoilt = len(samples) // 2
    frequency_hz = np.where(np.arange(len(samples)) >= spoilt, 800.0, 0.0)
    _, (jump,) = follow("navigators", turned("navigators", samples, frequency_hz))
    navigators = np.flatnonzero(scan.readouts.label("NAV"))
    last_good = navigators[navigators < spoilt][-1]
    assert jump.sure_until == last_good + 1
    assert spoilt - 12 < jump.sure_until <= spoilt


@pytest.mark.parametrize("name", ["navigators", "twice"])
def test_a_scan_goes_on_at_the_new_frequency_and_is_followed_from_there(name):
    """Lines from the jump on are measured again at the new frequency; a second jump is told, and what is no jump is not."""
    scan, samples = compiled(name), measured(name)
    n, jumps = len(samples), []
    tracker = FrequencyTracker(scan, jumps.append)
    first, second = (n // 2, 3 * n // 4) if name == "navigators" else (n // 2, 400)  # where its lines are strong
    magnet_hz = np.where(np.arange(n) >= first, 800.0, 0.0) + np.where(np.arange(n) >= second, 900.0, 0.0)

    def feed(start, shift_hz):
        lines = turned(name, samples, np.maximum(magnet_hz, shift_hz) - shift_hz)  # time has passed
        for at in range(start, n, 40):
            tracker.add(scan.readouts.slice(at, min(at + 40, n)), lines[at : at + 40])
            if tracker.jump is not None:
                return

    feed(0, 0.0)
    assert [jump.change_hz for jump in jumps] == [pytest.approx(800, abs=30)]
    tracker.resume(jumps[0].sure_until, 800.0)
    feed(jumps[0].sure_until, 800.0)
    assert [jump.change_hz for jump in jumps] == [pytest.approx(800, abs=30), pytest.approx(900, abs=30)]
    assert jumps[1].sure_until > jumps[0].sure_until
    tracker.resume(jumps[1].sure_until, 1700.0)
    feed(jumps[1].sure_until, 1700.0)
    assert len(jumps) == 2
    expected_hz = 1700.0 if name == "navigators" else 900.0  # since the earlier readout of the last pair
    assert tracker.changes.change_hz[-1] == pytest.approx(expected_hz, abs=40.0)


def test_a_patient_who_moved_is_told_once_and_the_frequency_followed_on():
    scan, samples = compiled("navigators"), measured("navigators")
    n, jumps = len(samples), []
    tracker = FrequencyTracker(scan, jumps.append)
    moved = np.arange(n) >= n // 3
    later = np.arange(n) >= 2 * n // 3
    lines = turned("navigators", samples, np.where(moved, -700.0, 0.0) + np.where(later, 800.0, 0.0))
    for at in range(0, n, 40):
        tracker.add(scan.readouts.slice(at, min(at + 40, n)), lines[at : at + 40])
        if tracker.jump is not None:
            tracker.moved()
    assert [jump.change_hz for jump in jumps] == [pytest.approx(-700, abs=30), pytest.approx(800, abs=30)]
