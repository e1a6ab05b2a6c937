# SPDX-License-Identifier: MIT
"""The prescan as a job: order, what is kept, what is refused, Stop, retry, and leaving out."""

import math
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from isocenter.acquisition.prescan.contract import StepResult, Verdict
from isocenter.app.prescan_job import PrescanJob
from isocenter.app.prescan_start import only_frequency
from isocenter.app.prescan_status import StepState
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.errors import ConnectError, ScanAborted, StorageError, WrongState
from isocenter.storage.calibrations import CalibrationStore

NOW_S = 1_790_000_000.0
HERE = {"now_s": NOW_S, "temperature_c": math.nan, "coil": "Head", "subject": "exam-1"}


class DeskBench:
    """A bench on which nothing can be measured: these steps know their outcome."""

    def __init__(self, values=lambda: ()):
        self.scanner = load_scanner("osii-one")
        self.cancel = Event()
        self.temperature_c, self.subject = 24.0, "exam-1"

    def now_s(self):
        return NOW_S


class GivenStep:
    """A step whose outcomes are given, one for each time that it is run."""

    def __init__(self, name, *outcomes, skip=""):
        self.name, self.title, self.outcomes, self.skip, self.n_runs = (
            name,
            name.replace("_", " ").title(),
            outcomes,
            skip,
            0,
        )
        self.during = lambda: None

    def why_skip(self, bench):
        return self.skip

    def run(self, bench, tell):
        outcome = self.outcomes[min(self.n_runs, len(self.outcomes) - 1)]
        self.n_runs += 1
        tell(StepResult(step=self.name, title=self.title, text="half way", verdict=Verdict.PASS))
        self.during()
        if isinstance(outcome, Exception):
            raise outcome
        return replace(outcome, step=self.name, title=self.title)


def larmor(hz, at_s=NOW_S):
    return CalibrationValue(
        quantity=Quantity.LARMOR, value=(hz,), sd=(3.0,), measured_at_s=at_s, temperature_c=24.0, holds_s=900.0
    )


def passed(*values, verdict=Verdict.PASS, text="2.001 696 MHz, ± 3 Hz"):
    return StepResult(step="", title="", verdict=verdict, text=text, values=values)


FAILED = StepResult(step="", title="", verdict=Verdict.FAIL, text="Only noise was seen.", remedy="Plug the coil in.")


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path, "osii-one")


class Desk:
    def __init__(self, store, *steps, since_s=-math.inf):
        self.store, self.steps, self.bench = store, steps, DeskBench()
        self.taken, self.news = [], []
        self.job = PrescanJob(
            steps, store, since_s=since_s, take=self.taken.extend, tell=lambda: self.news.append(self.status)
        )

    @property
    def status(self):
        return self.job.status(**HERE)

    def run(self, *names, forced=""):
        return self.job.run(self.bench, names, forced=forced)

    def states(self):
        return [step.result.verdict or step.state for step in self.status.steps]


def test_steps_run_in_order_and_what_passes_is_stored_then_used(store):
    order = []
    first, second = GivenStep("noise", passed()), GivenStep("fine_frequency", passed(larmor(2.0017e6)))
    first.during, second.during = lambda: order.append("noise"), lambda: order.append("frequency")
    desk = Desk(store, first, second)
    assert desk.run()
    assert order == ["noise", "frequency"]
    assert [value.value for value in desk.taken] == [(2.0017e6,)]
    assert store.latest(Quantity.LARMOR).value == (2.0017e6,)
    assert desk.status.is_done
    assert [used.value.quantity for used in desk.status.values] == [Quantity.LARMOR]
    assert desk.status.values[0].why_not == ""
    running = [news for news in desk.news if news.current is not None]
    assert running[0].current.name == "noise"
    assert all(news.current.result.verdict is None for news in running)  # not judged before it ended
    assert any(news.current.result.text == "half way" for news in running)


def test_a_failed_step_ends_the_run_changes_nothing_and_is_kept(store):
    store.accept(larmor(2.001e6), by="earlier")
    last = GivenStep("transmit_power", passed())
    desk = Desk(store, GivenStep("fine_frequency", FAILED), last)
    assert not desk.run()
    assert last.n_runs == 0
    assert desk.states() == [Verdict.FAIL, StepState.WAITING]
    assert desk.taken == []
    assert store.latest(Quantity.LARMOR).value == (2.001e6,)
    refused = [entry.content for entry in store.history() if isinstance(entry.content, RefusedCalibration)]
    assert [(one.quantity, one.reason) for one in refused] == [(Quantity.LARMOR, "Only noise was seen.")]
    assert [step.name for step in desk.status.failed] == ["fine_frequency"]
    assert not desk.status.is_done


def test_values_of_a_failed_step_are_never_used(store):
    desk = Desk(store, GivenStep("fine_frequency", replace(FAILED, values=(larmor(1.9e6),))))
    desk.run()
    assert desk.taken == []
    assert store.latest(Quantity.LARMOR) is None


def test_a_warning_goes_on_and_is_used(store):
    desk = Desk(store, GivenStep("fine_frequency", passed(larmor(2e6), verdict=Verdict.WARN)), GivenStep("noise", passed()))
    assert desk.run()
    assert desk.taken
    assert desk.states() == [Verdict.WARN, Verdict.PASS]


def test_what_still_holds_is_not_measured_unless_asked(store):
    step = GivenStep("fine_frequency", passed(larmor(2e6)), skip="2.0 MHz still holds")
    desk = Desk(store, step)
    assert desk.run()
    assert (step.n_runs, desk.states()) == (0, [Verdict.SKIPPED])
    assert desk.status.steps[0].result.text == "2.0 MHz still holds."
    assert desk.status.is_done
    assert desk.run("fine_frequency", forced="fine_frequency")
    assert step.n_runs == 1


def test_retry_measures_that_step_and_what_follows_but_not_what_was_good(store):
    good, bad = GivenStep("noise", passed()), GivenStep("fine_frequency", FAILED, passed(larmor(2e6)))
    rest = GivenStep("transmit_power", passed())
    desk = Desk(store, good, bad, rest)
    assert not desk.run()
    assert desk.job.unsettled == ("fine_frequency", "transmit_power")
    assert desk.run("fine_frequency", *desk.job.unsettled, forced="fine_frequency")
    assert (good.n_runs, bad.n_runs, rest.n_runs) == (1, 2, 1)
    assert desk.status.is_done


def test_stop_ends_the_step_without_a_verdict(store):
    step, rest = GivenStep("fine_frequency", ScanAborted("Stopped.", "Press Start.")), GivenStep("noise", passed())
    desk = Desk(store, step, rest)
    assert not desk.run()
    assert desk.states() == [StepState.STOPPED, StepState.WAITING]
    assert rest.n_runs == 0
    assert "The prescan was stopped" in desk.status.problem
    assert "press Run prescan" in desk.status.remedy
    assert not desk.status.is_running
    assert desk.status.ended_at
    assert not [entry for entry in store.history() if isinstance(entry.content, RefusedCalibration)]


def test_stop_between_two_steps_begins_no_other(store):
    first, second = GivenStep("noise", passed()), GivenStep("fine_frequency", passed(larmor(2e6)))
    desk = Desk(store, first, second)
    first.during = desk.bench.cancel.set
    assert not desk.run()
    assert second.n_runs == 0
    assert desk.states() == [Verdict.PASS, StepState.WAITING]


def test_an_error_of_the_scanner_is_told_at_its_step(store):
    desk = Desk(store, GivenStep("fine_frequency", ConnectError("Nothing answers.", "Check the cable.")))
    assert not desk.run()
    step = desk.status.steps[0]
    assert (step.result.verdict, step.result.text, step.result.remedy) == (
        Verdict.FAIL,
        "Nothing answers.",
        "Check the cable.",
    )
    assert desk.status.problem == "Nothing answers."


def test_what_cannot_be_stored_is_not_used(store, tmp_path):
    store.path.parent.parent.mkdir(exist_ok=True)
    store.path.parent.write_text("a file where the folder should be")
    desk = Desk(store, GivenStep("fine_frequency", passed(larmor(2e6))))
    with pytest.raises(StorageError):
        store.accept(larmor(2e6))
    assert not desk.run()
    assert desk.taken == []
    assert desk.states() == [Verdict.FAIL]


def test_a_fault_of_the_program_leaves_no_step_running(store):
    desk = Desk(store, GivenStep("noise", ZeroDivisionError("x")))
    with pytest.raises(ZeroDivisionError):
        desk.run()
    assert desk.states() == [StepState.STOPPED]
    assert not desk.status.is_running


def test_leaving_out_needs_a_failed_step_a_name_and_a_reason_and_is_recorded(store):
    desk = Desk(store, GivenStep("noise", passed()), GivenStep("transmit_power", FAILED), GivenStep("linear_shim", passed()))
    desk.run()
    with pytest.raises(WrongState, match="did not fail"):
        desk.job.leave_out("noise", "in a hurry", "A. Person", NOW_S)
    with pytest.raises(WrongState, match="with a name and a reason"):
        desk.job.leave_out("transmit_power", "in a hurry", "  ", NOW_S)
    with pytest.raises(WrongState, match="no step 'tea'"):
        desk.job.leave_out("tea", "in a hurry", "A. Person", NOW_S)
    desk.job.leave_out("transmit_power", "test object without signal", "A. Person", NOW_S)
    assert desk.job.unsettled == ("linear_shim",)
    assert desk.run(*desk.job.unsettled)
    assert desk.status.is_done
    step = desk.status.steps[1]
    assert (step.skipped_by, step.skip_reason) == ("A. Person", "test object without signal")
    entry = store.history(Quantity.RF_SCALE)[-1]
    assert entry.by == "A. Person"
    assert "test object without signal" in entry.content.reason


def test_nothing_from_before_a_virtual_scanner_was_started_is_used(store):
    store.accept(larmor(2.03e6, NOW_S - 60))
    desk = Desk(store, GivenStep("fine_frequency", passed(larmor(2.001e6))), since_s=NOW_S - 30)
    desk.job.load(coil="Head", subject="exam-1")
    assert desk.job.values == ()
    desk.run()
    assert [value.value for value in desk.job.values] == [(2.001e6,)]


def test_an_old_value_is_shown_with_why_it_does_not_hold(store):
    store.accept(larmor(2.03e6, NOW_S - 1200))
    desk = Desk(store, GivenStep("fine_frequency", FAILED))
    desk.job.load(coil="Head", subject="exam-1")
    assert [used.why_not for used in desk.status.values] == ["20 minutes old"]


def test_another_exam_forgets_the_steps(store):
    desk = Desk(store, GivenStep("fine_frequency", passed(larmor(2e6))))
    desk.run()
    desk.job.forget()
    assert desk.states() == [StepState.WAITING]


def test_the_frequency_cannot_be_left_out(store):
    desk = Desk(store, GivenStep("fine_frequency", FAILED))
    desk.run()
    with pytest.raises(WrongState, match=r"without the frequency.*\n.*Plug the coil in"):
        desk.job.leave_out("fine_frequency", "in a hurry", "A. Person", NOW_S)


def test_the_title_says_how_long_it_will_take(store):
    desk = Desk(
        store, GivenStep("noise", passed()), GivenStep("transmit_power", passed()), GivenStep("linear_shim", passed())
    )
    titles = []
    for step in desk.steps:
        step.during = lambda: titles.append(desk.job.running_title)
    assert desk.run()
    assert titles == [
        "Prescan 1 of 3: Noise, ~55 s",
        "Prescan 2 of 3: Transmit Power, ~50 s",
        "Prescan 3 of 3: Linear Shim, ~35 s",
    ]


def test_the_rest_that_is_not_wanted_is_not_measured(store):
    first, second = GivenStep("noise", passed()), GivenStep("linear_shim", passed())
    desk = Desk(store, first, second)

    def may_go_on():
        if first.n_runs:
            raise only_frequency()

    assert not desk.job.run(desk.bench, (), may_go_on=may_go_on)
    assert (first.n_runs, second.n_runs) == (1, 0)
    assert "Only the frequency" in desk.status.problem
