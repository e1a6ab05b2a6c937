# SPDX-License-Identifier: MIT
"""The runner on a console that keeps the contract and a log: order, data on the disk, stops, faults."""

import itertools
import pickle
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest

from isocenter.acquisition.clock import FreeClock, WallClock
from isocenter.acquisition.contracts import Listeners, NoGuard, Resume
from isocenter.acquisition.hardware import HardwareThread
from isocenter.acquisition.order import PlayOrder
from isocenter.acquisition.runner import ScanRunner
from isocenter.acquisition.states import TRANSITIONS, next_state
from isocenter.compiler.check import Finding, SafetyReport
from isocenter.devices.protocols import DeviceMessage, RawRun, SafeReport, Severity
from isocenter.domain.errors import (
    CompileError,
    DeviceFault,
    DeviceTimeout,
    SamplesLost,
    ScanAborted,
    ScanIncomplete,
    StorageError,
    WrongState,
)
from isocenter.domain.events import Track
from isocenter.domain.scan import EndReason, ScanState
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import open_scan, read_raw


@dataclass(frozen=True)
class Encoded:
    index: int
    n_raw: int
    duration_s: float = 0.01


class LoggingConsole:
    """Keeps the contract of ``Console``; segment i delivers 0.1 (i + 1) unless ``script[i]`` replaces its play."""

    def __init__(self, log, hardware):
        self.log, self.hardware = log, hardware
        self.script, self.prepare_script = {}, {}
        self.safe = SafeReport(verified=True)

    def open(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def prepare(self, segment, lo_hz):
        assert not self.hardware.is_current()
        self.log.append(("prepare", segment.index))
        if segment.index in self.prepare_script:
            self.prepare_script[segment.index]()
        return Encoded(segment.index, int(segment.readouts.n_raw.sum()))

    def play(self, prepared, cancel):
        assert self.hardware.is_current()
        self.log.append(("play", prepared.index))
        if prepared.index in self.script:
            return self.script[prepared.index](prepared, cancel)
        return self.deliver(prepared, cancel)

    @staticmethod
    def deliver(prepared, _cancel, n=0):
        return RawRun(samples=np.full(prepared.n_raw + n, 0.1 * (prepared.index + 1), dtype=np.complex64))

    def make_safe(self):
        assert self.hardware.is_current()
        self.log.append(("make_safe",))
        return self.safe


class LoggingFolder(ScanFolder):
    """The real folder, which also says when something was stored."""

    log = None

    def append(self, readouts, samples):
        super().append(readouts, samples)
        self.log.append(("stored", self.n_readouts))


@pytest.fixture
def log():
    return []


@pytest.fixture
def console(log, hardware):
    return LoggingConsole(log, hardware)


@pytest.fixture
def scan(examples):
    return examples.make_scan()  # three segments of eight readouts


@pytest.fixture
def sink(tmp_path, examples, scan, log):
    folder = LoggingFolder.create(tmp_path, examples.make_request(), scan, b"")
    folder.log = log
    yield folder
    folder.close()


@pytest.fixture
def runner(console, hardware):
    return ScanRunner(console, hardware, "osii-one", pace="none", grace_s=5.0)


def events(folder):
    return [event["event"] for event in open_scan(folder.path).journal()]


def play(runner, scan, *arguments):
    """Play a scan that the gate has let through."""
    return runner.run(scan, *arguments, safety=SafetyReport(findings=(), scan=scan))


def fail(error):
    def script(*_):
        raise error

    return script


def test_a_scan_is_played_in_order_and_each_segment_is_stored_before_the_next(runner, scan, sink, log):
    result = play(runner, scan, sink, threading.Event())
    assert result.reason is EndReason.COMPLETED
    assert (result.n_readouts, result.n_expected) == (24, 24)
    assert result.safe.verified
    expected = [("play", 0), ("stored", 8), ("play", 1), ("stored", 16), ("play", 2), ("stored", 24), ("make_safe",)]
    assert [entry for entry in log if entry[0] != "prepare"] == expected
    # The next segment is encoded while the one before it is on its way.
    assert log.index(("prepare", 1)) < log.index(("stored", 8))
    raw = read_raw(sink.path)
    np.testing.assert_allclose(raw.samples[:, 0, 16], np.repeat([0.1, 0.2, 0.3], 8), rtol=1e-3)
    assert runner.state is ScanState.IDLE
    assert open_scan(sink.path).record.end.reason is EndReason.COMPLETED


def test_the_data_can_be_read_from_the_disk_before_the_next_segment_is_played(runner, console, scan, sink):
    seen = []

    def look(prepared, cancel):
        seen.append(len(read_raw(sink.path).samples))
        return console.deliver(prepared, cancel)

    console.script = dict.fromkeys(range(3), look)
    play(runner, scan, sink, threading.Event())
    assert seen == [0, 8, 16]


def test_progress_counts_up_through_the_states(runner, scan, sink):
    seen = []
    play(runner, scan, sink, threading.Event(), Listeners(on_progress=seen.append))
    states = [state for state, _ in itertools.groupby(progress.state for progress in seen)]
    assert [state.value for state in states] == ["preparing", "armed", "scanning", "finishing", "idle"]
    scanning = [progress for progress in seen if progress.state is ScanState.SCANNING]
    assert [progress.readouts for progress in scanning] == [0, 8, 16, 24]
    assert [progress.segment for progress in scanning] == [0, 1, 2, 3]
    left_s = [progress.remaining_s for progress in scanning]
    assert left_s == sorted(left_s, reverse=True)
    assert left_s[-1] == 0
    assert seen[0].n_readouts == 24


def test_lines_are_told_after_they_are_stored(runner, scan, sink, log):
    def on_lines(readouts, samples):
        log.append(("told", len(readouts), len(samples)))

    play(runner, scan, sink, threading.Event(), Listeners(on_lines=on_lines))
    assert log.index(("stored", 8)) < log.index(("told", 8, 8)) < log.index(("play", 1))


def test_a_stop_while_a_segment_plays_ends_the_scan_and_keeps_what_there_is(runner, console, scan, sink, log):
    cancel = threading.Event()

    def stopped(prepared, given):
        cancel.set()
        assert given.is_set()
        raise ScanAborted("Stopped.", "Start again.")

    console.script[1] = stopped
    result = play(runner, scan, sink, cancel)
    assert (result.reason, result.n_readouts) == (EndReason.ABORTED, 8)
    assert ("play", 2) not in log
    assert log[-1] == ("make_safe",)
    assert len(read_raw(sink.path).samples) == 8
    assert open_scan(sink.path).record.end.reason is EndReason.ABORTED


def test_a_stop_between_segments_lets_no_further_one_out(runner, scan, sink, log):
    cancel = threading.Event()
    result = play(runner, scan, sink, cancel, Listeners(on_lines=lambda *_: cancel.set()))
    assert (result.reason, result.n_readouts) == (EndReason.ABORTED, 8)
    assert [entry for entry in log if entry[0] == "play"] == [("play", 0)]
    assert log[-1] == ("make_safe",)


def test_a_stop_before_the_first_segment_plays_nothing(runner, scan, sink, log):
    cancel = threading.Event()
    cancel.set()
    assert play(runner, scan, sink, cancel).reason is EndReason.ABORTED
    assert [entry[0] for entry in log] == ["prepare", "make_safe"]


def test_a_stop_ends_a_long_wait_at_once(console, hardware, scan, sink, log):
    waiting, cancel = threading.Event(), threading.Event()

    class SpyClock(WallClock):
        def wait_until(self, time_s, given):
            if time_s > self.now_s() + 1000:
                waiting.set()
            super().wait_until(time_s, given)

    late = tuple(replace(segment, start_s=segment.index * 1e4) for segment in scan.segments)
    runner = ScanRunner(console, hardware, "osii-one", clock=SpyClock)
    presser = threading.Thread(target=lambda: (waiting.wait(30), cancel.set()))
    presser.start()
    result = play(runner, replace(scan, segments=late), sink, cancel)
    presser.join()
    assert (result.reason, result.n_readouts) == (EndReason.ABORTED, 8)
    assert log[-1] == ("make_safe",)


def test_at_full_speed_nothing_waits_for_the_clock_on_the_wall(runner, scan, sink):
    late = tuple(replace(segment, start_s=segment.index * 1e4) for segment in scan.segments)
    result = play(runner, replace(scan, segments=late), sink, threading.Event())
    assert result.reason is EndReason.COMPLETED
    assert result.late_starts == ()


def test_a_virtual_scanner_is_told_the_pauses_that_nobody_waits_for(console, hardware, scan, sink):
    pauses = []
    segments = tuple(replace(segment, start_s=segment.index * 2.0) for segment in scan.segments)
    runner = ScanRunner(console, hardware, "osii-one", clock=lambda: FreeClock(pass_time=pauses.append))
    play(runner, replace(scan, segments=segments), sink, threading.Event())
    assert pauses == pytest.approx([2.0 - 0.01, 2.0 - 0.01])  # each segment takes 10 ms


def test_no_segment_starts_early_and_a_late_one_is_told_and_moves_the_rest(console, hardware, scan, sink):
    class ScriptedClock(FreeClock):
        """Storing the first segment takes 5 s."""

        def __init__(self):
            super().__init__()
            self.starts = []

        def wait_until(self, time_s, cancel):
            super().wait_until(time_s, cancel)
            assert self.now_s() >= time_s
            self.starts.append(self.now_s())

        def has_played(self, duration_s):
            super().has_played(5.0 if len(self.starts) == 1 else duration_s)

    clock = ScriptedClock()
    segments = tuple(replace(segment, start_s=segment.index * 1.0) for segment in scan.segments)
    messages = []
    runner = ScanRunner(console, hardware, "osii-one", clock=lambda: clock)
    result = play(runner, replace(scan, segments=segments), sink, threading.Event(), Listeners(on_message=messages.append))
    assert clock.starts == [0.0, 5.0, 6.0]  # the third keeps its distance to the second
    assert [(late.segment, late.late_s) for late in result.late_starts] == [(1, 4.0)]
    assert messages[0].severity is Severity.WARNING
    assert "4000 ms late" in messages[0].text
    assert "late start" in events(sink)


def test_what_is_done_before_the_first_segment_makes_none_late(console, hardware, scan, sink):
    """Counting exposure and writing it down takes time; nothing was played before, so no repetition is longer by it."""
    clock, starts, due_s, messages = FreeClock(), [], [], []
    segments = tuple(replace(segment, start_s=0.5 + segment.index * 1.0) for segment in scan.segments)

    def on_segment(_index, in_s):
        due_s.append(in_s)
        clock.has_played(0.027)

    wait = clock.wait_until
    clock.wait_until = lambda time_s, cancel: (wait(time_s, cancel), starts.append(clock.now_s()))
    runner = ScanRunner(console, hardware, "osii-one", clock=lambda: clock)
    listeners = Listeners(on_message=messages.append, on_segment=on_segment)
    result = play(runner, replace(scan, segments=segments), sink, threading.Event(), listeners)
    assert result.late_starts == ()
    assert messages == []
    assert starts == pytest.approx([0.027, 1.027, 2.027])  # the others keep their distance to the true start of the first
    assert due_s == pytest.approx([0.0, 0.99, 0.99])


def test_a_fault_keeps_the_partial_segment_and_says_where(runner, console, scan, sink, log):
    fault = DeviceFault("The gradient amplifier tripped.", "Reset the amplifier, then repeat the scan.")
    fault.partial = np.full(3 * int(scan.readouts.n_raw[0]) + 5, 2, dtype=np.complex64)
    console.script[1] = fail(fault)
    cancel = threading.Event()
    with pytest.raises(DeviceFault, match=r"amplifier tripped\. 11 of 24 readouts are kept in .*[\s\S]*Reset the amplifier"):
        play(runner, scan, sink, cancel)
    assert log[-1] == ("make_safe",)
    assert cancel.is_set()
    assert len(read_raw(sink.path).samples) == 11
    end = open_scan(sink.path).record.end
    assert (end.reason, end.note) == (EndReason.FAILED, "The gradient amplifier tripped.")
    assert runner.state is ScanState.IDLE


def test_a_sensor_goes_to_the_disk_beside_the_coil_also_when_a_part_fails(console, scan, tmp_path, examples, hardware):
    listens = {"rx1_en": Track(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int32))}
    segments = tuple(replace(segment, tracks={**segment.tracks, **listens}) for segment in scan.segments)
    scan = replace(scan, segments=segments)
    sink = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")

    def two(prepared, _cancel, n=None):
        one = np.full(prepared.n_raw if n is None else n, 0.1, dtype=np.complex64)
        return RawRun(samples=np.stack([one, 1.5j * one / 0.15]))  # the sensor is far beyond full scale

    console.script[0] = two
    fault = DeviceFault("Tripped.", "Reset.")
    fault.partial = two(None, None, 3 * int(scan.readouts.n_raw[0]) + 5).samples
    console.script[1] = fail(fault)
    messages, lines = [], []
    listeners = Listeners(on_message=messages.append, on_lines=lambda _, samples: lines.append(samples))
    with pytest.raises(DeviceFault, match="11 of 24"):
        play(ScanRunner(console, hardware, "osii-one", pace="none"), scan, sink, threading.Event(), listeners)
    raw = read_raw(sink.path)
    assert raw.samples.shape[:2] == (11, 2)
    assert raw.sensor_channels == (1,)
    assert np.abs(raw.samples[:, 0]).mean() == pytest.approx(0.1, rel=0.01)
    assert np.abs(raw.samples[:, 1]).mean() == pytest.approx(1.0, rel=0.01)
    assert [part.shape[:2] for part in lines] == [(8, 2), (3, 2)]
    assert [message.text.split(" is")[0] for message in messages] == ["The interference at the sensor"]


def test_after_a_failure_the_next_scan_runs(runner, console, scan, sink, tmp_path, examples):
    console.script[0] = fail(DeviceFault("Tripped.", "Reset."))
    with pytest.raises(DeviceFault, match="0 of 24"):
        play(runner, scan, sink, threading.Event())
    console.script.clear()
    second = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    assert play(runner, scan, second, threading.Event()).reason is EndReason.COMPLETED


@pytest.mark.parametrize(("n_more", "kept"), [(-5, 15), (7, 8)])
def test_a_wrong_number_of_samples_ends_the_scan_with_what_is_certain(runner, console, scan, sink, log, n_more, kept):
    console.script[1] = lambda prepared, cancel: console.deliver(prepared, cancel, n_more)
    n_due = int(scan.segments[1].readouts.n_raw.sum())
    message = rf"delivered {n_due + n_more} samples instead of {n_due}\. {kept} of 24 readouts are kept[\s\S]*network cable"
    with pytest.raises(ScanIncomplete, match=message):
        play(runner, scan, sink, threading.Event())
    assert len(read_raw(sink.path).samples) == kept
    assert ("play", 2) not in log
    assert log[-1] == ("make_safe",)


def test_when_the_next_segment_cannot_be_encoded_the_one_that_plays_is_kept(runner, console, scan, sink, log):
    console.prepare_script[1] = fail(CompileError("Two updates are too close.", "Lengthen the ramp."))
    with pytest.raises(CompileError, match="8 of 24 readouts are kept"):
        play(runner, scan, sink, threading.Event())
    assert log[-2:] == [("stored", 8), ("make_safe",)]


def test_when_the_disk_fails_the_scan_stops_and_the_outputs_go_to_zero(runner, scan, sink, log, monkeypatch):
    monkeypatch.setattr(LoggingFolder, "append", fail(StorageError("The disk is full.", "Free space.")))
    with pytest.raises(StorageError, match=r"The disk is full\. 0 of 24"):
        play(runner, scan, sink, threading.Event())
    assert [entry for entry in log if entry[0] != "prepare"] == [("play", 0), ("make_safe",)]


def test_a_journal_that_cannot_be_written_at_the_end_is_told_but_the_console_is_safe(runner, scan, sink, log, monkeypatch):
    monkeypatch.setattr(LoggingFolder, "finish", fail(StorageError("The disk is full.", "Free space.")))
    with pytest.raises(StorageError, match=r"The disk is full\. 24 of 24 readouts are kept"):
        play(runner, scan, sink, threading.Event())
    assert log[-1] == ("make_safe",)
    assert runner.state is ScanState.IDLE


def test_a_console_that_hangs_is_given_up_and_told_to_stop(console, hardware, scan, sink, log):
    def hang(_prepared, cancel):
        assert cancel.wait(30)
        raise ScanAborted("Stopped.", "Start again.")

    console.script[1] = hang
    runner = ScanRunner(console, hardware, "osii-one", pace="none", grace_s=0.2)
    with pytest.raises(DeviceTimeout, match=r"did not finish part 2 of the scan[\s\S]*Press Stop on the amplifiers"):
        play(runner, scan, sink, threading.Event())
    assert log[-1] == ("make_safe",)
    assert len(read_raw(sink.path).samples) == 8


def test_a_console_that_never_answers_again_is_reported_as_not_safe(console, hardware, scan, sink):
    release, messages = threading.Event(), []
    console.script[0] = lambda prepared, cancel: (release.wait(30), console.deliver(prepared, cancel))[1]
    runner = ScanRunner(console, hardware, "osii-one", pace="none", grace_s=0.1, safe_grace_s=0.1)
    with pytest.raises(DeviceTimeout, match="0 of 24"):
        play(runner, scan, sink, threading.Event(), Listeners(on_message=messages.append))
    assert any("Switch the amplifiers off by hand" in message.text for message in messages)
    assert all(message.severity is Severity.ERROR for message in messages)
    release.set()


def test_every_message_of_the_console_is_told_and_written_down(runner, console, scan, sink):
    warning = DeviceMessage(severity=Severity.WARNING, text="The buffer ran low.", original="buffer low")
    console.script[1] = lambda prepared, cancel: replace(console.deliver(prepared, cancel), messages=(warning,))
    console.safe = SafeReport(verified=False, messages=(replace(warning, text="No answer to halt."),))
    messages = []
    result = play(runner, scan, sink, threading.Event(), Listeners(on_message=messages.append))
    texts = [message.text for message in messages]
    assert texts[:2] == ["The buffer ran low.", "No answer to halt."]
    assert "has not confirmed that every output is zero" in texts[2]
    assert not result.safe.verified
    assert events(sink).count("message") == 3


def test_a_clipped_signal_is_told_once(runner, console, scan, sink):
    def too_strong(prepared, cancel):
        run = console.deliver(prepared, cancel)
        run.samples[10:13] = 1.0j
        return run

    console.script = dict.fromkeys(range(3), too_strong)
    messages = []
    play(runner, scan, sink, threading.Event(), Listeners(on_message=messages.append))
    assert [message.severity for message in messages] == [Severity.WARNING]
    assert "was clipped" in messages[0].text


def test_a_mistake_in_a_listener_does_not_leave_the_outputs_on(runner, scan, sink, log):
    with pytest.raises(ZeroDivisionError):
        play(runner, scan, sink, threading.Event(), Listeners(on_lines=lambda *_: 1 / 0))
    assert log[-1] == ("make_safe",)
    assert open_scan(sink.path).record.end.reason is EndReason.FAILED
    assert runner.state is ScanState.IDLE


def test_a_scan_for_another_scanner_is_refused_before_anything_moves(runner, examples, sink, log):
    with pytest.raises(WrongState, match=r"compiled for scanner physio-72mT, but osii-one is connected"):
        play(runner, examples.make_scan(scanner_name="physio-72mT"), sink, threading.Event())
    assert log == []
    assert open_scan(sink.path).record.end is None


def test_one_scan_at_a_time(runner, scan, sink):
    refused = []

    def start_another(*_):
        with pytest.raises(WrongState, match=r"Another scan is running[\s\S]*Stop"):
            play(runner, scan, sink, threading.Event())
        refused.append(True)

    assert play(runner, scan, sink, threading.Event(), Listeners(on_lines=start_another)).reason is EndReason.COMPLETED
    assert len(refused) == 3


def test_the_table_allows_what_it_draws_and_nothing_else():
    for state, event in itertools.product(ScanState, ["start", "ready", "play", "end", "safe"]):
        if (state, event) in TRANSITIONS:
            assert next_state(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(ValueError, match=f"{event}.*{state.value}"):
                next_state(state, event)
    leads_out = {state for (state, event), to in TRANSITIONS.items() if to is ScanState.FINISHING}
    assert leads_out == {ScanState.PREPARING, ScanState.ARMED, ScanState.SCANNING}


def test_a_call_without_an_answer_ends_at_its_deadline():
    thread, release = HardwareThread(), threading.Event()
    thread.submit(release.wait, 30)
    with pytest.raises(DeviceTimeout, match=r"did not switch on within 0\.05 s[\s\S]*power and network cable"):
        thread.call(lambda: 1, timeout_s=0.05, doing="switch on")
    release.set()
    assert thread.call(lambda: 2, timeout_s=5, doing="switch on") == 2
    thread.close()


def _refusal():
    return Finding(limit="RF", requested=2.0, allowed=1.0, unit="", event="a pulse", time_s=0.0, remedy="Lower it.")


@pytest.mark.parametrize(
    "report_of",
    [
        lambda scan: SafetyReport(findings=()),
        lambda scan: SafetyReport(findings=(), scan=replace(scan)),
        lambda scan: SafetyReport(findings=(_refusal(),), scan=scan),
    ],
    ids=["nothing was looked at", "another scan was looked at", "refused"],
)
def test_a_scan_that_the_gate_has_not_let_through_is_not_played(runner, scan, sink, log, report_of):
    with pytest.raises(WrongState, match=r"(?s)has not been checked.*What to do: Prepare the scan again"):
        runner.run(scan, sink, threading.Event(), safety=report_of(scan))
    assert log == []


def test_a_report_still_belongs_to_its_scan_when_both_come_from_another_process(scan):
    there, report = pickle.loads(pickle.dumps((scan, SafetyReport(findings=(), scan=scan))))
    assert report.allows(there)
    assert not report.allows(scan)


# --- played again ---------------------------------------------------------------------------------------------------


class Pausing:
    """A guard that asks for a new frequency at chosen moments: before the segment of that number, or behind the last."""

    def __init__(self, at, resume):
        self.at, self.resume, self.asked = at, resume, 0

    def __getattr__(self, name):
        return getattr(NoGuard(), name)

    def before_segment(self, _cancel):
        self.asked += 1
        return self.resume if self.asked == self.at + 1 else None

    def after_last(self, _cancel):
        self.asked += 1
        return self.resume if self.asked == self.at + 1 else None


def played(log):
    return [entry[1] for entry in log if entry[0] == "play"]


def values(folder):
    """What each segment of eight readouts holds."""
    samples = read_raw(folder.path).samples
    return [round(float(np.median(np.abs(samples[8 * i : 8 * i + 8]))), 2) for i in range(len(samples) // 8)]


def rising(console):
    """Each run delivers more than the one before, so that it can be told which one was kept."""
    numbers = itertools.count(1)

    def play(prepared, cancel):
        run = LoggingConsole.deliver(prepared, cancel)
        return RawRun(samples=np.full_like(run.samples, 0.01 * next(numbers)))

    for index in range(3):
        console.script[index] = play


def test_after_a_pause_what_came_before_is_played_for_the_spins_and_the_rest_at_the_new_frequency(
    runner, console, scan, sink, log
):
    rising(console)
    frequencies, resumed = [], []
    prepare = console.prepare

    def preparing(segment, lo_hz):
        frequencies.append((segment.index, lo_hz))
        return prepare(segment, lo_hz)

    console.prepare = preparing
    runner.guard = Pausing(2, Resume(lo_hz=2.2e6, first_readout=16))
    result = runner.run(
        scan,
        sink,
        threading.Event(),
        Listeners(on_resume=lambda *what: resumed.append(what)),
        safety=SafetyReport(findings=(), scan=scan),
    )
    assert result.reason is EndReason.COMPLETED
    assert played(log) == [0, 1, 0, 1, 2]
    assert frequencies[-2:] == [(1, 2.2e6), (2, 2.2e6)]
    assert values(sink) == [0.01, 0.02, 0.05]
    assert resumed == [(16, 2.2e6)]
    of_segments = [(e["index"], e["lo_hz"]) for e in open_scan(sink.path).journal() if e["event"] == "segment"]
    assert of_segments == [(0, scan.lo_hz), (1, scan.lo_hz), (2, 2.2e6)]


@pytest.mark.parametrize(
    ("at", "first", "order", "kept"),
    [
        (2, 9, [0, 1, 0, 1, 2], [0.01, 0.04, 0.05]),  # readout 9 lies in the second segment
        (1, 0, [0, 0, 1, 2], [0.02, 0.03, 0.04]),  # from the start: nothing comes before it
        (3, 16, [0, 1, 2, 0, 1, 2], [0.01, 0.02, 0.06]),  # behind the last
        (3, 24, [0, 1, 2], [0.01, 0.02, 0.03]),  # behind the last, and all of it is good
        (2, 99, [0, 1, 0, 1, 2], [0.01, 0.02, 0.05]),  # nothing is measured twice
    ],
)
def test_lines_that_were_measured_wrongly_are_replaced(runner, console, scan, sink, log, at, first, order, kept):
    rising(console)
    told, again = [], []
    runner.guard = Pausing(at, Resume(lo_hz=2.2e6, first_readout=first))
    listeners = Listeners(
        on_lines=lambda readouts, _: told.append(len(readouts)),
        on_lines_again=lambda number, readouts, _: again.append((number, len(readouts))),
    )
    result = runner.run(scan, sink, threading.Event(), listeners, safety=SafetyReport(findings=(), scan=scan))
    assert (result.reason, result.n_readouts) == (EndReason.COMPLETED, 24)
    assert played(log) == order
    assert values(sink) == kept
    assert told == [8, 8, 8], "nobody counts a line twice"
    assert again == [(number, 8) for number in range(first // 8 * 8, 8 * at, 8)]


def lose(times):
    """A console that loses the samples of its next so many runs."""
    left = itertools.count()

    def play(prepared, cancel):
        if next(left) < times:
            raise SamplesLost("Samples were lost.", "Check the cable.")
        return LoggingConsole.deliver(prepared, cancel)

    return play


def test_lines_that_were_lost_are_measured_again_alone(runner, console, scan, sink, log):
    console.script[1] = lose(1)
    messages = []
    result = runner.run(
        scan, sink, threading.Event(), Listeners(on_message=messages.append), safety=SafetyReport(findings=(), scan=scan)
    )
    assert (result.reason, result.n_readouts, result.note) == (EndReason.COMPLETED, 24, "")
    assert played(log) == [0, 1, 2, 0, 1]
    assert values(sink) == [0.1, 0.2, 0.3]
    assert [message.text for message in messages] == [
        "Lines 9 to 16 of 24 were lost; they are measured again at the end of the scan."
    ]
    again = [event for event in open_scan(sink.path).journal() if event.get("again")]
    assert [event["index"] for event in again] == [1]


def test_neighbours_that_were_lost_are_measured_again_in_one_go(runner, console, scan, sink, log):
    console.script |= {1: lose(1), 2: lose(1)}
    assert (
        runner.run(scan, sink, threading.Event(), safety=SafetyReport(findings=(), scan=scan)).reason is EndReason.COMPLETED
    )
    assert played(log) == [0, 1, 2, 0, 1, 2]
    assert values(sink) == [0.1, 0.2, 0.3]


def test_lines_that_are_lost_again_end_the_scan_and_are_named(runner, console, scan, sink, log):
    console.script[1] = lose(2)
    with pytest.raises(SamplesLost, match=r"In doubt are lines 9 to 16 of 24\. 24 of 24 readouts"):
        runner.run(scan, sink, threading.Event(), safety=SafetyReport(findings=(), scan=scan))
    assert played(log) == [0, 1, 2, 0, 1]
    assert values(sink) == [0.1, 0.0, 0.3]


def test_a_stop_before_they_are_measured_again_says_which_are_empty(runner, console, scan, sink):
    cancel = threading.Event()
    console.script[0] = lose(1)

    def stop(index, _in_s):
        if index == 2:
            cancel.set()

    result = runner.run(scan, sink, cancel, Listeners(on_segment=stop), safety=SafetyReport(findings=(), scan=scan))
    assert (result.reason, result.n_readouts) == (EndReason.ABORTED, 16)
    assert result.note.startswith("Lines 1 to 8 were lost and are empty.")
    assert open_scan(sink.path).record.end.note == result.note


def slow_scan(examples, apart_s, with_pulse):
    """Segments so far apart, those of some numbers with a pulse."""
    scan = examples.make_scan(n_par=6)
    pulse = {"tx0_i": Track(ticks=np.array([1000, 2000]), values=np.array([9000, 0], dtype=np.int32))}
    segments = [
        replace(one, start_s=apart_s * one.index, tracks={**one.tracks, **(pulse if one.index in with_pulse else {})})
        for one in scan.segments
    ]
    return replace(scan, segments=tuple(segments))


def test_what_is_played_for_the_spins_lasts_two_seconds(examples):
    order = PlayOrder(slow_scan(examples, 0.9, range(6)))
    for _ in range(5):
        order.take()
    assert order.resume(8 * 5) == 8 * 5
    assert order.lead_s == pytest.approx(2.7)
    turns = [order.take() for _ in range(4)]
    assert [(turn.index, turn.is_wanted, turn.is_fresh) for turn in turns] == [
        (2, False, True),
        (3, False, False),
        (4, False, False),
        (5, True, False),
    ]
    assert order.next is None


def test_what_is_played_for_the_spins_has_a_pulse_however_long_they_rest(examples):
    order = PlayOrder(slow_scan(examples, 0.9, (1, 5)))
    for _ in range(5):
        order.take()
    order.resume(8 * 5)
    assert [order.take().index for _ in range(5)] == [1, 2, 3, 4, 5]
    assert order.lead_s == pytest.approx(3.6)
