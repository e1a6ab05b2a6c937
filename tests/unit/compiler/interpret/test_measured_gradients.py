# SPDX-License-Identifier: MIT
"""Gradients that were measured: the compiler asks for what gives the wanted gradient, the gate checks the true one."""

import math
from dataclasses import replace

import numpy as np
import pytest

from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.events import GRADIENT_CHANNELS
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import nominal_calibration, with_measured_gradients
from isocenter.sequences.build import build

SCANNER = load_scanner("osii-one")
NOMINAL = nominal_calibration(SCANNER)
SMALL = {"n_read": 16, "n_phase": 8, "n_slab": 2, "dummy_shots": 1, "fov_read_m": 0.2, "fov_phase_m": 0.2, "tr_s": 0.03}


@pytest.fixture(scope="module")
def file():
    return read_pulseq(build("gre_3d", SMALL, SCANNER).seq)


def area(scan, channel):
    """Of the absolute gradient over the whole scan, by the codes and what the scan says that a code is [T s/m]."""
    total = 0.0
    for segment in scan.segments:
        track = segment.tracks.get(GRADIENT_CHANNELS["xyz".index(channel)])
        if track is None:
            continue
        ends = np.append(track.ticks[1:], segment.end_tick)
        total += float(np.sum(np.abs(track.values) * (ends - track.ticks)))
    return total * scan.gradient_t_per_m_per_code["xyz".index(channel)] / scan.clock_hz


def largest_code(scan, channel):
    name = GRADIENT_CHANNELS["xyz".index(channel)]
    tracks = [segment.tracks[name] for segment in scan.segments if name in segment.tracks]
    return max(int(np.abs(track.values).max()) for track in tracks)


def test_without_a_measurement_nothing_changes():
    assert with_measured_gradients(SCANNER, NOMINAL) is SCANNER


def test_a_stronger_gradient_is_asked_for_less_and_stays_what_it_was_to_be(file):
    found = replace(NOMINAL, gradient_scale=(1.1, 1.0, 0.9))
    plain, scan = (compile_scan(file, SCANNER, each, Placement()) for each in (NOMINAL, found))
    assert largest_code(scan, "x") == pytest.approx(largest_code(plain, "x") / 1.1, abs=1)
    assert largest_code(scan, "z") == pytest.approx(largest_code(plain, "z") / 0.9, abs=1)
    assert largest_code(scan, "y") == largest_code(plain, "y")
    for channel in "xyz":
        assert area(scan, channel) == pytest.approx(area(plain, channel), rel=2e-3)


def test_the_shim_is_true_as_well(file):
    shim = (2e-4, 0.0, 0.0)
    plain = compile_scan(file, SCANNER, replace(NOMINAL, shim_t_per_m=shim), Placement())
    scan = compile_scan(file, SCANNER, replace(NOMINAL, shim_t_per_m=shim, gradient_scale=(0.8, 1, 1)), Placement())
    assert scan.segments[0].shim_codes[0] == pytest.approx(plain.segments[0].shim_codes[0] / 0.8, abs=1)


def test_a_late_gradient_is_played_earlier(file):
    delay_s = 20e-6
    found = replace(NOMINAL, gradient_delay_s=(delay_s, 0.0, 0.0))
    plain, scan = (compile_scan(file, SCANNER, each, Placement()) for each in (NOMINAL, found))
    centre = []
    for each in (plain, scan):
        segment = each.segments[0]
        track, pulse = segment.tracks[GRADIENT_CHANNELS[0]], segment.tracks["tx_gate"].ticks[0]
        length = np.diff(np.append(track.ticks, segment.end_tick))
        weight = np.abs(track.values) * length
        centre.append(float(np.sum(weight * (track.ticks + length / 2)) / np.sum(weight)) - pulse)
    assert (centre[0] - centre[1]) / SCANNER.console.clock_hz == pytest.approx(delay_s, abs=0.5e-6)


def test_the_gate_knows_what_a_scan_was_compiled_for(file):
    found = replace(NOMINAL, gradient_scale=(1.05, 1.0, 1.0))
    scan = compile_scan(file, SCANNER, found, Placement())
    assert not [one for one in check_scan(scan, SCANNER, found).findings if one.limit == "gradient calibration"]
    assert [one for one in check_scan(scan, SCANNER, NOMINAL).findings if one.limit == "gradient calibration"]


@pytest.mark.parametrize("wrong", [{"gradient_scale": (math.nan, 1, 1)}, {"gradient_scale": (1, -1, 1)}])
def test_the_gate_refuses_a_scale_that_is_none(file, wrong):
    scan = compile_scan(file, SCANNER, NOMINAL, Placement())
    findings = check_scan(scan, SCANNER, replace(NOMINAL, **wrong)).findings
    assert any("calibration gradient_scale" in one.event for one in findings)


def test_limits_hold_for_true_gradients(file):
    """Codes that were within the limit at nominal strength are above it when the gradient is twice as strong."""
    scan = compile_scan(file, SCANNER, NOMINAL, Placement())
    strong = replace(NOMINAL, gradient_scale=(4.0, 4.0, 4.0))
    assert any("gradient" in one.limit and "mT/m" in one.unit for one in check_scan(scan, SCANNER, strong).findings)


def test_the_larger_current_counts():
    weak, strong = (
        with_measured_gradients(SCANNER, replace(NOMINAL, gradient_scale=(scale, 1.0, 1.0))).gradients.axes[0].thermal
        for scale in (0.8, 1.2)
    )
    nominal = SCANNER.gradients.axes[0].thermal
    assert weak.a_per_t_per_m == pytest.approx(nominal.a_per_t_per_m / 0.8)
    assert strong.a_per_t_per_m == nominal.a_per_t_per_m
