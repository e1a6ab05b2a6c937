# SPDX-License-Identifier: MIT
"""Service calibrations as a job: decisions, history, what builds on what, and ages that nobody knows."""

import math
import time
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import pytest

from isocenter.acquisition.prescan.contract import StepResult, Verdict
from isocenter.acquisition.prescan.service import ServicePhantom
from isocenter.app.board_currents import currents_of, largest_current_a
from isocenter.app.prescan_job import PrescanJob, is_recent
from isocenter.app.service_job import QUANTITIES, ServiceJob
from isocenter.app.service_status import ServiceConfirmation
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.currents import BoardCurrents, ChannelFit
from isocenter.domain.errors import AcquisitionError, WrongState
from isocenter.storage.calibration_lines import Moment
from isocenter.storage.calibrations import CalibrationStore

SCANNER = load_scanner("osii-one")
WORD = ServiceConfirmation(person="A. Service", phantom=ServicePhantom(name="ball 7"), at="", exam_id="1")
HERE = {"temperature_c": 25.0, "coil": SCANNER.receiver.coil_name}
NAN = float("nan")


class Hands:
    """Both clocks of a computer, set by hand."""

    def __init__(self):
        self.wall_s, self.steady_s = 1.7e9, 100.0

    def __call__(self):
        return Moment(wall_s=self.wall_s, boot="one", steady_s=self.steady_s)

    def wait(self, time_s):
        self.wall_s += time_s
        self.steady_s += time_s


class Step:
    """Finds what it is told to."""

    def __init__(self, name, *results):
        self.name, self.title, self._results = name, name.replace("_", " ").capitalize(), list(results)

    def why_skip(self, bench):
        return ""

    def run(self, bench, tell):
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return StepResult(step=self.name, title=self.title, **result)


def value(quantity, *numbers, at_s=1.7e9, **changes):
    return CalibrationValue(quantity=quantity, value=numbers, sd=(0.001,) * len(numbers), measured_at_s=at_s, **changes)


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def store(tmp_path, clock):
    return CalibrationStore(tmp_path, "osii-one", now=clock)


@pytest.fixture
def job(store):
    return ServiceJob([Step(name) for name in QUANTITIES], store, SCANNER, since_s=-math.inf, tell=lambda: None)


@pytest.fixture
def bench(clock):
    return SimpleNamespace(cancel=Event(), now_s=lambda: clock.wall_s)


def rows(job, clock):
    return {row.name: row for row in job.rows(now_s=clock.wall_s, **HERE)}


def run(job, bench, name, *results):
    job.run(bench, Step(name, *results), WORD)


def test_what_only_warns_waits_for_a_decision_too(job, bench, store, clock):
    found = value(Quantity.GRADIENT_DELAY, 1e-6, 0.0, 0.0)
    run(job, bench, "gradient_delay", {"verdict": Verdict.WARN, "values": (found,)})
    assert job.pending.name == "gradient_delay"
    assert store.values() == ()
    (kept,) = job.accept("gradient_delay", "A. Service")
    assert kept.phantom.startswith("ball 7")
    assert [entry.by for entry in store.history()] == ["A. Service"]
    with pytest.raises(WrongState, match="no new value"):
        job.accept("gradient_delay", "A. Service")


def test_a_failed_step_never_gives_a_value_whatever_it_says(job, bench, store):
    found = value(Quantity.GRADIENT_DELAY, 1e-6, 0.0, 0.0)
    run(job, bench, "gradient_delay", {"verdict": Verdict.FAIL, "text": "noise", "values": (found,)})
    assert job.pending is None
    (entry,) = store.history()
    assert isinstance(entry.content, RefusedCalibration)
    assert (entry.content.reason, entry.by) == ("noise", "A. Service")


def test_a_repeated_measurement_takes_the_place_of_one_that_waits(job, bench, store):
    for x_s in (1e-6, 2e-6):
        found = value(Quantity.GRADIENT_DELAY, x_s, 0.0, 0.0)
        run(job, bench, "gradient_delay", {"verdict": Verdict.PASS, "values": (found,)})
    assert job.accept("gradient_delay", "A. Service")[0].value[0] == 2e-6
    run(job, bench, "gradient_delay", {"verdict": Verdict.PASS, "values": (found,)})
    with pytest.raises(AcquisitionError):
        run(job, bench, "gradient_delay", AcquisitionError("The console is gone.", "Look."))
    assert job.pending is None  # a repetition that came to nothing leaves nothing to decide


def test_both_values_of_one_measurement_are_one_moment(job, bench, clock):
    for share in (0.01, 0.02):
        found = tuple(value(quantity, *(share,) * 18, raw=f"{share}") for quantity in (Quantity.EDDY, Quantity.EDDY_B0))
        run(job, bench, "eddy_currents", {"verdict": Verdict.PASS, "values": found})
        job.accept("eddy_currents", "A. Service")
        clock.wait(60)
    newest, older = job.history("eddy_currents")
    assert [one.quantity for one in older.values] == [Quantity.EDDY, Quantity.EDDY_B0]
    assert job.go_back("eddy_currents", older.number, "B. Other") == older.values
    assert [used.value.value[0] for used in rows(job, clock)["eddy_currents"].values] == [0.01, 0.01]
    assert [entry.is_newest for entry in job.history("eddy_currents")] == [True, False, False]
    assert newest.number > older.number


def test_what_builds_on_something_newer_should_be_measured_again(job, store, clock):
    for quantity, n in ((Quantity.GRADIENT_SCALE, 3), (Quantity.SHIM, 3), (Quantity.GRADIENT_CURRENTS, 12)):
        store.accept(value(quantity, *(1.0,) * n))
    assert {name: bool(row.why_again) for name, row in rows(job, clock).items() if row.values} == {
        "gradient_currents": False,
        "gradient_scale": True,
        "shim_by_map": False,
    }
    store.accept(value(Quantity.GRADIENT_SCALE, 1.0, 1.0, 1.0))
    assert rows(job, clock)["gradient_scale"].why_again == ""
    assert "changed since" in rows(job, clock)["shim_by_map"].why_again


def test_a_shim_of_a_patient_is_not_one_of_service(job, store, clock):
    store.accept(value(Quantity.SHIM, 1e-6, 0.0, 0.0, subject="exam-7"))
    store.refuse(
        RefusedCalibration(quantity=Quantity.SHIM, reason="two maxima", refused_at_s=clock.wall_s, subject="exam-7")
    )
    assert rows(job, clock)["shim_by_map"].values == ()
    assert job.history("shim_by_map") == ()


def test_a_map_of_another_coil_does_not_hold(job, store, clock):
    store.accept(value(Quantity.B1_MAP, 0.02, coil="knee", subject="ball 7"))
    (used,) = rows(job, clock)["b1_map"].values
    assert "coil knee" in used.why_not


def test_after_the_clock_was_set_back_the_age_is_unknown_but_the_value_holds(job, store, clock):
    store.accept(value(Quantity.GRADIENT_SCALE, 1.04, 1.0, 1.0))
    clock.wall_s -= 7200
    (used,) = rows(job, clock)["gradient_scale"].values
    assert math.isnan(used.value.measured_at_s)
    assert used.why_not == ""
    prescan = PrescanJob([], store, since_s=-math.inf, take=lambda _: None, tell=lambda: None)
    prescan.load(coil=SCANNER.receiver.coil_name, subject="")
    assert prescan.newest(Quantity.GRADIENT_SCALE).value[0] == 1.04  # scans go on using it
    store.accept(value(Quantity.GRADIENT_SCALE, 1.05, 1.0, 1.0, at_s=clock.wall_s))
    older = job.history("gradient_scale")[1]
    job.go_back("gradient_scale", older.number, "B. Other")
    assert math.isnan(rows(job, clock)["gradient_scale"].values[0].value.measured_at_s)  # it has not become younger


def test_a_virtual_scanner_begins_with_nothing(store, clock):
    store.accept(value(Quantity.GRADIENT_SCALE, 1.04, 1.0, 1.0))
    job = ServiceJob([Step("gradient_scale")], store, SCANNER, since_s=1.7e9 + 1, tell=lambda: None)
    assert job.rows(now_s=clock.wall_s, **HERE)[0].values == ()
    assert not is_recent(value(Quantity.SHIM, 0.0, 0.0, 0.0, at_s=NAN), 1.7e9)


def test_a_long_history_is_told_quickly(job, store, clock):
    for number in range(1500):
        store.accept(value(Quantity.LARMOR, 2e6 + number))
    rows(job, clock)
    began_s = time.thread_time()
    rows(job, clock)
    assert time.thread_time() - began_s < 0.1


def test_kept_currents_become_what_the_driver_takes():
    fit = ChannelFit(
        coefficients=(0.004, 1.031, 0.0, 0.001), slope=1 / 1.031, offset_share=-0.004 / 1.031, residual_share=0.001
    )
    kept = value(Quantity.GRADIENT_CURRENTS, *fit.coefficients * 3)
    assert currents_of(kept, SCANNER.gradients) == BoardCurrents(channels=(fit, fit, fit), full_scale_a=6.25)


@pytest.mark.parametrize("gain", [0.0, -1.0, 1.5, NAN])
def test_kept_currents_that_no_board_needs_are_not_played(gain):
    with pytest.raises(WrongState, match=r"times the current that is wanted.*(?s:.)*Repeat the calibration"):
        currents_of(value(Quantity.GRADIENT_CURRENTS, *(0.0, gain, 0.0, 0.0) * 3), SCANNER.gradients)


def test_no_channel_is_driven_beyond_what_a_scan_may_ask_for():
    most_a = largest_current_a(SCANNER.gradients)
    for axis in SCANNER.gradients.axes:
        assert most_a / SCANNER.gradients.board_full_scale_a * axis.full_scale_t_per_m <= axis.max_t_per_m * (1 + 1e-9)


def flip(share, scale, at_s, **changes):
    return value(Quantity.FLIP_CHECK, share, share * scale, at_s=at_s, coil=HERE["coil"], **changes)


def test_a_check_is_kept_at_once_and_tells_what_became_of_the_transmitter(job, bench, store, clock):
    said = []
    for strength in (1.0, 0.97, 0.88):
        found = flip(1.0, strength, clock.wall_s)
        run(job, bench, "flip_check", {"verdict": Verdict.PASS, "text": "A pulse turns as asked.", "values": (found,)})
        assert job.pending is None
        row = rows(job, clock)["flip_check"]
        said.append((row.result.verdict, row.result.text.removeprefix("A pulse turns as asked.").strip()))
        clock.wait(45 * 86_400.0)
    assert said == [
        (Verdict.PASS, ""),
        (Verdict.PASS, "The transmitter needs 3 % more than 45 days ago."),
        (Verdict.WARN, "The transmitter needs 14 % more than 3 months ago."),
    ]
    assert "RF amplifier" in row.result.remedy
    assert (row.is_check, row.is_used) == (True, False)
    assert [entry.values[0].value[1] for entry in job.history("flip_check")] == pytest.approx([0.88, 0.97, 1.0])
    with pytest.raises(WrongState, match="is a check"):
        job.go_back("flip_check", 0, "A. Service")


def test_a_check_is_compared_with_the_same_coil_and_phantom_only(job, bench, store, clock):
    other = replace(flip(1.0, 2.0, clock.wall_s, phantom="ball 9: 90 mm wide, centre at 0 0 0 mm"), coil="another coil")
    store.accept(other, by="A. Service")
    store.accept(replace(other, coil=HERE["coil"]), by="A. Service")
    found = flip(1.0, 1.0, clock.wall_s)
    run(job, bench, "flip_check", {"verdict": Verdict.PASS, "text": "As asked.", "values": (found,)})
    row = rows(job, clock)["flip_check"]
    assert (row.result.verdict, row.result.text) == (Verdict.PASS, "As asked.")


def test_a_check_that_fails_leaves_no_value_but_is_remembered(job, bench, store):
    run(job, bench, "flip_check", {"verdict": Verdict.FAIL, "text": "A pulse of 60° turns by 50°: −17 %."})
    (entry,) = job.history("flip_check")
    assert (entry.values, entry.refused) == ((), "A pulse of 60° turns by 50°: −17 %.")
