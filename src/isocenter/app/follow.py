# SPDX-License-Identifier: MIT
"""The frequency followed during a clinical scan, and measured again in a pause when it has gone too far."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from threading import Event
from typing import Any, Final, Protocol

import numpy as np

from isocenter.acquisition.contracts import Resume
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.acquisition.prescan.contract import Step, StepResult, Verdict
from isocenter.acquisition.prescan.looks import Looks
from isocenter.acquisition.prescan.recentre import Recentre, tolerance_hz
from isocenter.acquisition.prescan.tracking import FrequencyJump, FrequencyTracker
from isocenter.app.computer_watch import FREQUENCY_JUMP_HZ, ComputerWatch
from isocenter.app.drift import MagnetDrift
from isocenter.app.service import Health
from isocenter.domain.errors import AcquisitionError, ConsoleError, DeviceError, ScanAborted, ScanEnded
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.scanner import Calibration
from isocenter.domain.units import signed
from isocenter.recon.receive import Samples

MOST_JUMPS: Final = 2
"""A magnet that jumps more often is not steady enough for any scan."""
MOST_DOUBTS: Final = 4
"""So often a scan is paused for a patient who moved; after that lines that disagree are taken for motion, and it goes on."""
_REPEATED_S: Final = 60.0
"""What was measured longer before the jump was seen is not measured again, whatever its lines say."""
_STEADY: Final = "Wait until the temperature of the room and of the magnet is steady, then start the scan again."

Say = Callable[[Health, str, str], None]


class Sink(Protocol):
    """Where the scan's journal and record are kept."""

    def note(self, event: str, **details: Any) -> None:
        """Write down what happened."""
        ...

    def remark(self, text: str) -> None:
        """What the scan's record will say beside how it ended, in place of what it was to say before."""
        ...


class _NotMeasured(AcquisitionError):
    """The frequency could not be told; the scanner itself is well."""


class FrequencyFollower:
    """Follows one scan. ``between`` is for the guard, the methods before it are for the runner's listeners.

    Parameters
    ----------
    scan, calibration
        What is played and with which calibration.
    drift
        What to expect of the magnet.
    supervisor, watch
        Who is told of faults, who knows the magnet's temperature.
    sink
        Keeps the scan's journal and record.
    measure
        Runs the step that measures the frequency, with the calibration as it is then, while the scan waits.
    say
        Tells the operator.
    """

    def __init__(
        self,
        scan: CompiledScan,
        calibration: Calibration,
        *,
        drift: MagnetDrift,
        supervisor: Supervisor,
        watch: ComputerWatch,
        sink: Sink,
        measure: Callable[[Step, Calibration, Event], StepResult],
        say: Say,
    ) -> None:
        self._scan, self._calibration, self._drift = scan, calibration, drift
        self._supervisor, self._watch, self._sink = supervisor, watch, sink
        self._measure, self._say = measure, say
        self._tracker = FrequencyTracker(scan, lambda _: None, note=sink.note)
        self._start_s = np.array([*(segment.start_s for segment in scan.segments), scan.facts.duration_s])
        self._next = 0
        self.looks = Looks(scan, drift.rate_hz_per_s)
        self.n_pauses = self.n_jumps = 0

    # --- what the runner tells --------------------------------------------------------------------------------------

    def playing(self, index: int) -> None:
        """Number of the segment that is about to be played."""
        self._next = index + 1

    def add(self, readouts: Readouts, samples: Samples) -> None:
        """Lines that are on the disk."""
        self._tracker.add(readouts, samples)

    def add_again(self, first: int, readouts: Readouts, samples: Samples) -> None:
        """Lines that were measured again; those that were only lost are too late to be followed."""
        if first == self._tracker.n_seen:
            self._tracker.add(readouts, samples)

    def resumed(self, first: int, lo_hz: float) -> None:
        """What comes now is measured at another frequency."""
        self._tracker.resume(first, lo_hz - self._scan.lo_hz)

    # --- between segments -------------------------------------------------------------------------------------------

    def between(self, cancel: Event, is_last: bool) -> Resume | None:
        """Go on as it was (None), or at a frequency measured now, with what was measured wrongly measured again.

        Raises
        ------
        ScanEnded
            It cannot be measured, or it jumps again and again.
        ScanAborted, ConsoleError
            Stopped meanwhile; the measurement failed.
        """
        jump = self._tracker.jump
        if jump is not None and (because := self._why_motion(jump)):
            self._tell_motion(jump, because)
            jump = None
        if jump is not None:
            self._supervisor.fault("frequency_jump", detail=jump.text)
        elif is_last or not any(fault.name == "frequency_jump" for fault in self._supervisor.faults):
            return self._look(cancel, is_last)
        return self._pause(jump, cancel)

    def _why_motion(self, jump: FrequencyJump) -> str:
        """Why it is the patient and not the magnet, without measuring; empty where it may be the magnet."""
        if jump.is_rather_motion(self._watch.warmer_c, self._drift.slope_hz_per_c):
            return "The magnet's temperature is steady."
        n_doubts = self.n_pauses - self.n_jumps
        if jump.may_be_motion and n_doubts >= MOST_DOUBTS:
            return f"Each of {n_doubts} times before, the frequency was found unchanged."
        return ""

    def _pause(self, jump: FrequencyJump | None, cancel: Event) -> Resume:
        """Measure the frequency while the scan waits; ``jump`` is None when only the temperature speaks of one."""
        self.n_pauses += 1
        why = jump.text if jump is not None else f"the magnet's temperature says more than {FREQUENCY_JUMP_HZ:.0f} Hz"
        self._sink.note("pause", reason=why, number=self.n_pauses)
        self._say(
            Health.WARNING, f"The magnet's frequency has changed: {why}. The scan waits while it is measured again.", ""
        )
        try:
            change_hz = self._measure_again(cancel)
        except _NotMeasured as error:
            raise self._not_measured(why, error.problem, error.remedy) from error
        return self._resume(self._first(jump, change_hz, why), change_hz)

    def _resume(self, first: int, change_hz: float) -> Resume:
        """Go on with this readout at the frequency that has just been measured."""
        rows = self._scan.segment_of_readout
        self.looks.measured(min(self._now_s, float(self._start_s[rows[first] if first < len(rows) else -1])), change_hz)
        return Resume(lo_hz=self._calibration.larmor_hz, first_readout=first)

    def _measure_again(self, cancel: Event, *, most_sd_hz: float = np.inf, **details: object) -> float:
        """By how much the frequency has changed [Hz]; from now on the calibration has it. Raises _NotMeasured."""
        step = Recentre(tolerance_hz(self._scan), slope_hz_per_c=self._drift.slope_hz_per_c)
        try:
            result = self._measure(step, self._calibration, cancel)
        except (ScanAborted, DeviceError):
            raise
        except ConsoleError as error:  # it could not be prepared or kept; the scanner itself is well
            raise _NotMeasured(error.problem, error.remedy) from error
        if result.verdict is Verdict.FAIL or not result.values or not result.values[0].sd[0] <= most_sd_hz:
            raise _NotMeasured(result.text, result.remedy)
        larmor_hz, sd_hz = result.values[0].value[0], result.values[0].sd[0]
        change_hz = larmor_hz - self._calibration.larmor_hz
        self._calibration = replace(
            self._calibration,
            larmor_hz=larmor_hz,
            measured_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        self._sink.note("frequency measured", larmor_hz=larmor_hz, sd_hz=sd_hz, change_hz=change_hz, **details)
        self._sink.remark("")
        return change_hz

    def _not_measured(self, why: str, problem: str, remedy: str) -> ScanEnded:
        self._sink.note("not measured", problem=problem)
        return ScanEnded(
            f"The magnet's frequency has changed ({why}) and could not be measured again, so the scan ended; what was "
            f"measured is kept. {problem}",
            remedy or _STEADY,
        )

    def _first(self, jump: FrequencyJump | None, change_hz: float, why: str) -> int:
        """From which readout on lines are measured again; raise ScanEnded for one jump too many."""
        everything = len(self._scan.readouts)
        if jump is not None and abs(change_hz) < jump.limit_hz / 2:
            self._tell_motion(jump, f"The frequency was measured again and has hardly changed ({signed(change_hz)} Hz).")
            return everything
        self._count_jump(why)
        if jump is None:
            self._say_new(change_hz, "")
            return everything
        return self._again(max(jump.sure_until, self._row(jump.time_s - _REPEATED_S)), change_hz)

    def _again(self, first: int, change_hz: float) -> int:
        n_again = self._tracker.n_seen - first
        again = f" {n_again} lines that may have been measured at the wrong one are measured again." if n_again > 0 else ""
        self._say_new(change_hz, again)
        return first

    def _row(self, time_s: float) -> int:
        """The first readout whose segment begins no earlier."""
        return int(np.searchsorted(self._start_s[self._scan.segment_of_readout], time_s))

    @property
    def _now_s(self) -> float:
        """When the segment that comes next was to be played, from the start of the scan [s]."""
        return float(self._start_s[self._next])

    def _say_new(self, change_hz: float, again: str) -> None:
        self._say(
            Health.WARNING, f"The frequency was measured again: {signed(change_hz)} Hz. The scan goes on with it.{again}", ""
        )

    def _tell_motion(self, jump: FrequencyJump, because: str) -> None:
        """It looks like a change of frequency and is none: the scan goes on."""
        self._tracker.moved()
        self._sink.note("motion", apparent_hz=jump.change_hz, at_s=jump.time_s, because=because)
        self._say(
            Health.WARNING,
            f"The patient has probably moved after {jump.time_s:.0f} s of the scan. {because}",
            "Look after the patient. Repeat the scan if its images are blurred or doubled.",
        )

    def _count_jump(self, why: str) -> None:
        self.n_jumps += 1
        if self.n_jumps > MOST_JUMPS:
            raise ScanEnded(
                f"The magnet's frequency left its limit {self.n_jumps} times in this scan ({why}), so the scan ended. "
                "What was measured is kept.",
                _STEADY,
            )

    # --- looks while nothing seems wrong ------------------------------------------------------------------------------

    def _look(self, cancel: Event, is_last: bool) -> Resume | None:
        """Measure the frequency where it may have left what the images bear by now, and once more behind the last line."""
        looks, time_s = self.looks, self._now_s
        followed = self._tracker.trusted
        if followed is not None:
            looks.verify(*followed)
        warmer_hz = self._watch.warmer_c * self._drift.slope_hz_per_c
        if is_last:
            why = "the scan ends" if looks.is_due_at_end(time_s) and not cancel.is_set() else ""
        else:
            why = looks.why(time_s, warmer_hz=warmer_hz, followed=None if followed is None else followed[1])
        if not why:
            return None
        looks.n_looks += 1
        self._sink.note("look", reason=why, at_s=time_s)
        everything, since_s = len(self._scan.readouts), looks.verified_s
        try:
            change_hz = self._measure_again(
                cancel, most_sd_hz=looks.plan.limit_hz, is_look=True, at_s=time_s, readout=self._tracker.n_seen
            )
        except _NotMeasured as error:
            self._tell_unverified(error, time_s, warmer_hz)
            return Resume(lo_hz=self._calibration.larmor_hz, first_readout=everything)
        if abs(change_hz) > self._tracker.limit_hz:
            self._count_jump(f"{signed(change_hz)} Hz within {time_s - since_s:.0f} s")
            return self._resume(self._again(self._row(max(since_s, time_s - _REPEATED_S)), change_hz), change_hz)
        at = "the last line" if is_last else f"{time_s:.0f} s"
        self._say(Health.GOOD, f"The frequency was looked at after {at} of the scan: {signed(change_hz)} Hz.", "")
        return self._resume(everything, change_hz)

    def _tell_unverified(self, error: _NotMeasured, time_s: float, warmer_hz: float) -> None:
        """Nothing was wrong before, so the scan goes on, unless the temperature speaks against it."""
        if abs(warmer_hz) > self._tracker.limit_hz / 2:
            raise self._not_measured(f"the magnet's temperature says {signed(warmer_hz)} Hz", error.problem, error.remedy)
        self.looks.tried(time_s)
        since = f"{self.looks.verified_s:.0f} s after the start" if self.looks.verified_s else "before the start"
        self._sink.note("not measured", problem=error.problem, at_s=time_s, verified_s=self.looks.verified_s)
        self._sink.remark(f"The frequency was last verified {since} of the scan; it could not be after {time_s:.0f} s.")
        self._say(
            Health.WARNING,
            f"The frequency could not be looked at after {time_s:.0f} s of the scan, which goes on. It was last verified "
            f"{since}. {error.problem}",
            error.remedy,
        )
