# SPDX-License-Identifier: MIT
"""Before each scan: the frequency where it is now, quickly, or a reason why it cannot be told and the old one stays."""

import math
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.recentre import Recentre, recent_rate_hz_per_s, tolerance_hz, why_recentre
from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import ReceiverFaults, Scenario
from isocenter.sequences.build import build
from isocenter.virtual.physics.direct import simulate

SCANNER = load_scanner("osii-one")
AXIAL = place(Orientation.AXIAL)
NOW_S = 1_790_000_000.0
LIMIT_HZ = 16.0
HEAD = Scenario(phantom="head", n_spins=1_500, receiver=ReceiverFaults(noise=1.0))
EMPTY = replace(HEAD, coil=replace(HEAD.coil, transmit_scale=1e-6))


class VirtualBench:
    """A bench on the physics of the virtual scanner, whose magnet is so much warmer than at the last prescan."""

    def __init__(self, warmer_c=0.0, *, then_c=None, scenario=HEAD, age_s=120.0):
        self.scanner, self.cancel, self.subject = SCANNER, Event(), "exam-1"
        self.calibration = replace(nominal_calibration(SCANNER), measured_at="2026-09-21T16:00:00+02:00")
        self.temperature_c, self.durations_s, self.oscillators_hz = 25.0 + warmer_c, [], []
        self._scenario, self._warmer = scenario, [warmer_c, warmer_c if then_c is None else then_c]
        self._age_s = age_s

    @property
    def true_hz(self):
        return SCANNER.magnet.larmor_hz + SCANNER.magnet.drift_hz_per_c * self._warmer[-1]

    def held(self, quantity):
        assert quantity == "larmor_hz"
        value = kept(age_s=self._age_s)
        here = {"now_s": NOW_S, "temperature_c": self.temperature_c, "coil": "", "subject": self.subject}
        return None if value.why_not(**here) else value

    def measure(self, protocol, calibration=None):
        used = calibration or self.calibration
        built = build(protocol.sequence, protocol.parameters, SCANNER)
        scan = compile_scan(read_pulseq(built.seq), SCANNER, used, AXIAL)
        check_scan(scan, SCANNER, used).raise_if_refused()
        self.durations_s.append(scan.facts.duration_s)
        self.oscillators_hz.append(used.larmor_hz)
        warmer_c = self._warmer[min(len(self.durations_s), 2) - 1]
        offset_hz = SCANNER.magnet.drift_hz_per_c * warmer_c
        magnet = replace(self._scenario.magnet, frequency_offset_hz=offset_hz)
        return simulate(scan, SCANNER, replace(self._scenario, magnet=magnet), AXIAL), Path("prescan/001-frequency")

    def now_s(self):
        return NOW_S


def kept(hz=SCANNER.magnet.larmor_hz, *, age_s=120.0, sd_hz=2.0, temperature_c=25.0):
    return CalibrationValue(
        quantity=Quantity.LARMOR,
        value=(hz,),
        sd=(sd_hz,),
        measured_at_s=NOW_S - age_s,
        temperature_c=temperature_c,
        holds_s=900.0,
        holds_c=0.1,
    )


def run(bench):
    shown = []
    result = Recentre(LIMIT_HZ, slope_hz_per_c=SCANNER.magnet.drift_hz_per_c).run(bench, shown.append)
    assert all(state.verdict is None and state.plots for state in shown)
    return result


@pytest.mark.parametrize("warmer_c", [0.0, 0.02, -0.1, 0.2])
def test_a_small_drift_is_found_in_less_than_a_second(warmer_c):
    bench = VirtualBench(warmer_c)
    result = run(bench)
    assert result.verdict is Verdict.PASS, result.text
    (value,) = result.values
    assert abs(value.value[0] - bench.true_hz) < 50  # the head is wide in a field that is not even
    assert abs(value.value[0] - run(VirtualBench()).values[0].value[0] - (bench.true_hz - SCANNER.magnet.larmor_hz)) < 20
    assert (value.temperature_c, value.coil, value.holds_s) == (bench.temperature_c, SCANNER.receiver.coil_name, 900.0)
    assert sum(bench.durations_s) < 1.0


@pytest.mark.parametrize("warmer_c", [1.0, -1.0])
def test_one_degree_is_believed_only_when_measured_twice_and_is_a_warning(warmer_c):
    bench = VirtualBench(warmer_c)
    result = run(bench)
    assert result.verdict is Verdict.WARN
    assert abs(result.values[0].value[0] - bench.true_hz) < 50
    assert len(bench.oscillators_hz) == 2
    assert abs(bench.oscillators_hz[1] - bench.true_hz) < 50
    assert "temperature is changing" in result.remedy


def test_two_measurements_that_differ_are_not_believed():
    result = run(VirtualBench(0.4, then_c=0.9))
    assert result.verdict is Verdict.FAIL
    assert result.values == ()
    assert "Two measurements differ" in result.text
    assert "prescan" in result.remedy


@pytest.mark.parametrize("scenario", [EMPTY, replace(HEAD, phantom="vials", coil=EMPTY.coil)])
def test_without_a_signal_the_old_value_stays(scenario):
    result = run(VirtualBench(scenario=scenario))
    assert result.verdict is Verdict.FAIL
    assert result.values == ()
    assert "Run the prescan again" in result.remedy


def test_outside_of_the_band_nothing_is_believed():
    result = run(VirtualBench(22.0))  # 48 kHz away, in a band of 50 kHz
    assert result.verdict is Verdict.FAIL
    assert result.values == ()


def test_without_a_prescan_there_is_nothing_to_start_from():
    bench = VirtualBench()
    bench.calibration = nominal_calibration(SCANNER)
    result = run(bench)
    assert (result.verdict, result.remedy) == (Verdict.FAIL, "Run the prescan.")
    assert bench.durations_s == []


# --- when it is needed ------------------------------------------------------------------------------------------------


def why(held, **changed):
    here = {"now_s": NOW_S, "temperature_c": 25.0, "limit_hz": LIMIT_HZ, "slope_hz_per_c": -2200.0}
    return why_recentre(held, **{**here, **changed})


def test_what_was_measured_just_now_is_good_enough():
    assert why(kept(age_s=20.0)) == ""
    assert why(kept(age_s=20.0), temperature_c=math.nan) == ""
    step = Recentre(LIMIT_HZ, slope_hz_per_c=-2200.0)
    assert "just now" in step.why_skip(VirtualBench(age_s=20.0))
    assert step.why_skip(VirtualBench(age_s=90.0)) == ""


@pytest.mark.parametrize(
    ("held", "changed", "reason"),
    [
        (None, {}, "no frequency"),
        (kept(age_s=61.0), {}, "61 s ago"),
        (kept(age_s=-30.0), {}, "-30 s ago"),
        (kept(age_s=math.nan), {}, "nan s ago"),
        (kept(age_s=20.0), {"temperature_c": 25.01}, "moved by 22 Hz, and this scan bears 16 Hz"),
        (kept(age_s=20.0), {"rate_hz_per_s": -4.4}, "moved by 88 Hz"),
        (kept(age_s=20.0, sd_hz=40.0), {}, "known to 40 Hz only"),
        (kept(age_s=20.0, sd_hz=math.nan), {}, "known to nan Hz only"),
    ],
)
def test_each_reason_to_measure_again_is_named(held, changed, reason):
    assert reason in why(held, **changed)


def test_a_coarse_scan_bears_more():
    assert why(kept(age_s=20.0), temperature_c=25.01, limit_hz=100.0) == ""


def test_a_tenth_of_a_pixel_is_told_from_the_compiled_scan():
    values = {"n_read": 64, "n_phase": 16, "n_slab": 4, "bandwidth_hz": 20e3, "echo_train_length": 4, "navigator_every": 2}
    scan = compile_scan(read_pulseq(build("tse_3d", values, SCANNER).seq), SCANNER, nominal_calibration(SCANNER), AXIAL)
    assert tolerance_hz(scan) == pytest.approx(0.1 * 20e3 / 64, rel=1e-3)


def test_the_last_two_measurements_tell_how_fast_it_moves():
    before, now = kept(2.0e6 - 300, age_s=130.0), kept(2.0e6, age_s=30.0)
    assert recent_rate_hz_per_s([before, now]) == pytest.approx(3.0)
    assert recent_rate_hz_per_s([now]) == 0.0
    assert recent_rate_hz_per_s([kept(2.0e6 - 5, age_s=130.0), now]) == 0.0  # within their spread
    assert recent_rate_hz_per_s([kept(2.0e6 - 300, age_s=8000.0), now]) == 0.0
    assert recent_rate_hz_per_s([replace(before, measured_at_s=math.nan), now]) == 0.0
    assert np.isfinite(recent_rate_hz_per_s([replace(before, sd=()), now]))
