# SPDX-License-Identifier: MIT
"""Long scans are looked at as often as their images and their magnet need, and never more than once a minute."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from isocenter.acquisition.prescan.looks import LEAST_APART_S, USUAL_C_PER_H, Looks, drift_rate_hz_per_s, plan_looks
from isocenter.acquisition.prescan.recentre import tolerance_hz
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build

SCANNER = load_scanner("osii-one")
SLOPE_HZ_PER_C = SCANNER.magnet.drift_hz_per_c
USUAL_HZ_PER_S = abs(SLOPE_HZ_PER_C) * USUAL_C_PER_H / 3600
BOX = {"fov_read_m": 0.24, "fov_phase_m": 0.24, "fov_slab_m": 0.16, "n_read": 64, "n_phase": 12, "n_slab": 4}


@lru_cache
def compiled(sequence, **values):
    seq = build(sequence, {**BOX, **values}, SCANNER).seq
    return compile_scan(read_pulseq(seq), SCANNER, nominal_calibration(SCANNER), place(Orientation.AXIAL))


def lasting(duration_s):
    """A gradient echo that takes so long."""
    scan = compiled("gre_3d", tr_s=0.5, dummy_shots=0)
    last = scan.segments[-1]
    factor = duration_s / (last.start_s + last.end_tick / scan.clock_hz)
    segments = tuple(
        replace(one, start_s=one.start_s * factor, end_tick=round(one.end_tick * factor)) for one in scan.segments
    )
    return replace(scan, segments=segments, facts=replace(scan.facts, duration_s=duration_s))


def history(*changes_hz, apart_s=120.0, coil="head", sd_hz=1.0):
    hz = np.cumsum([2e6, *changes_hz])
    return [
        CalibrationValue(
            quantity=Quantity.LARMOR, value=(value,), sd=(sd_hz,), measured_at_s=1e9 + apart_s * index, coil=coil
        )
        for index, value in enumerate(hz.tolist())
    ]


def test_without_a_history_a_magnet_drifts_as_magnets_do():
    assert drift_rate_hz_per_s([], SLOPE_HZ_PER_C) == pytest.approx(USUAL_HZ_PER_S)
    assert drift_rate_hz_per_s([], -SLOPE_HZ_PER_C) == pytest.approx(USUAL_HZ_PER_S)
    assert drift_rate_hz_per_s(history(2.0, 3.0), SLOPE_HZ_PER_C) == pytest.approx(USUAL_HZ_PER_S), "too little is known"
    assert drift_rate_hz_per_s(history(2.0, 362.0), SLOPE_HZ_PER_C) == pytest.approx(3.0), "but that it was seen"


def test_a_history_tells_the_fastest_drift_it_has_seen():
    assert drift_rate_hz_per_s(history(20.0, -62.0, 3.0, 1.0, 0.0), SLOPE_HZ_PER_C) == pytest.approx(0.5)
    steady = drift_rate_hz_per_s(history(1.0, -1.0, 1.0, 0.0, 1.0, 2.0), SLOPE_HZ_PER_C)
    assert steady == pytest.approx(0.1 * USUAL_HZ_PER_S), "no magnet is steadier than that in a scan"


def test_measurements_far_apart_or_of_two_coils_or_uncertain_ones_tell_no_drift():
    far = history(*[900.0] * 8, apart_s=7200.0)
    close = history(*[900.0] * 8, apart_s=5.0)
    other = [replace(value, coil=f"coil {index % 2}") for index, value in enumerate(history(*[900.0] * 8))]
    unknown = [replace(value, measured_at_s=float("nan")) for value in history(*[900.0] * 8)]
    for values in (far, close, other, unknown):
        assert drift_rate_hz_per_s(values, SLOPE_HZ_PER_C) == pytest.approx(USUAL_HZ_PER_S)
    vague = history(*[300.0] * 8, sd_hz=150.0)
    assert drift_rate_hz_per_s(vague, SLOPE_HZ_PER_C) == pytest.approx(0.1 * USUAL_HZ_PER_S)


def test_short_scans_have_no_look_and_none_is_closer_than_a_minute():
    for duration_s in (5.0, 59.0, 100.0):
        plan = plan_looks(lasting(duration_s), 100.0)
        assert (plan.n, plan.extra_s, plan.text) == (0, 0.0, "")
    for duration_s in (121.0, 301.0, 1000.0):
        plan = plan_looks(lasting(duration_s), 100.0)
        assert plan.n == int(duration_s // LEAST_APART_S) - 1
        assert plan.spacing_s >= LEAST_APART_S


def test_looks_are_as_far_apart_as_the_drift_allows():
    scan = lasting(1000.0)
    rate = tolerance_hz(scan) / 210.0
    plan = plan_looks(scan, rate)
    assert (plan.n, plan.spacing_s) == (4, pytest.approx(200.0))
    assert plan_looks(scan, rate / 10).n == 0
    assert plan.each_s > 3.0, "the measurement, and two seconds of the scan"
    assert 4 * plan.each_s < plan.extra_s < 5 * plan.each_s, "and once more behind the last line"
    assert f"4 times in short pauses of the scan, {plan.extra_s:.0f} s in all" in plan.text


def test_navigators_follow_by_themselves_and_a_spectrum_needs_nothing():
    train = compiled("tse_3d", echo_train_length=4, tr_s=1.0, navigator_every=2)
    long = replace(train, segments=tuple(replace(one, start_s=100.0 * one.index) for one in train.segments))
    assert plan_looks(long, 100.0).n == 0
    plain = compiled("tse_3d", echo_train_length=4, tr_s=1.0)
    long = replace(plain, segments=tuple(replace(one, start_s=100.0 * one.index) for one in plain.segments))
    assert plan_looks(long, 100.0).n > 0, "mirror images tell of jumps, not of a tenth of a pixel"
    labels = {**plain.readouts.labels, "NOISE": np.ones(len(plain.readouts), dtype=np.int32)}
    assert plan_looks(replace(long, readouts=replace(plain.readouts, labels=labels)), 100.0).n == 0


@pytest.fixture
def looks():
    scan = lasting(1000.0)
    return Looks(scan, tolerance_hz(scan) / 210.0)


UNKNOWN = {"warmer_hz": float("nan"), "followed": None}


def test_a_look_is_due_when_its_time_has_come(looks):
    assert looks.why(199.0, **UNKNOWN) == ""
    assert looks.why(200.5, **UNKNOWN) == "it was last verified 200 s ago"
    looks.measured(200.5, 3.0)
    assert looks.why(399.0, **UNKNOWN) == ""
    assert looks.why(401.0, **UNKNOWN)
    assert looks.why(990.0, **UNKNOWN) == "", "so near the end nothing is gained"


def test_temperature_and_lines_bring_it_forward_but_not_within_a_minute(looks):
    limit_hz = looks.plan.limit_hz
    assert looks.why(59.0, warmer_hz=3 * limit_hz, followed=None) == ""
    assert "temperature says" in looks.why(61.0, warmer_hz=1.1 * limit_hz, followed=None)
    assert looks.why(61.0, warmer_hz=0.9 * limit_hz, followed=None) == ""
    assert "its lines say" in looks.why(61.0, warmer_hz=float("nan"), followed=(-1.5 * limit_hz, 0.2 * limit_hz))
    assert looks.why(61.0, warmer_hz=float("nan"), followed=(-1.5 * limit_hz, 0.4 * limit_hz)) == ""


def test_lines_that_are_sure_put_it_off(looks):
    looks.verify(150.0, (0.3 * looks.plan.limit_hz, 0.2 * looks.plan.limit_hz))
    assert looks.why(210.0, **UNKNOWN) == ""
    assert looks.why(351.0, **UNKNOWN) == "it was last verified 201 s ago"
    looks.verify(340.0, (0.3 * looks.plan.limit_hz, 0.5 * looks.plan.limit_hz))
    assert looks.why(351.0, **UNKNOWN), "lines that are not sure do not"


def test_a_look_that_failed_comes_again_when_the_next_is_due_and_verifies_nothing(looks):
    looks.tried(201.0)
    assert looks.why(300.0, **UNKNOWN) == ""
    assert looks.why(402.0, **UNKNOWN) == "it was last verified 402 s ago"
    assert looks.verified_s == 0.0


def test_a_drift_faster_than_expected_is_looked_at_sooner(looks):
    looks.measured(200.0, 2 * looks.plan.limit_hz)
    assert looks.why(299.0, **UNKNOWN) == ""
    assert looks.why(301.0, **UNKNOWN)
    looks.measured(301.0, 100 * looks.plan.limit_hz)
    assert looks.why(360.0, **UNKNOWN) == "", "never within a minute"
    assert looks.why(362.0, **UNKNOWN)


def test_behind_the_last_line_only_a_scan_that_was_looked_at_is_measured(looks):
    looks.measured(200.0, 700.0)
    assert not looks.is_due_at_end(1000.0), "that was a jump"
    looks.n_looks = 1
    assert looks.is_due_at_end(1000.0)
    looks.measured(1000.0, 1.0)
    assert not looks.is_due_at_end(1000.0), "once"
