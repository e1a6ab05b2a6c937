# SPDX-License-Identifier: MIT
"""Current and heat of gradients, and stimulation: closed forms, an independent implementation, history, advice."""

import dataclasses
import itertools
import math
import random

import numpy as np
import pytest

from isocenter.compiler.check import check_scan, live_exposures
from isocenter.compiler.check.dose_loops import binned
from isocenter.compiler.check.pns import bounds
from isocenter.domain.exposure import Label
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import (
    FirstLevelConfirmation,
    GradientThermal,
    NerveModel,
    OperatingMode,
    PatientSafety,
    Subject,
    nerve_threshold_t_per_s,
)

A_PER_T_PER_M = 1000.0
PERSON = Subject(body_part="HAND", weight_kg=60.0)
THERMAL = GradientThermal(
    a_per_t_per_m=A_PER_T_PER_M,
    max_a=10.0,
    max_rms_a=8.0,
    resistance_ohm=0.5,
    supply_v=12.0,
    max_stage_w=80.0,
    rise_k_per_w=2.0,
    time_constant_s=300.0,
    max_rise_k=30.0,
)
EXAMPLE = (  # constants of the fictitious scanner that the authors of the public implementation give; not of any real one
    NerveModel(
        tau1_s=0.2e-3, tau2_s=0.03e-3, tau3_s=3e-3, a1=0.4, a2=0.1, a3=0.5, stimulation_limit_t_per_m_s=30.0, g_scale=0.35
    ),
    NerveModel(
        tau1_s=1.5e-3,
        tau2_s=2.5e-3,
        tau3_s=0.15e-3,
        a1=0.55,
        a2=0.15,
        a3=0.3,
        stimulation_limit_t_per_m_s=15.0,
        g_scale=0.31,
    ),
    NerveModel(
        tau1_s=2e-3, tau2_s=0.12e-3, tau3_s=1e-3, a1=0.42, a2=0.4, a3=0.18, stimulation_limit_t_per_m_s=25.0, g_scale=0.25
    ),
)


def scanner_with(bench, *, thermal=None, nerve=None, bore_m=0.3, **changes):
    scanner = bench.scanner(**{"max_rms_t_per_m": 9e-3, **changes})
    nerves = nerve or (None,) * 3
    axes = tuple(
        dataclasses.replace(axis, thermal=thermal, nerve=model)
        for axis, model in zip(scanner.gradients.axes, nerves, strict=True)
    )
    return dataclasses.replace(
        scanner,
        gradients=dataclasses.replace(scanner.gradients, axes=axes),
        magnet=dataclasses.replace(scanner.magnet, bore_m=bore_m),
        safety=PatientSafety(forward_power_w=1.0),
    )


def code(bench, t_per_m):
    return round(t_per_m / bench.T_PER_M_PER_CODE)


def plateau(bench, t_per_m, *, seconds=10, on=1.0, name="grad_vx", tr_ms=1000.0):
    """A constant gradient for a share of each second, with ramps of 1 ms."""
    drafts = []
    for index in range(seconds):
        rows = bench.trapezoid(bench.us(2000), code(bench, t_per_m), n_ramp=100, flat=bench.us(on * 990e3 - 6000))
        drafts.append(bench.Draft(tracks={name: rows}, end=bench.us(990e3), start_s=index * tr_ms * 1e-3))
    scan = bench.build(drafts)
    return dataclasses.replace(scan, facts=dataclasses.replace(scan.facts, tr_s=tr_ms * 1e-3))


def check(bench, scan, scanner, **situation):
    situation.setdefault("subject", PERSON)
    return check_scan(scan, scanner, bench.calibration(**situation.pop("calibration", {})), **situation)


def exposure(report, title):
    found = [one for one in report.exposures if one.title == title]
    assert len(found) == 1, [one.title for one in report.exposures]
    return found[0]


def advice_of(report, kind):
    found = {one.advised for finding in report.findings for one in finding.advice if one.kind == kind}
    assert len(found) == 1, (kind, [finding.problem for finding in report.findings])
    return found.pop()


# Current and heat.


def test_current_is_that_of_the_largest_gradient_with_its_shim(bench):
    """The shim is part of the table, so that 6 mT/m on top of 4.5 mT/m of shim asks for 10.5 A."""
    scanner = scanner_with(bench, thermal=dataclasses.replace(THERMAL, max_a=9.0), max_t_per_m=15e-3)
    shim = code(bench, 4.5e-3)
    draft = bench.Draft(end=bench.us(50e3), shim=(shim, 0, 0))
    lobe = bench.trapezoid(bench.us(5000), code(bench, 6e-3), n_ramp=100, flat=bench.us(10e3))
    draft.tracks["grad_vx"] = [[0, shim], *[[tick, value + shim] for tick, value in lobe]]
    shims = {"shim_t_per_m": (4.5e-3, 0.0, 0.0)}
    report = check(bench, bench.build([draft]), scanner, calibration=shims)
    found = next(finding for finding in report.findings if finding.limit == "x gradient current")
    assert (found.requested, found.allowed, found.unit) == (pytest.approx(10.5, rel=1e-3), 9.0, "A")
    assert "the shim takes current as well" in found.remedy
    factor = found.advice[0].advised
    assert factor == pytest.approx(4.5 / 6, abs=0.011)

    def with_lobe(scale):
        lobe = bench.trapezoid(bench.us(5000), code(bench, 6e-3 * scale), n_ramp=100, flat=bench.us(10e3))
        draft.tracks["grad_vx"] = [[0, shim], *[[tick, value + shim] for tick, value in lobe]]
        report = check(bench, bench.build([draft]), scanner, calibration=shims)
        return [finding.limit for finding in report.findings]

    assert "x gradient current" not in with_lobe(factor)
    assert "x gradient current" in with_lobe(factor + 0.02)


def test_a_shim_that_alone_is_too_much_is_told_as_such(bench):
    scanner = scanner_with(bench, thermal=dataclasses.replace(THERMAL, max_a=4.0))
    shim = code(bench, 4.5e-3)
    draft = bench.Draft(tracks={"grad_vx": [[0, shim]]}, end=bench.us(50e3), shim=(shim, 0, 0))
    report = check(bench, bench.build([draft]), scanner, calibration={"shim_t_per_m": (4.5e-3, 0.0, 0.0)})
    found = next(finding for finding in report.findings if finding.limit == "x gradient current")
    assert (found.advice[0].kind, found.advice[0].advised) == ("shim", pytest.approx(4e-3))
    assert "Repeat the shim: that of x alone must stay below 4 mT/m" in found.remedy


def test_rms_over_a_minute_and_heat_of_the_stage_in_closed_form(bench):
    scanner = scanner_with(bench, thermal=THERMAL)
    report = check(bench, plateau(bench, 4e-3), scanner)
    assert report.findings == ()
    square = 10 * (4.0**2) * (0.984 + 2 * 1e-3 / 3)  # flat top and two ramps of 1 ms in each second [A² s]
    assert exposure(report, "x gradient current RMS in 1 min").value == pytest.approx(math.sqrt(square / 60), rel=1e-3)
    stage_w = 12.0 * 4.0 * 0.985 - 0.5 * 16.0 * (0.984 + 2e-3 / 3)
    assert exposure(report, "x amplifier heat in 1 s").value == pytest.approx(stage_w, rel=1e-2)
    assert exposure(report, "y gradient current RMS in 1 min").value == 0
    assert exposure(report, "x gradient current").value == pytest.approx(4.0, rel=1e-3)


def test_warming_of_a_coil_in_closed_form(bench):
    """A constant power P brings the coil to P R (1 - exp(-t / tau))."""
    report = check(bench, plateau(bench, 5e-3, seconds=30), scanner_with(bench, thermal=THERMAL))
    power_w = 0.5 * 25.0 * (0.984 + 2e-3 / 3)
    expected = power_w * 2.0 * (1 - math.exp(-30 / 300.0))
    assert exposure(report, "x gradient coil warming").value == pytest.approx(expected, rel=5e-3)


def test_a_coil_stays_warm_between_scans_and_waiting_cools_it(bench):
    scanner = scanner_with(bench, thermal=dataclasses.replace(THERMAL, max_rise_k=6.0))
    scan = plateau(bench, 6e-3, seconds=30)
    first = check(bench, scan, scanner)
    assert first.is_allowed
    one = exposure(first, "x gradient coil warming").value
    history = ExposureHistory(clock="a")
    for segment in range(30):
        history = history.with_segment(first.planned, segment, float(segment))
    second = check(bench, scan, scanner, history=history, starts_s=30.0)
    assert exposure(second, "x gradient coil warming").value == pytest.approx(one * (1 + math.exp(-30 / 300)), rel=5e-3)
    assert [finding.limit for finding in second.findings] == ["x gradient coil warming"]
    wait_s = advice_of(second, "wait")
    # What is left of the first and all of the second are the limit together.
    expected = 300 * math.log(one / (6.0 - one)) - 30
    assert wait_s == pytest.approx(max(expected, 0), abs=4.0)
    assert check(bench, scan, scanner, history=history, starts_s=30.0 + wait_s).is_allowed
    assert not check(bench, scan, scanner, history=history, starts_s=30.0 + wait_s - 2).is_allowed
    bins = first.planned.bins(0.0, 0.99)[:, 3].sum()
    assert bins == pytest.approx((6e-3) ** 2 * (0.984 + 2e-3 / 3), rel=1e-3)  # nothing is lost at the end of a segment
    live = {e.title: e.value for e in live_exposures(history, 30.0, scanner, PERSON, OperatingMode.NORMAL)}
    assert live["x gradient coil warming"] == pytest.approx(one, rel=5e-3)
    later = {e.title: e.value for e in live_exposures(history, 330.0, scanner, PERSON, OperatingMode.NORMAL)}
    assert later["x gradient coil warming"] == pytest.approx(one * math.exp(-1), rel=5e-3)


def test_advice_against_heat_passes_when_followed(bench):
    scanner = scanner_with(bench, thermal=dataclasses.replace(THERMAL, max_rms_a=2.0))
    report = check(bench, plateau(bench, 6e-3, seconds=20), scanner)
    assert [finding.limit for finding in report.findings] == ["x gradient current RMS in 1 min"]
    factor = advice_of(report, "amplitude")
    assert check(bench, plateau(bench, 6e-3 * factor, seconds=20), scanner).is_allowed
    assert not check(bench, plateau(bench, 6e-3 * (factor + 0.02), seconds=20), scanner).is_allowed
    tr_ms = advice_of(report, "tr") * 1e3
    assert check(bench, plateau(bench, 6e-3, seconds=20, tr_ms=tr_ms), scanner).is_allowed


def test_lower_gradients_are_advised_for_a_shim_that_stays(bench):
    scanner = scanner_with(bench, thermal=dataclasses.replace(THERMAL, max_rms_a=2.0))
    shim = code(bench, 1e-3)

    def report(scale):
        drafts = []
        for index in range(30):
            lobe = bench.trapezoid(bench.us(2000), code(bench, 4e-3 * scale), n_ramp=100, flat=bench.us(500e3))
            rows = [[0, shim], *[[tick, value + shim] for tick, value in lobe]]
            drafts.append(
                bench.Draft(tracks={"grad_vx": rows}, end=bench.us(990e3), start_s=float(index), shim=(shim, 0, 0))
            )
        return check(bench, bench.build(drafts), scanner, calibration={"shim_t_per_m": (1e-3, 0.0, 0.0)})

    found = report(1.0)
    assert [finding.limit for finding in found.findings] == ["x gradient current RMS in 1 min"]
    factor = advice_of(found, "amplitude")
    assert report(factor).is_allowed
    assert not report(factor + 0.05).is_allowed


def test_what_is_not_known_of_a_channel_stays_unknown(bench):
    report = check(bench, plateau(bench, 4e-3, seconds=2), scanner_with(bench))
    assert report.is_allowed
    for title in ("x gradient current", "x gradient current RMS in 1 min", "z gradient coil warming"):
        assert exposure(report, title).label is Label.UNKNOWN
        assert not exposure(report, title).is_within
    partly = check(bench, plateau(bench, 4e-3, seconds=2), scanner_with(bench, thermal=GradientThermal(a_per_t_per_m=1e3)))
    current = exposure(partly, "x gradient current")
    assert (current.label, current.value) == (Label.UNKNOWN, pytest.approx(4.0, rel=1e-3))
    assert not any(one.name.endswith("amplifier heat") for one in partly.exposures)


@pytest.mark.parametrize("seed", range(4))
def test_bins_hold_what_a_plain_sum_over_the_staircase_says(seed):
    rng = random.Random(f"bins {seed}")
    ticks = sorted(rng.sample(range(1000), rng.randrange(1, 60)))
    values = [rng.randrange(-9, 10) for _ in ticks]
    edges = sorted({0.0, 1200.0, *(rng.uniform(0, 1200) for _ in range(rng.randrange(0, 30)))})
    square, size = binned(np.array(ticks, dtype=np.int64), np.array(values, dtype=np.int64), np.array(edges))
    ends = [*ticks[1:], 1200]
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        overlaps = [max(0.0, min(b, high) - max(a, low)) for a, b in zip(ticks, ends, strict=True)]
        assert square[number] == pytest.approx(sum(v * v * t for v, t in zip(values, overlaps, strict=True)))
        assert size[number] == pytest.approx(sum(abs(v) * t for v, t in zip(values, overlaps, strict=True)))


# Stimulation.


def test_the_bound_is_that_of_one_ramp():
    slew, reach, radius_m = 50.0, 0.02, 0.15
    nerve, heart = bounds([slew, 0.0, 0.0], [reach, 0.0, 0.0], radius_m)
    assert nerve == pytest.approx(50 * 0.15 / (20 * (1 + 0.36 / 0.4)))
    assert heart == pytest.approx(50 * 0.15 * (1 - math.exp(-0.4 / 3)) / 20)
    three = bounds([slew] * 3, [reach] * 3, radius_m)
    assert three == (pytest.approx(nerve * math.sqrt(3)), pytest.approx(heart * math.sqrt(3)))


@pytest.mark.parametrize("seed", range(4))
def test_no_ramp_of_a_scan_reaches_more_than_the_bound(bench, seed):
    rng = random.Random(f"bound {seed}")
    ramps = [(rng.uniform(-8e-3, 8e-3), rng.randrange(20, 200)) for _ in range(8)]
    rows, at, worst = [], bench.us(1000), 0.0
    for top, n_ramp in ramps:
        lobe = bench.trapezoid(at, code(bench, top), n_ramp=n_ramp, flat=bench.us(1000))
        rows += lobe
        at = lobe[-1][0] + bench.us(200)
        worst = max(worst, abs(top) / (n_ramp * 10e-6) * 0.15 / nerve_threshold_t_per_s(n_ramp * 10e-6))
    report = check(bench, bench.build([bench.Draft(tracks={"grad_vx": rows}, end=at)]), scanner_with(bench))
    assert exposure(report, "nerve stimulation").value >= worst * 0.995
    assert exposure(report, "nerve stimulation").value <= 2.5 * worst
    assert exposure(report, "nerve stimulation").label is Label.BOUND


def steep(bench, n_ramp, scale=1.0):
    """Lobes of 9 mT/m on all channels, up and down."""
    tracks = {}
    for number, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        first = bench.trapezoid(bench.us(1000) + 200 * number, code(bench, 9e-3 * scale), n_ramp=n_ramp)
        tracks[name] = first + bench.trapezoid(first[-1][0] + bench.us(100), -code(bench, 9e-3 * scale), n_ramp=n_ramp)
    return bench.build([bench.Draft(tracks=tracks, end=bench.us(60e3))])


STEEP = {"max_slew_t_per_m_s": 400.0, "update_interval_s": 10e-6}


def test_steep_ramps_are_refused_and_longer_ones_as_advised_pass(bench):
    scanner = scanner_with(bench, bore_m=0.5, **STEEP)
    report = check(bench, steep(bench, 5), scanner)
    assert "nerve stimulation" in [finding.limit for finding in report.findings]
    assert report.findings[0].unit == "%"
    longer = advice_of(report, "ramps")
    passed = check(bench, steep(bench, math.ceil(5 * longer)), scanner)
    assert "nerve stimulation" not in [finding.limit for finding in passed.findings]
    still = check(bench, steep(bench, math.floor(5 * longer) - 1), scanner)
    assert "nerve stimulation" in [finding.limit for finding in still.findings]
    lower = advice_of(report, "amplitude")
    assert check(bench, steep(bench, 5, lower), scanner).is_allowed


def test_between_normal_and_first_level_a_person_decides(bench):
    scanner = scanner_with(bench, bore_m=0.7, **STEEP)
    confirmation = FirstLevelConfirmation(name="Dr. Nakato", at="2026-05-04T09:30:00+03:00")
    levels = {}
    for n_ramp in range(3, 60):
        report = check(bench, steep(bench, n_ramp), scanner, confirmation=confirmation)
        levels.setdefault("refused" if not report.is_allowed else report.mode.value, n_ramp)
    assert list(levels) == ["refused", "first level", "normal"]
    assert not check(bench, steep(bench, levels["first level"]), scanner).is_allowed


def lobes(bench, rng, n=4):
    """Random lobes of one channel as table rows, and the exact corners of the wanted waveform [s, T/m]."""
    rows, corners, at = [], [(0.0, 0.0)], bench.us(1000) + rng.randrange(0, 1000)
    for _ in range(n):
        top, n_ramp, flat = code(bench, rng.uniform(-9e-3, 9e-3)), rng.randrange(6, 60), bench.us(rng.uniform(50, 1000))
        lobe = bench.trapezoid(at, top, n_ramp=n_ramp, flat=flat)
        cell, size = bench.us(10), top * bench.T_PER_M_PER_CODE
        for tick, value in (
            (at, 0.0),
            (at + n_ramp * cell, size),
            (at + n_ramp * cell + flat, size),
            (lobe[-1][0], 0.0),
        ):
            corners.append((tick / bench.CLOCK_HZ, value))
        rows += lobe
        at = lobe[-1][0] + bench.us(rng.uniform(40, 700))
    return rows, np.array(corners), at


@pytest.mark.parametrize("seed", range(4))
def test_the_model_agrees_with_an_independent_implementation(bench, seed):
    """The wanted waveform on a raster through the public one of its authors; our table, not the waveform, through ours."""
    public = pytest.importorskip("pypulseq.utils.safe_pns_prediction")
    rng = random.Random(f"safe {seed}")
    channels = [lobes(bench, rng) for _ in range(3)]
    end = max(at for _, _, at in channels) + bench.us(2000)
    tracks = {f"grad_v{name}": rows for name, (rows, _, _) in zip("xyz", channels, strict=True)}
    scanner = scanner_with(bench, nerve=EXAMPLE, **STEEP)
    report = check(bench, bench.build([bench.Draft(tracks=tracks, end=end)]), scanner)
    found = exposure(report, "nerve stimulation")
    assert found.label is Label.MODEL
    raster_s = 2e-6
    times = np.arange(0, end / bench.CLOCK_HZ, raster_s)
    waveform = np.column_stack([np.interp(times, corners[:, 0], corners[:, 1]) for _, corners, _ in channels])
    pns, _ = public.safe_gwf_to_pns(waveform, np.ones(len(times)), raster_s, public.safe_example_hw(), do_padding=False)
    assert found.value == pytest.approx(np.sqrt((pns**2).sum(axis=1)).max() / 100, rel=0.01)


def test_the_model_of_one_long_ramp_in_closed_form(bench):
    """A low-pass of a ramp's slew s after t is s (1 - exp(-t / tau))."""
    n_ramp, top = 300, 9e-3
    rows = bench.trapezoid(bench.us(1000), code(bench, top), n_ramp=n_ramp, flat=bench.us(40e3))
    scanner = scanner_with(bench, nerve=(EXAMPLE[0],) * 3)
    report = check(bench, bench.build([bench.Draft(tracks={"grad_vz": rows}, end=bench.us(80e3))]), scanner)
    model, seconds = EXAMPLE[0], 3e-3
    slew = code(bench, top) * bench.T_PER_M_PER_CODE / seconds
    weights = ((model.a1, model.tau1_s), (model.a2, model.tau2_s), (model.a3, model.tau3_s))
    expected = sum(a * slew * (1 - math.exp(-seconds / tau)) for a, tau in weights) * 0.35 / 30.0
    assert exposure(report, "nerve stimulation").value == pytest.approx(expected, rel=1e-3)


def test_a_shim_that_the_driver_switches_stimulates_nobody(bench):
    shim = code(bench, 0.4e-3)
    rows = [[0, shim], *[[t, v + shim] for t, v in bench.trapezoid(bench.us(1000), code(bench, 1e-3), n_ramp=200)]]
    plain = bench.trapezoid(bench.us(1000), code(bench, 1e-3), n_ramp=200)
    scanner, values = scanner_with(bench, nerve=EXAMPLE), []
    for track, shims in ((rows, (shim, 0, 0)), (plain, (0, 0, 0))):
        drafts = [
            bench.Draft(tracks={"grad_vx": list(track)}, end=bench.us(20e3), start_s=0.05 * index, shim=shims)
            for index in range(3)
        ]
        calibration = {"shim_t_per_m": (shims[0] * bench.T_PER_M_PER_CODE, 0.0, 0.0)}
        values.append(
            exposure(check(bench, bench.build(drafts), scanner, calibration=calibration), "nerve stimulation").value
        )
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_advice_by_the_model_passes_when_followed(bench):
    strict = tuple(dataclasses.replace(model, stimulation_limit_t_per_m_s=12.0) for model in EXAMPLE)
    scanner = scanner_with(bench, nerve=strict, **STEEP)
    report = check(bench, steep(bench, 10), scanner)
    assert report.findings[0].limit == "nerve stimulation"
    longer = advice_of(report, "ramps")
    assert "nerve stimulation" not in [
        finding.limit for finding in check(bench, steep(bench, math.ceil(10 * longer)), scanner).findings
    ]
    assert check(bench, steep(bench, 10, advice_of(report, "amplitude")), scanner).is_allowed
