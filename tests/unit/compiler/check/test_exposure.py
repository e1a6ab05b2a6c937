# SPDX-License-Identifier: MIT
"""Exposure of a patient to RF: closed forms, plain loops, history, operating mode, and advice that passes when followed."""

import dataclasses
import json
import math
import pickle
import random

import numpy as np
import pytest

from isocenter.compiler.check import (
    allowed_forward_power_w,
    check_scan,
    live_exposures,
    measured_exposures,
    predicted_exposures,
    raise_if_over,
)
from isocenter.compiler.check.dose import Windows
from isocenter.domain.errors import LimitError
from isocenter.domain.exposure import Label, Quantity
from isocenter.domain.exposure_history import Dose, ExposureHistory
from isocenter.domain.limits import FirstLevelConfirmation, OperatingMode, PatientSafety, Subject
from isocenter.domain.units import GAMMA_RAD_PER_S_T

NAN = float("nan")
PERSON = Subject(body_part="HEAD", weight_kg=60.0)
HEAD_KG = 3.6
CONFIRMED = FirstLevelConfirmation(name="Dr. Nakato", at="2026-05-04T09:30:00+03:00")


def train(bench, *, seconds=20, tr_ms=20.0, pulse_us=400.0, code=20000, n_slices=0, keep_slices=None):
    """Hard pulses at a steady rate, in segments of 1 s, with a readout after each so that it may belong to a slice."""
    per_segment = round(1000 / tr_ms)
    drafts, labels = [], []
    number = 0
    for index in range(round(seconds)):
        tracks = {"tx_gate": [], "tx0_i": [], "tx0_q": [], "rx_gate": [], "rx0_en": [], "rx0_rate": [[0, 123]]}
        readouts = []
        for shot in range(per_segment):
            at = bench.us(shot * tr_ms * 1e3 + 200)
            of_slice = number % n_slices if n_slices else 0
            number += 1
            if keep_slices is None or of_slice < keep_slices:
                tracks["tx_gate"] += [[at - bench.us(120), 1], [at + bench.us(pulse_us + 40), 0]]
                tracks["tx0_i"] += [[at, code], [at + bench.us(pulse_us), 0]]
            window = at + bench.us(3000)
            tracks["rx_gate"] += [[window - 100, 1], [window + 12_300 + 100, 0]]
            tracks["rx0_en"] += [[window, 1], [window + 12_300, 0]]
            readouts.append([window, 123, 100])
            labels.append(of_slice)
        drafts.append(bench.Draft(tracks=tracks, readouts=readouts, end=bench.us(1e6) - 1, start_s=float(index)))
    scan = bench.build(drafts)
    facts = dataclasses.replace(scan.facts, tr_s=tr_ms * 1e-3 * max(n_slices, 1))
    if n_slices:
        rows = np.array(labels, dtype=np.int32)
        of_scan = dataclasses.replace(scan.readouts, labels={"SLC": rows})
        segments = tuple(
            dataclasses.replace(
                segment,
                readouts=dataclasses.replace(
                    segment.readouts, labels={"SLC": rows[index * per_segment : (index + 1) * per_segment]}
                ),
            )
            for index, segment in enumerate(scan.segments)
        )
        scan = dataclasses.replace(scan, readouts=of_scan, segments=segments)
    return dataclasses.replace(scan, facts=facts)


def powered(bench, power_w=100.0, **safety):
    scanner = bench.scanner(max_duty=0.5)
    return dataclasses.replace(scanner, safety=PatientSafety(forward_power_w=power_w, **safety))


def check(bench, scan, scanner=None, **situation):
    situation.setdefault("subject", PERSON)
    return check_scan(scan, scanner or powered(bench), bench.calibration(), **situation)


def exposure(report, title):
    found = [one for one in report.exposures if one.title == title]
    assert len(found) == 1, [one.title for one in report.exposures]
    return found[0]


def advice_of(report, kind):
    found = {one.advised for finding in report.findings for one in finding.advice if one.kind == kind}
    assert len(found) == 1, (kind, [finding.problem for finding in report.findings])
    return found.pop()


def history_of(report, at_s, segments=None):
    history = ExposureHistory(clock="a")
    planned = report.planned
    for segment in range(len(planned.segment_start_s) if segments is None else segments):
        history = history.with_segment(planned, segment, at_s + float(planned.segment_start_s[segment]))
    return history


DRIVE = (20000 / 32767) ** 2 * 400e-6 / 20e-3  # mean power of the usual train, as a share of full power


def test_a_train_of_hard_pulses_in_closed_form(bench):
    report = check(bench, train(bench))
    assert report.findings == ()
    assert exposure(report, "B1+rms in 10 s").value == pytest.approx(100e-6 * math.sqrt(DRIVE), rel=1e-3)
    assert exposure(report, "forward RF power in 10 s").value == pytest.approx(100 * DRIVE, rel=1e-3)
    assert exposure(report, "forward RF power in 6 min").value == pytest.approx(100 * DRIVE * 20 / 360, rel=1e-3)
    assert exposure(report, "RF duty in 1 s").value == pytest.approx(0.02, rel=1e-3)
    whole, head = exposure(report, "whole-body SAR in 10 s"), exposure(report, "head SAR in 10 s")
    assert whole.value == pytest.approx(100 * DRIVE / 60, rel=1e-3)
    assert (whole.limit, head.limit) == (4.0, 6.4)
    assert head.value == pytest.approx(100 * DRIVE / HEAD_KG, rel=1e-3)
    assert exposure(report, "partial-body SAR in 6 min").limit == pytest.approx(10 - 8 * 0.06)
    assert whole.label is Label.BOUND
    assert report.mode is OperatingMode.NORMAL


def test_the_share_that_a_patient_takes_up_makes_a_model_of_the_bound(bench):
    report = check(bench, train(bench), powered(bench, absorbed_share=0.25))
    whole = exposure(report, "whole-body SAR in 10 s")
    assert whole.value == pytest.approx(25 * DRIVE / 60, rel=1e-3)
    assert whole.label is Label.MODEL
    assert exposure(report, "forward RF power in 10 s").value == pytest.approx(100 * DRIVE, rel=1e-3)


def test_local_sar_grows_with_the_square_of_field_and_frequency(bench):
    """Induced field at the wall of a bore of 0.3 m: E = 2 pi f B r / 2 with B = sqrt(2) B1+rms."""
    report = check(bench, train(bench))
    field_v_per_m = 2 * math.pi * 2e6 * math.sqrt(2) * exposure(report, "B1+rms in 10 s").value * 0.15 / 2
    assert exposure(report, "local SAR in 10 s").value == pytest.approx(2.0 * field_v_per_m**2 / 1000)
    assert exposure(report, "local SAR in 10 s").label is Label.MODEL


def test_a_report_with_exposures_survives_pickling(bench):
    report = check(bench, train(bench, seconds=2), confirmation=CONFIRMED)
    there = pickle.loads(pickle.dumps(report))
    assert [one.title for one in there.exposures] == [one.title for one in report.exposures]
    assert there.planned.duration_s == report.planned.duration_s


def test_what_a_scans_record_keeps_is_json_and_names_who_confirmed(bench):
    report = check(bench, train(bench), much_local(bench, 1.2), confirmation=CONFIRMED)
    record = json.loads(json.dumps(report.to_record(), allow_nan=False))
    assert record["mode"] == "first level"
    assert record["first_level_confirmed"] == {"name": "Dr. Nakato", "at": "2026-05-04T09:30:00+03:00"}
    local = next(row for row in record["exposures"] if (row["name"], row["window_s"]) == ("local SAR", 10.0))
    assert (local["limit"], local["label"]) == (40.0, "model")
    unknown = next(row for row in record["exposures"] if row["label"] == "unknown")
    assert (unknown["value"], unknown["fraction"]) == (None, None)
    assert not report.is_all_known
    assert check(bench, train(bench, seconds=2)).to_record()["first_level_confirmed"] is None


# Who lies in the scanner.


def test_nobody_named_leaves_sar_unknown_and_refuses_nothing(bench):
    report = check(bench, train(bench), powered(bench, 1e6), subject=None)
    assert report.is_allowed
    head = exposure(report, "head SAR in 6 min")
    assert head.label is Label.UNKNOWN
    assert not head.is_within


def test_a_person_is_not_scanned_when_nothing_bounds_sar(bench):
    report = check(bench, train(bench), powered(bench, NAN))
    assert [finding.limit for finding in report.findings] == ["unknown SAR"]
    assert not exposure(report, "head SAR in 6 min").is_within
    assert not exposure(report, "forward RF power in 6 min").is_within
    with pytest.raises(LimitError, match=r"(?s)RF amplifier of scanner bench is unknown.*safety\.forward_power_w"):
        report.raise_if_refused()


def test_limits_for_people_do_not_hold_for_a_phantom(bench):
    phantom = Subject(body_part="HEAD", is_phantom=True)
    for power_w in (NAN, 1e7):
        report = check(bench, train(bench), powered(bench, power_w), subject=phantom)
        assert report.is_allowed
    assert exposure(report, "whole-body SAR in 10 s").fraction == 0
    assert math.isnan(exposure(report, "nerve stimulation").limit)


def test_an_unknown_weight_counts_as_a_light_one_and_says_so(bench):
    report = check(bench, train(bench), subject=Subject(body_part="HEAD", age_years=30))
    whole = exposure(report, "whole-body SAR in 10 s")
    assert whole.value == pytest.approx(100 * DRIVE / 28, rel=1e-3)
    assert whole.label is Label.BOUND
    assert "No weight was given: 28 kg is counted." in whole.note
    model = check(bench, train(bench), powered(bench, absorbed_share=0.5), subject=Subject(body_part="HEAD"))
    assert exposure(model, "whole-body SAR in 10 s").label is Label.BOUND


def test_a_weight_that_cannot_be_is_refused(bench):
    report = check(bench, train(bench), subject=Subject(body_part="HEAD", weight_kg=700.0))
    assert "patient's weight" in [finding.limit for finding in report.findings]
    with pytest.raises(LimitError, match=r"(?s)700 kg cannot be.*Correct the weight, or leave it empty"):
        report.raise_if_refused()


def test_where_a_missing_weight_is_what_refuses_it_is_asked_for(bench):
    """At 60 kg the scan uses half of the head's limit, so it passes from 30 kg on."""
    scanner = powered(bench, 0.5 * 6.4 * HEAD_KG / DRIVE)
    unknown = Subject(body_part="HEAD")
    report = check(bench, train(bench), scanner, subject=unknown)
    assert report.findings[0].remedy.startswith("Enter the patient's weight: none was given, so only 2 kg are counted, or")
    weight_kg = advice_of(report, "weight")
    assert weight_kg == pytest.approx(30, abs=1.1)
    assert f"{weight_kg:.0f} kg" not in report.findings[0].remedy  # nobody is tempted to type it
    assert check(bench, train(bench), scanner, subject=dataclasses.replace(unknown, weight_kg=weight_kg)).is_allowed
    assert not check(bench, train(bench), scanner, subject=dataclasses.replace(unknown, weight_kg=weight_kg - 2)).is_allowed
    known = check(bench, train(bench), powered(bench, 1.5 * 6.4 * HEAD_KG / DRIVE))
    assert "weight" not in {one.kind for finding in known.findings for one in finding.advice}


@pytest.mark.parametrize("weight_kg", [0.0, -60.0, math.inf, 7000.0])
def test_a_weight_that_cannot_be_hides_no_sar(bench, weight_kg):
    report = check(bench, train(bench), subject=Subject(body_part="HEAD", weight_kg=weight_kg))
    assert not report.is_allowed
    assert exposure(report, "whole-body SAR in 10 s").value == pytest.approx(100 * DRIVE / 2.0, rel=1e-3)


@pytest.mark.parametrize(("part", "has_head"), [("HEAD", True), ("", True), ("KNEE", False), ("HAND", False)])
def test_the_head_counts_where_it_may_be_in_the_coil(bench, part, has_head):
    report = check(bench, train(bench, seconds=2), subject=Subject(body_part=part, weight_kg=60.0))
    assert any(one.name == "head SAR" for one in report.exposures) == has_head


def test_a_limit_of_the_site_for_b1_holds(bench):
    value = 100e-6 * math.sqrt(DRIVE)
    assert check(bench, train(bench), powered(bench, max_b1_rms_t=value * 1.01)).is_allowed
    report = check(bench, train(bench), powered(bench, max_b1_rms_t=value * 0.9))
    found = report.findings[0]
    assert found.limit == "B1+rms in 10 s"
    assert found.requested == pytest.approx(value * 1e6, rel=1e-3)
    assert found.unit == "uT"
    assert advice_of(report, "flip") == 0.89  # 0.9 less the margin


# Operating mode. The limit of local SAR doubles; that of the head does not.


def much_local(bench, share):
    """A scan at a share of the normal limit of local SAR over 10 s, and far below all others."""
    scanner = powered(bench, 1e-3)
    field_v_per_m = math.sqrt(share * 20.0 * 1000 / 2.0)
    bore_m = 4 * field_v_per_m / (2 * math.pi * 2e6 * math.sqrt(2) * 100e-6 * math.sqrt(DRIVE))
    safety = dataclasses.replace(scanner.safety, nerve_radius_m=0.1)
    return dataclasses.replace(scanner, magnet=dataclasses.replace(scanner.magnet, bore_m=bore_m), safety=safety)


def test_first_level_needs_a_person_and_is_reported(bench):
    scanner = much_local(bench, 1.2)
    refused = check(bench, train(bench), scanner)
    assert [finding.limit for finding in refused.findings] == ["local SAR in 10 s"]
    assert refused.mode is OperatingMode.NORMAL
    assert "confirm the first level controlled operating mode" in refused.findings[0].remedy
    assert exposure(refused, "local SAR in 10 s").fraction == pytest.approx(1.2, rel=1e-3)
    allowed = check(bench, train(bench), scanner, confirmation=CONFIRMED)
    assert allowed.is_allowed
    assert (allowed.mode, allowed.confirmation) == (OperatingMode.FIRST_LEVEL, CONFIRMED)
    assert exposure(allowed, "local SAR in 10 s").fraction == pytest.approx(0.6, rel=1e-3)


def test_a_confirmation_that_is_not_needed_changes_nothing(bench):
    report = check(bench, train(bench), confirmation=CONFIRMED)
    assert (report.mode, report.confirmation) == (OperatingMode.NORMAL, None)
    assert exposure(report, "local SAR in 10 s").limit == 20.0


def test_beyond_first_level_nobody_can_confirm(bench):
    for confirmation in (None, CONFIRMED):
        report = check(bench, train(bench), much_local(bench, 2.2), confirmation=confirmation)
        assert not report.is_allowed
        assert "confirm" not in " ".join(finding.remedy for finding in report.findings)


def test_what_no_person_can_confirm_is_not_offered_to_one(bench):
    scanner = dataclasses.replace(much_local(bench, 1.2), rf=bench.scanner(max_duty=0.01).rf)
    report = check(bench, train(bench), scanner)
    assert "confirm" not in " ".join(finding.remedy for finding in report.findings)


def test_the_heads_limit_is_the_same_in_first_level_mode(bench):
    scanner = powered(bench, 1.2 * 6.4 * HEAD_KG / DRIVE)
    assert not check(bench, train(bench), scanner, confirmation=CONFIRMED).is_allowed


# Across scans.


def test_back_to_back_scans_cross_the_limit_and_waiting_helps(bench):
    """Each scan of 20 s fills 70 % of the 10 s limit of the head; the 6 min limit is crossed by repeating it."""
    scan, scanner = train(bench), powered(bench, 0.7 * 6.4 * HEAD_KG / DRIVE)
    first = check(bench, scan, scanner)
    assert first.is_allowed
    history, played, now_s = ExposureHistory(clock="a"), 0, 1000.0
    while (report := check(bench, scan, scanner, history=history, starts_s=now_s)).is_allowed:
        for segment in range(20):
            history = history.with_segment(report.planned, segment, now_s + segment)
        played, now_s = played + 1, now_s + 20.0
        assert played < 20
    # 6.4 W/kg x 0.7 for 20 s each against 3.2 W/kg x 360 s
    assert played == math.floor(3.2 * 360 / (0.7 * 6.4 * 20))
    assert [finding.limit for finding in report.findings] == ["head SAR in 6 min"]
    wait_s = advice_of(report, "wait")
    assert "ait" in report.findings[0].remedy
    assert check(bench, scan, scanner, history=history, starts_s=now_s + wait_s).is_allowed
    assert not check(bench, scan, scanner, history=history, starts_s=now_s + wait_s - 2).is_allowed


def test_how_long_to_wait_in_closed_form(bench):
    """After 200 s at 1.7 times the 6 min limit there is room for 20 s more as soon as 8.2 s have left the window."""
    scan, scanner = train(bench), powered(bench, 1.7 * 3.2 * HEAD_KG / DRIVE)
    planned = check(bench, scan, scanner).planned
    history = ExposureHistory(clock="a")
    for second in range(200):
        history = history.with_segment(planned, 0, float(second))
    report = check(bench, scan, scanner, history=history, starts_s=200.0)
    # Played until the end of the scan: 220 s. The window of 360 s may hold 360 / 1.7 s of it, the rest must have left.
    expected = (220 - 360 / 1.7) + 360 - 220
    assert advice_of(report, "wait") == pytest.approx(expected, abs=1.01)
    assert f"{int(advice_of(report, 'wait')) // 60} min" in report.findings[0].remedy


def test_only_segments_that_were_played_count(bench):
    scan, scanner = train(bench), powered(bench, 0.9 * 3.2 * 360 / 20 * HEAD_KG / DRIVE / 20)
    report = check(bench, scan, scanner)
    shares = []
    for played in (0, 5, 20):
        after = check(bench, scan, scanner, history=history_of(report, 100.0, played), starts_s=120.0)
        shares.append(exposure(after, "head SAR in 6 min").value / exposure(report, "head SAR in 6 min").value)
    np.testing.assert_allclose(shares, [1.0, 1.25, 2.0], rtol=1e-3)


def test_a_scan_may_not_start_before_what_is_still_played_has_ended(bench):
    scan = train(bench)
    history = history_of(check(bench, scan), 100.0)
    late = check(bench, scan, history=history, starts_s=120.0)
    for starts_s in (NAN, 100.0, 0.0):
        early = check(bench, scan, history=history, starts_s=starts_s)
        for title in ("head SAR in 10 s", "head SAR in 6 min"):
            assert exposure(early, title).value == pytest.approx(exposure(late, title).value, rel=1e-3)


def test_what_a_checked_scan_would_do_later_is_said_without_its_tables(bench):
    scan, scanner = train(bench), powered(bench, 0.7 * 6.4 * HEAD_KG / DRIVE)
    report = check(bench, scan, scanner)
    history = history_of(report, 100.0)
    for starts_s in (120.0, 125.0, 900.0):
        full = check(bench, scan, scanner, history=history, starts_s=starts_s)
        quick = predicted_exposures(report, scanner, PERSON, history, starts_s)
        assert sorted(one.title for one in quick) == sorted(one.title for one in full.exposures)
        for one in quick:
            assert one.value == pytest.approx(exposure(full, one.title).value, nan_ok=True), one.title
    raise_if_over(quick)
    for _ in range(12):
        history = history.with_dose(shifted(history, 20.0))
    with pytest.raises(LimitError, match=r"(?s)head SAR in 6 min would be .* W/kg are allowed.*Prepare the scan again"):
        raise_if_over(predicted_exposures(report, scanner, PERSON, history, 400.0))


def shifted(history, by_s):
    """The last 20 s of a history once more, so much later."""
    rows = slice(-200, None)
    start_s = history.start_s[rows] + by_s
    return Dose(clock=history.clock, start_s=start_s, length_s=history.length_s[rows], values=history.values[rows])


def test_the_peak_is_there_with_full_scale_as_its_limit(bench):
    peak = exposure(check(bench, train(bench, seconds=2)), "peak B1+")
    assert (peak.value, peak.limit) == (pytest.approx(100e-6 * 20000 / 32767), pytest.approx(100e-6))


def test_what_is_shown_live_is_what_was_predicted(bench):
    scan, scanner = train(bench), powered(bench)
    report = check(bench, scan, scanner)
    live = live_exposures(history_of(report, 50.0), 70.0, scanner, PERSON, OperatingMode.NORMAL)
    for one in live:
        if one.label is not Label.UNKNOWN:
            assert one.value == pytest.approx(exposure(report, one.title).value, rel=5e-3, abs=1e-12), one.title
    halfway = live_exposures(history_of(report, 50.0), 60.0, scanner, PERSON, OperatingMode.NORMAL)
    six = {one.title: one.value for one in halfway}["head SAR in 6 min"]
    assert six == pytest.approx(exposure(report, "head SAR in 6 min").value / 2, rel=2e-3)
    later = live_exposures(history_of(report, 50.0), 500.0, scanner, PERSON, OperatingMode.NORMAL)
    assert all(one.value == 0 for one in later if one.label is not Label.UNKNOWN and "warming" not in one.name)


def test_power_at_which_a_monitor_should_cut(bench):
    ten_s_w, six_min_w = allowed_forward_power_w(powered(bench), PERSON, OperatingMode.NORMAL)
    assert (ten_s_w, six_min_w) == pytest.approx((6.4 * HEAD_KG, 3.2 * HEAD_KG))
    half = allowed_forward_power_w(powered(bench, absorbed_share=0.5), PERSON, OperatingMode.NORMAL)
    assert half == pytest.approx((12.8 * HEAD_KG, 6.4 * HEAD_KG))
    assert allowed_forward_power_w(powered(bench), Subject(is_phantom=True), OperatingMode.NORMAL)[1] == math.inf


def test_sar_from_a_monitor_is_measured_and_its_silence_is_unknown(bench):
    scanner = powered(bench)
    ten_s_w, six_min_w = allowed_forward_power_w(scanner, PERSON, OperatingMode.NORMAL)
    found = {one.title: one for one in measured_exposures((ten_s_w, six_min_w / 2), scanner, PERSON, OperatingMode.NORMAL)}
    assert found["head SAR in 10 s"].fraction == pytest.approx(1.0)
    assert found["head SAR in 6 min"].fraction == pytest.approx(0.5)
    assert {one.label for one in found.values()} == {Label.MEASURED}
    silent = measured_exposures((NAN, NAN), scanner, PERSON, OperatingMode.NORMAL)
    assert {one.label for one in silent} == {Label.UNKNOWN}
    assert not any(one.is_within for one in silent)
    nobody = measured_exposures((1.0, 1.0), scanner, None, OperatingMode.NORMAL)
    assert {one.label for one in nobody} == {Label.UNKNOWN}


# Advice is followed.


def test_a_longer_tr_as_advised_passes_and_a_shorter_one_does_not(bench):
    scanner = powered(bench, 1.5 * 6.4 * HEAD_KG / DRIVE)
    report = check(bench, train(bench), scanner)
    tr_ms = advice_of(report, "tr") * 1e3
    assert tr_ms == pytest.approx(30.0, abs=1.01)
    assert check(bench, train(bench, tr_ms=math.ceil(tr_ms)), scanner).is_allowed
    assert not check(bench, train(bench, tr_ms=28.0), scanner).is_allowed
    assert f"engthen TR to at least {tr_ms:.0f} ms" in report.findings[0].remedy


def test_lower_flip_angles_as_advised_pass_and_higher_ones_do_not(bench):
    scanner = powered(bench, 1.5 * 6.4 * HEAD_KG / DRIVE)
    report = check(bench, train(bench), scanner)
    factor = advice_of(report, "flip")
    assert factor == pytest.approx(math.sqrt(1 / 1.5), abs=0.011)
    assert check(bench, train(bench, code=int(20000 * factor)), scanner).is_allowed
    assert not check(bench, train(bench, code=int(20000 * (factor + 0.02))), scanner).is_allowed
    degrees = math.degrees(GAMMA_RAD_PER_S_T * 100e-6 * 20000 / 32767 * 400e-6)
    assert f"({degrees:.0f}° to {math.floor(degrees * factor)}°)" in report.findings[0].remedy


def test_fewer_slices_as_advised_pass_and_one_more_does_not(bench):
    scanner = powered(bench, 1.5 * 6.4 * HEAD_KG / DRIVE)
    report = check(bench, train(bench, n_slices=10), scanner)
    n_slices = int(advice_of(report, "slices"))
    assert n_slices == 6
    assert f"{n_slices} of the 10 slices" in report.findings[0].remedy
    assert check(bench, train(bench, n_slices=10, keep_slices=n_slices), scanner).is_allowed
    assert not check(bench, train(bench, n_slices=10, keep_slices=n_slices + 1), scanner).is_allowed


def test_advice_for_a_sequence_that_nothing_single_mends(bench):
    scanner = powered(bench, 5000 * 6.4 * HEAD_KG / DRIVE)
    report = check(bench, train(bench, seconds=2), scanner)
    assert "no single change" in report.findings[0].remedy


# Worst windows against plain loops.


def plain_worst(stretches, window_s, end_s):
    """Largest mean over windows that end from 0 on: every start and end of a stretch is tried at either side of it."""
    worst = 0.0
    edges = [edge for start, stop, _ in stretches for edge in (start, stop)]
    for stop in [edge for edge in edges if edge >= 0] + [edge + window_s for edge in edges if edge + window_s >= 0] + [0.0]:
        total = 0.0
        for a, b, amount in stretches:
            overlap = min(b, stop) - max(a, stop - window_s)
            total += amount * max(0.0, overlap) / (b - a)
        worst = max(worst, total / window_s)
    return worst


@pytest.mark.parametrize("seed", range(6))
def test_worst_windows_are_those_of_a_plain_search(bench, seed):
    rng = random.Random(f"windows {seed}")
    base = check(bench, train(bench, seconds=2)).planned
    n = rng.randrange(1, 40)
    starts = np.sort(np.array([rng.uniform(0, 25) for _ in range(n)]))
    lengths = np.minimum(np.array([rng.uniform(1e-4, 0.5) for _ in range(n)]), np.diff(starts, append=30.0) * 0.9)
    drives = np.array([rng.uniform(0, 1) for _ in range(n)]) * lengths
    planned = dataclasses.replace(
        base, duration_s=26.0, pulse_start_s=starts, pulse_end_s=starts + lengths, pulse_drive_s=drives
    )
    times = np.sort(np.array([rng.uniform(0, 30) for _ in range(rng.randrange(0, 30))]))
    values = np.zeros((len(times), 9))
    values[:, Quantity.DRIVE_S] = [rng.uniform(0, 0.3) for _ in times]
    history = ExposureHistory(clock="a")
    if len(times):
        history = history.with_dose(
            Dose(clock="a", start_s=times, length_s=np.minimum(0.1, np.diff(times, append=99.0)), values=values)
        )
    starts_s = rng.uniform(31, 40)
    windows = Windows(planned=planned, history=history, starts_s=starts_s)
    stretches = [
        (a - starts_s, a + length - starts_s, v)
        for a, length, v in zip(history.start_s, history.length_s, history.values[:, 0], strict=True)
    ] + list(zip(starts, starts + lengths, drives, strict=True))
    for window_s in (0.5, 10.0, 360.0):
        assert windows.mean(Quantity.DRIVE_S, window_s) == pytest.approx(plain_worst(stretches, window_s, 26.0), rel=1e-9)


# Random scans against plain loops over their tables.


def random_scan(bench, rng):
    """Complex pulses of several steps in segments with random pauses, and the same as plain rows (start, end, power)."""
    drafts, plain, start_s = [], [], rng.uniform(0, 0.5)
    for _ in range(rng.randrange(1, 8)):
        tracks, at = {"tx_gate": [], "tx0_i": [], "tx0_q": []}, bench.us(300)
        for _ in range(rng.randrange(1, 12)):
            tracks["tx_gate"].append([at - bench.us(120), 1])
            for _ in range(rng.randrange(1, 6)):
                i, q, ticks = rng.randrange(-20000, 20001), rng.randrange(-20000, 20001), bench.us(rng.uniform(5, 400))
                tracks["tx0_i"].append([at, i])
                tracks["tx0_q"].append([at, q])
                origin = round(start_s * bench.CLOCK_HZ) + at
                plain.append(((origin) / bench.CLOCK_HZ, (origin + ticks) / bench.CLOCK_HZ, (i * i + q * q) / 32767**2))
                at += ticks
            tracks["tx0_i"].append([at, 0])
            tracks["tx0_q"].append([at, 0])
            tracks["tx_gate"].append([at + bench.us(40), 0])
            at += bench.us(rng.choice([500, 20e3, 200e3]))
        drafts.append(bench.Draft(tracks=tracks, end=at, start_s=start_s))
        start_s += at / bench.CLOCK_HZ + rng.choice([0.001, 0.5, 20.0])
    return bench.build(drafts), plain


@pytest.mark.parametrize("seed", range(5))
def test_a_scan_passes_exactly_when_a_plain_sum_over_its_table_says_so(bench, seed):
    """Energy of every constant stretch, in every window that starts or ends at one."""
    rng = random.Random(f"plain {seed}")
    passed = refused = 0
    for _ in range(12):
        scan, plain = random_scan(bench, rng)
        stretches = [(a, b, power * (b - a)) for a, b, power in plain]
        end_s = max(b for _, b, _ in plain)
        share = rng.choice([0.3, 0.8, 0.97, 1.03, 1.3, 3.0])
        ten, six = plain_worst(stretches, 10.0, end_s), plain_worst(stretches, 360.0, end_s)
        largest = max(ten / 6.4, six / 3.2) / HEAD_KG
        power_w = share / largest
        scanner = powered(bench, power_w)
        report = check(bench, scan, scanner)
        assert exposure(report, "head SAR in 10 s").value == pytest.approx(power_w * ten / HEAD_KG, rel=5e-3)
        assert exposure(report, "head SAR in 6 min").value == pytest.approx(power_w * six / HEAD_KG, rel=5e-3)
        limits = {finding.limit for finding in report.findings}
        is_refused = bool(limits & {"head SAR in 10 s", "head SAR in 6 min"})
        assert is_refused == (share > 1), (share, limits)
        passed, refused = passed + (not is_refused), refused + is_refused
    assert passed
    assert refused
