# SPDX-License-Identifier: MIT
"""A magnet that warms by one degree, on the virtual scanner over its wire: followed, found again, and expected next time."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.drift_model import learn_drift
from isocenter.acquisition.prescan.frequency import measure_frequency
from isocenter.acquisition.prescan.recentre import Recentre, tolerance_hz
from isocenter.acquisition.prescan.search import FrequencySearch
from isocenter.acquisition.prescan.snapshot import snapshot
from isocenter.acquisition.prescan.tracking import FrequencyTracker
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scenario import MagnetFaults
from isocenter.storage.calibrations import CalibrationStore
from isocenter.storage.stored import read_raw
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

SCANNER = load_scanner("osii-one")
SLOPE_HZ_PER_C = SCANNER.magnet.drift_hz_per_c
TRAIN = {
    "fov_read_m": 0.24,
    "fov_phase_m": 0.24,
    "fov_slab_m": 0.16,
    "n_read": 64,
    "n_phase": 32,
    "n_slab": 8,
    "echo_train_length": 4,
    "tr_s": 0.3,
}
SCAN = Protocol(name="Long", sequence="tse_3d", parameters={**TRAIN, "navigator_every": 4})
PLAIN = Protocol(name="Long without navigators", sequence="tse_3d", parameters=TRAIN)


class Following:
    """A tap that follows the frequency and does nothing about it."""

    def __init__(self):
        self.jumps = []

    def begin(self, request, scan):
        self.tracker = FrequencyTracker(scan, self.jumps.append)

    def add(self, readouts, samples):
        self.tracker.add(readouts, samples)


class Bench:
    """What the steps need, on a session on the virtual scanner."""

    def __init__(self, session, folder):
        self.session, self.folder, self.cancel = session, folder, Event()
        self.scanner, self.temperature_c = session.scanner, 25.0
        self.exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        self.subject, self.durations_s = self.exam.exam_id, []

    @property
    def calibration(self):
        return self.session.calibration

    def measure(self, protocol, calibration=None):
        prepared = prepare(protocol, self.scanner, calibration or self.calibration, PatientPosition.HFS)
        self.durations_s.append(prepared.scan.facts.duration_s)
        path, _ = self.session.measure(prepared, self.exam, self.folder, cancel=self.cancel)
        return read_raw(path), path

    def scan(self, protocol):
        prepared = prepare(protocol, self.scanner, self.calibration, PatientPosition.HFS)
        tap = Following()
        with self.session.prescanning():  # which nothing pauses: here it is only looked at
            path, result = self.session.measure(prepared, self.exam, self.folder, cancel=self.cancel, tap=tap)
        assert result.n_readouts == result.n_expected
        return prepared.scan, tap, path

    def now_s(self):
        return time.time()


@pytest.fixture
def warming(tmp_path):
    @contextmanager
    def make(**faults) -> Iterator[Bench]:
        scenario = replace(find_scenario("ideal"), phantom="head", n_spins=2_000, magnet=MagnetFaults(**faults))
        with VirtualConsoleServer(
            signal_model=BlochSignalModel(SCANNER, scenario), board=SCANNER.gradients.board, time_scale=0.0
        ) as server:
            host, port = server.address
            session = ScannerSession(
                replace(SCANNER, console=replace(SCANNER.console, host=host, port=port)), is_virtual=True, pace="none"
            )
            try:
                session.set_frequency(SCANNER.magnet.larmor_hz)
                yield Bench(session, tmp_path)
            finally:
                session.close()

    return make


def duration_s(protocol):
    calibration = replace(snapshot_of_nothing().calibration, larmor_hz=SCANNER.magnet.larmor_hz)
    return prepare(protocol, SCANNER, calibration, PatientPosition.HFS).scan.facts.duration_s


def snapshot_of_nothing():
    return snapshot(SCANNER, [], now_s=time.time(), temperature_c=25.0, coil="", subject="")


@pytest.mark.parametrize("protocol", [SCAN, PLAIN], ids=["navigators", "mirror images"])
def test_one_degree_in_one_scan_is_told_while_it_runs_and_centred_after_it(warming, protocol):
    settling_s = duration_s(protocol) / 2
    in_the_end_c = 1 / (1 - math.exp(-2))  # so that it is one degree when the scan ends

    def true_hz(time_s):
        return SLOPE_HZ_PER_C * in_the_end_c * (1 - math.exp(-time_s / settling_s))

    with warming(drift_c_per_s=in_the_end_c / settling_s, drift_settling_s=settling_s) as bench:
        scan, tap, _ = bench.scan(protocol)
        (jump,) = tap.jumps
        assert jump.change_hz < -500
        assert jump.time_s < 0.95 * scan.facts.duration_s
        assert true_hz(jump.time_s) < -500
        if protocol is SCAN:
            change_hz, _ = tap.tracker.followed.newest
            assert change_hz == pytest.approx(true_hz(tap.tracker.followed.newest_s), rel=0.1)
        bench.temperature_c = 26.0
        result = Recentre(tolerance_hz(scan), slope_hz_per_c=SLOPE_HZ_PER_C).run(bench, lambda _: None)
        assert result.verdict is Verdict.WARN
        assert len(bench.durations_s) == 2
        played_s = scan.facts.duration_s + 1.5 * bench.durations_s[0]
        assert abs(result.values[0].value[0] - SCANNER.magnet.larmor_hz - true_hz(played_s)) < 50


def test_a_magnet_that_runs_away_is_not_centred_upon(warming):
    """Two measurements a second apart differ: no scan could be right."""
    with warming(drift_c_per_s=0.05) as bench:
        bench.scan(PLAIN)
        result = Recentre(16.0, slope_hz_per_c=SLOPE_HZ_PER_C).run(bench, lambda _: None)
        assert result.verdict is Verdict.FAIL
        assert result.values == ()
        assert "Two measurements differ" in result.text


def test_a_slow_drift_is_followed_and_nobody_is_disturbed(warming):
    with warming(drift_c_per_s=0.1 / duration_s(SCAN)) as bench:
        scan, tap, _ = bench.scan(SCAN)
        assert tap.jumps == []
        change_hz, sd_hz = tap.tracker.followed.newest
        true_hz = SLOPE_HZ_PER_C * 0.1 * tap.tracker.followed.newest_s / scan.facts.duration_s
        assert abs(change_hz - true_hz) < 3 * sd_hz + 5
        assert tap.tracker.details["n_comparisons"] > 10


def test_a_steady_magnet_is_left_alone(warming):
    with warming() as bench:
        for protocol in (SCAN, PLAIN):
            _, tap, _ = bench.scan(protocol)
            assert tap.jumps == []
        result = Recentre(16.0, slope_hz_per_c=SLOPE_HZ_PER_C).run(bench, lambda _: None)
        assert result.verdict is Verdict.PASS
        assert abs(result.values[0].value[0] - SCANNER.magnet.larmor_hz) < 50


def test_a_warm_start_a_degree_later_expects_the_frequency_where_it_is(warming, tmp_path):
    """History in a file, another program reads it, the magnet is a degree warmer and 6 kHz from what its file says."""
    store, level_hz, slope = CalibrationStore(tmp_path, SCANNER.name), SCANNER.magnet.larmor_hz + 6000.0, -1900.0
    for day in range(12):
        warmer_c = 0.6 * (day % 4) - 0.9
        store.accept(
            CalibrationValue(
                quantity=Quantity.LARMOR,
                value=(level_hz + slope * warmer_c + 15.0 * (-1) ** day,),
                sd=(5.0,),
                measured_at_s=time.time() - (12 - day) * 86_400,
                temperature_c=25 + warmer_c,
                coil="head",
                holds_s=900.0,
                holds_c=0.1,
            )
        )
        store.refuse(RefusedCalibration(quantity=Quantity.LARMOR, reason="noise", refused_at_s=time.time()))
    values = CalibrationStore(tmp_path, SCANNER.name).values()
    taken = snapshot(SCANNER, values, now_s=time.time(), temperature_c=26.0, coil="head", subject="")
    assert "minutes old" in taken.why_not(Quantity.LARMOR)
    guess = learn_drift(values, SCANNER.magnet).guess(26.0, "head")
    offset_hz = 6000.0 + slope * 1.0
    assert abs(guess.larmor_hz - SCANNER.magnet.larmor_hz - offset_hz) < 60
    with warming(frequency_offset_hz=offset_hz) as bench:
        search = FrequencySearch(guess.larmor_hz, guess.span_hz, 100e3)
        protocol = Protocol(name="Prescan frequency", sequence="frequency", parameters={"averages": 4})
        while (lo_hz := search.next_lo_hz()) is not None:
            raw, _ = bench.measure(protocol, replace(bench.calibration, larmor_hz=lo_hz))
            search.report(measure_frequency(raw))
        assert abs(search.result().larmor_hz - SCANNER.magnet.larmor_hz - offset_hz) < 50
        assert search.n_tries == 2
