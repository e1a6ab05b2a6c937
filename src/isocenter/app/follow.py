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
from isocenter.acquisition.prescan.recentre import Recentre, tolerance_hz
from isocenter.acquisition.prescan.tracking import FrequencyJump, FrequencyTracker
from isocenter.app.computer_watch import FREQUENCY_JUMP_HZ, ComputerWatch
from isocenter.app.service import Health
from isocenter.domain.errors import ConsoleError, DeviceError, ScanAborted, ScanEnded
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.scanner import Calibration, Scanner
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
    """Where the scan's journal is kept."""

    def note(self, event: str, **details: Any) -> None:
        """Write down what happened."""
        ...


class FrequencyFollower:
    """Follows one scan. ``add``, ``add_again``, ``resumed`` are for the runner's listeners, ``between`` is for the guard.

    Parameters
    ----------
    scan, calibration
        What is played and with which calibration.
    scanner, supervisor, watch
        On what, who is told of faults, who knows the magnet's temperature.
    sink
        Keeps the scan's journal.
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
        scanner: Scanner,
        supervisor: Supervisor,
        watch: ComputerWatch,
        sink: Sink,
        measure: Callable[[Step, Calibration, Event], StepResult],
        say: Say,
    ) -> None:
        self._scan, self._calibration, self._scanner = scan, calibration, scanner
        self._supervisor, self._watch, self._sink = supervisor, watch, sink
        self._measure, self._say = measure, say
        self._tracker = FrequencyTracker(scan, lambda _: None, note=sink.note)
        self._start_s = np.array([segment.start_s for segment in scan.segments])
        self.n_pauses = self.n_jumps = 0

    # --- what the runner tells --------------------------------------------------------------------------------------

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
            return None
        return self._pause(jump, cancel)

    def _why_motion(self, jump: FrequencyJump) -> str:
        """Why it is the patient and not the magnet, without measuring; empty where it may be the magnet."""
        if jump.is_rather_motion(self._watch.warmer_c, self._scanner.magnet.drift_hz_per_c):
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
        step = Recentre(tolerance_hz(self._scan), slope_hz_per_c=self._scanner.magnet.drift_hz_per_c)
        try:
            result = self._measure(step, self._calibration, cancel)
        except (ScanAborted, DeviceError):
            raise
        except ConsoleError as error:  # it could not be prepared or kept; the scanner itself is well
            raise self._not_measured(why, error.problem, error.remedy) from error
        if result.verdict is Verdict.FAIL or not result.values:
            raise self._not_measured(why, result.text, result.remedy)
        larmor_hz = result.values[0].value[0]
        change_hz = larmor_hz - self._calibration.larmor_hz
        self._calibration = replace(
            self._calibration,
            larmor_hz=larmor_hz,
            measured_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        )
        self._sink.note("frequency measured", larmor_hz=larmor_hz, sd_hz=result.values[0].sd[0], change_hz=change_hz)
        return Resume(lo_hz=larmor_hz, first_readout=self._first(jump, change_hz, why))

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
            self._tell_motion(jump, f"The frequency was measured again and has hardly changed ({change_hz:+.0f} Hz).")
            return everything
        self.n_jumps += 1
        if self.n_jumps > MOST_JUMPS:
            raise ScanEnded(
                f"The magnet's frequency left its limit {self.n_jumps} times in this scan ({why}), so the scan ended. "
                "What was measured is kept.",
                _STEADY,
            )
        if jump is None:
            self._say_new(change_hz, "")
            return everything
        times_s = self._start_s[self._scan.segment_of_readout]
        first = max(jump.sure_until, int(np.searchsorted(times_s, jump.time_s - _REPEATED_S)))
        n_again = self._tracker.n_seen - first
        again = f" {n_again} lines that may have been measured at the wrong one are measured again." if n_again > 0 else ""
        self._say_new(change_hz, again)
        return first

    def _say_new(self, change_hz: float, again: str) -> None:
        self._say(
            Health.WARNING, f"The frequency was measured again: {change_hz:+.0f} Hz. The scan goes on with it.{again}", ""
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
