# SPDX-License-Identifier: MIT
"""A history of exposures survives restarts and clocks that jump, counts what was played and nothing else."""

import json
import math
import random

import numpy as np
import pytest

from isocenter.domain.errors import StorageError
from isocenter.domain.exposure import BIN_S, Exposure, Label, PlannedDose, Quantity
from isocenter.domain.exposure_history import Dose, ExposureHistory


def planned(n_segments=3, segment_s=2.0, gap_s=0.5, drive=0.25, tr_s=0.5, pulse_s=1e-3, shim=0.0):
    """Segments with one pulse of 1 ms every TR and 2 mT/m on x all the time."""
    starts = np.arange(n_segments) * (segment_s + gap_s)
    per_segment = round(segment_s / tr_s)
    pulses = (starts[:, None] + np.arange(per_segment) * tr_s + 0.01).reshape(-1)
    duration_s = starts[-1] + segment_s
    edges = np.minimum(np.arange(math.ceil(duration_s / BIN_S - 1e-9) + 1) * BIN_S, duration_s)
    gradient = np.zeros((6, len(edges) - 1))
    gradient[0], gradient[3] = (2e-3) ** 2 * np.diff(edges), 2e-3 * np.diff(edges)
    return PlannedDose(
        duration_s=duration_s,
        pulse_start_s=pulses,
        pulse_end_s=pulses + pulse_s,
        pulse_drive_s=np.full(len(pulses), drive * pulse_s),
        b1_full_t=100e-6,
        edge_s=edges,
        gradient=gradient,
        shim_t_per_m=(shim, 0.0, 0.0),
        segment_start_s=starts,
        segment_end_s=starts + segment_s,
    )


def test_only_played_segments_count():
    scan = planned()
    history = ExposureHistory(clock="a").with_segment(scan, 0, 100.0)
    assert history.total(Quantity.DRIVE_S, 0, 1000) == pytest.approx(4 * 0.25e-3)
    history = history.with_segment(scan, 1, 103.0)
    assert history.total(Quantity.DRIVE_S, 0, 1000) == pytest.approx(8 * 0.25e-3)
    assert history.total(Quantity.B1_T2_S, 0, 1000) == pytest.approx(8 * 0.25e-3 * 1e-8)
    assert history.total(Quantity.RF_ON_S, 0, 1000) == pytest.approx(8e-3)
    assert history.total(Quantity.GX_SQUARE, 0, 1000) == pytest.approx(4e-6 * 4.0)
    assert history.total(Quantity.GX_SIZE, 0, 1000) == pytest.approx(2e-3 * 4.0)
    assert history.mean(Quantity.DRIVE_S, 10.0, 105.0) == pytest.approx(8 * 0.25e-3 / 10)
    assert history.mean(Quantity.DRIVE_S, 2.0, 105.0) == pytest.approx(4 * 0.25e-3 / 2)


def test_a_scan_as_one_piece_and_in_segments_is_the_same():
    scan = planned(gap_s=0.0)
    whole = scan.bins(0.0, scan.duration_s)
    parts = np.concatenate([scan.bins(a, b) for a, b in zip(scan.segment_start_s, scan.segment_end_s, strict=True)])
    np.testing.assert_allclose(parts, whole, atol=1e-15)


def test_while_a_segment_plays_only_its_past_counts():
    scan = planned()
    history = ExposureHistory(clock="a").with_segment(scan, 0, 100.0)
    assert history.mean(Quantity.GX_SQUARE, 1.0, 100.5) == pytest.approx(0.5 * 4e-6)
    assert history.total(Quantity.GX_SQUARE, 0, 101.0) == pytest.approx(4e-6)


def test_history_survives_a_restart_on_the_same_steady_clock():
    history = ExposureHistory(clock="boot-7").with_segment(planned(), 0, 100.0)
    lines = [json.dumps(record) for record in history.to_records()]
    again = ExposureHistory.from_records(map(json.loads, lines), "boot-7", 250.0)
    for quantity in Quantity:
        assert again.mean(quantity, 360.0, 250.0) == pytest.approx(history.mean(quantity, 360.0, 250.0), rel=1e-6)
    assert again.mean(Quantity.DRIVE_S, 10.0, 250.0) == 0


def test_records_written_segment_by_segment_make_the_same_history():
    scan, history, lines = planned(), ExposureHistory(clock="a"), []
    for segment in range(3):
        dose = history.dose(scan, segment, 50.0 + 2.5 * segment)
        lines.append(json.dumps(dose.to_record()))
        history = history.with_dose(dose)
    again = ExposureHistory.from_records(map(json.loads, lines), "a", 60.0)
    np.testing.assert_allclose(again.start_s, history.start_s, rtol=1e-8)
    np.testing.assert_allclose(again.values, history.values, rtol=1e-6)


@pytest.mark.parametrize("now_s", [0.0, 3.0, 1e6])
def test_on_another_clock_it_counts_as_ended_now(now_s):
    """Nobody knows how long a computer was off when its clock may have been set: heat is not forgotten."""
    history = ExposureHistory(clock="before").with_segment(planned(), 0, 5000.0)
    again = ExposureHistory.from_records(history.to_records(), "after", now_s)
    assert again.clock == "after"
    assert again.mean(Quantity.DRIVE_S, 10.0, now_s) == pytest.approx(4 * 0.25e-3 / 10)
    assert again.mean(Quantity.DRIVE_S, 10.0, now_s + 20) == 0


def test_two_earlier_clocks_follow_each_other_without_a_pause():
    first = ExposureHistory(clock="1").with_segment(planned(), 0, 9000.0)
    second = ExposureHistory(clock="2").with_segment(planned(), 0, 10.0)
    again = ExposureHistory.from_records([*first.to_records(), *second.to_records()], "3", 100.0)
    assert again.total(Quantity.GX_SQUARE, 96.0, 100.0) == pytest.approx(4e-6 * 4)
    assert again.total(Quantity.GX_SQUARE, 98.0, 100.0) == pytest.approx(4e-6 * 2)


def test_pauses_on_another_clock_are_kept():
    scan, history = planned(), ExposureHistory(clock="before")
    lines = [history.dose(scan, 0, at_s).to_record() for at_s in (100.0, 700.0, 1000.0)]
    again = ExposureHistory.from_records(lines, "after", 50.0)
    assert again.mean(Quantity.DRIVE_S, 360.0, 50.0) == pytest.approx(2 * 4 * 0.25e-3 / 360)
    assert again.total(Quantity.DRIVE_S, 50.0 - 902.1, 50.0) == pytest.approx(3 * 4 * 0.25e-3)


def test_a_crash_within_a_segment_makes_nothing_older():
    scan, history = planned(), ExposureHistory(clock="a")
    lines = [history.dose(scan, 0, at_s).to_record() for at_s in (100.0, 104.0)]
    again = ExposureHistory.from_records(lines, "a", 104.5)  # half a second into the second one
    assert again.total(Quantity.DRIVE_S, 104.5 - 2.0, 104.5) == pytest.approx(4 * 0.25e-3)
    assert again.total(Quantity.DRIVE_S, 104.5 - 4.6, 104.5) == pytest.approx(2 * 4 * 0.25e-3)


def test_a_clock_of_the_same_name_that_began_anew_forgets_nothing():
    scan, history = planned(), ExposureHistory(clock="a")
    lines = [history.dose(scan, 0, at_s).to_record() for at_s in (5000.0, 10.0)]
    again = ExposureHistory.from_records(lines, "a", 12.0)
    assert again.total(Quantity.DRIVE_S, 12.0 - 4.0, 12.0) == pytest.approx(2 * 4 * 0.25e-3)


def test_a_clock_that_went_back_does_not_hide_a_dose_in_the_future():
    history = ExposureHistory(clock="a").with_segment(planned(), 0, 5000.0)
    again = ExposureHistory.from_records(history.to_records(), "a", 100.0)
    assert again.total(Quantity.DRIVE_S, 90.0, 100.0) == pytest.approx(4 * 0.25e-3)


@pytest.mark.parametrize("seed", range(8))
def test_no_restart_and_no_clock_makes_the_past_smaller(seed):
    """Random scans, restarts of program and computer, steady clocks that begin anywhere: never less than was true."""
    rng, scan = random.Random(f"restarts {seed}"), planned()
    true_s, clock, offset_s, truth, lines = 0.0, "boot 0", rng.uniform(-500, 5e5), ExposureHistory(clock="true"), []
    history = ExposureHistory(clock=clock)
    for step in range(60):
        event = rng.choice(["scan", "scan", "scan", "pause", "program", "computer"])
        if event == "scan":
            segment = rng.randrange(3)
            dose = history.dose(scan, segment, true_s + offset_s)
            lines.append(json.loads(json.dumps(dose.to_record())))
            history = history.with_dose(dose)
            truth = truth.with_segment(scan, segment, true_s)
            true_s += 2.0
        else:
            true_s += rng.choice([0.5, 30.0, 300.0, 5000.0])
            if event == "computer":
                clock, offset_s = f"boot {step}", rng.uniform(-500, 5e5) - true_s
            if event != "pause":
                history = ExposureHistory.from_records(lines, clock, true_s + offset_s)
                lines = history.to_records()
        for quantity, window_s in ((Quantity.DRIVE_S, 360.0), (Quantity.DRIVE_S, 10.0), (Quantity.GX_SQUARE, 60.0)):
            is_true = truth.mean(quantity, window_s, true_s)
            assert history.mean(quantity, window_s, true_s + offset_s) >= is_true * (1 - 1e-3) - 1e-15
        warm, is_warm = (
            history.decayed(Quantity.GX_SQUARE, 600.0, true_s + offset_s),
            truth.decayed(Quantity.GX_SQUARE, 600.0, true_s),
        )
        assert warm >= is_warm * (1 - 1e-3)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"clock": "a"},
        {"clock": "", "rows": []},
        {"clock": "a", "rows": [[1, 2, 3]]},
        {"clock": "a", "rows": [[0.0, 0.1, *[float("nan")] * 9]]},
        {"clock": "a", "rows": [[0.0, 0.1, *[-1.0] * 9]]},
        {"clock": "a", "rows": [[5.0, 0.1, *[0.0] * 9], [1.0, 0.1, *[0.0] * 9]]},
        {"clock": "a", "rows": "x"},
    ],
)
def test_a_damaged_record_is_an_error_and_not_an_empty_history(record):
    with pytest.raises(StorageError, match="one hour"):
        ExposureHistory.from_records([record], "a", 0.0)


def test_doses_of_two_clocks_do_not_mix():
    with pytest.raises(ValueError, match="clock b"):
        ExposureHistory(clock="a").with_dose(ExposureHistory(clock="b").dose(planned(), 0, 0.0))


def test_a_day_of_scans_stays_small_and_keeps_its_sums():
    scan, history = planned(n_segments=1, segment_s=5.0), ExposureHistory(clock="a")
    for number in range(1500):
        history = history.with_segment(scan, 0, number * 5.0)
    assert len(history.start_s) < 8000
    now_s = 1500 * 5.0
    assert history.mean(Quantity.DRIVE_S, 360.0, now_s) == pytest.approx(0.25e-3 / 0.5)
    assert history.total(Quantity.GX_SQUARE, 0, now_s) == pytest.approx(4e-6 * now_s, rel=1e-9)
    much_later = history.with_segment(scan, 0, now_s + 5 * 3600)
    assert much_later.total(Quantity.DRIVE_S, 0, 1e9) == pytest.approx(10 * 0.25e-3)


def test_scaled_kept_and_stretched():
    scan = planned(n_segments=2)
    assert scan.scaled(0.5).bins(0, 10)[:, Quantity.DRIVE_S].sum() == pytest.approx(scan.pulse_drive_s.sum() / 4)
    assert scan.kept(np.arange(8) % 2 == 0).pulse_start_s.tolist() == scan.pulse_start_s[::2].tolist()
    longer = scan.stretched(0.5, 0.25)
    np.testing.assert_allclose(np.diff(longer.pulse_start_s)[:3], 0.75)
    assert longer.segment_start_s[1] == pytest.approx(2.5 + 4 * 0.25)
    assert longer.pulse_start_s[4] - longer.segment_start_s[1] == pytest.approx(0.01)
    assert longer.duration_s == pytest.approx(scan.duration_s + 2.0)
    assert longer.gradient[0].sum() == pytest.approx(scan.gradient[0].sum())
    shimmed = planned(n_segments=2, shim=1e-3).stretched(0.5, 0.25)
    assert shimmed.gradient[0].sum() == pytest.approx(scan.gradient[0].sum() + 1e-6 * 2.0)


def test_repetitions_of_a_train_stay_together():
    train = planned(n_segments=1, segment_s=2.0, tr_s=0.25)  # as if two pulses made one repetition of 0.5 s
    longer = train.stretched(0.5, 1.0)
    np.testing.assert_allclose(np.diff(longer.pulse_start_s), [0.25, 1.25] * 3 + [0.25])


def exposure(value, limit, label=Label.MODEL):
    return Exposure(name="head SAR", value=value, limit=limit, unit="W/kg", window_s=360.0, label=label)


def test_unknown_is_never_within():
    assert exposure(1.6, 3.2).fraction == 0.5
    assert exposure(1.6, 3.2).is_within
    assert not exposure(3.3, 3.2).is_within
    assert exposure(3.3, math.nan).is_within
    assert not exposure(math.nan, 3.2, Label.UNKNOWN).is_within
    assert not exposure(math.nan, 3.2).is_within
    assert math.isnan(exposure(0.0, 3.2, Label.UNKNOWN).fraction)
    assert exposure(1.0, 2.0).title == "head SAR in 6 min"


def test_what_a_person_reads():
    field = Exposure(name="B1+rms", value=2e-6, limit=4e-6, unit="T", window_s=10.0, label=Label.MODEL)
    assert field.shown == (pytest.approx(2.0), pytest.approx(4.0), "uT")
    assert exposure(1.0, 2.0).shown == (1.0, 2.0, "W/kg")


def test_records_of_nothing():
    assert ExposureHistory(clock="a").to_records() == []
    assert Dose.from_record({"clock": "a", "rows": []}).end_s == -math.inf
    assert ExposureHistory.from_records([], "a", 5.0).mean(Quantity.DRIVE_S, 10, 5.0) == 0
