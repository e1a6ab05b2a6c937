# SPDX-License-Identifier: MIT
"""What a clinical scan does about its frequency: whom it believes, when it pauses, when it ends."""

from dataclasses import dataclass, field, replace
from threading import Event

import numpy as np
import pytest

from isocenter.acquisition.contracts import Resume
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.acquisition.prescan.contract import StepResult, Verdict
from isocenter.acquisition.prescan.tracking import FrequencyJump
from isocenter.app.computer_watch import ComputerWatch
from isocenter.app.drift import MagnetDrift
from isocenter.app.follow import FrequencyFollower
from isocenter.app.service import Health
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import DeviceTimeout, ScanAborted, ScanEnded, StorageError
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build

SCANNER = load_scanner("osii-one")
LARMOR_HZ = SCANNER.magnet.larmor_hz
BOX = {"fov_read_m": 0.2, "fov_phase_m": 0.2, "fov_slab_m": 0.064, "n_read": 32, "n_phase": 16, "n_slab": 4}


@pytest.fixture(scope="module")
def scan():
    seq = build("tse_3d", {**BOX, "echo_train_length": 4, "tr_s": 0.3, "navigator_every": 2}, SCANNER).seq
    return compile_scan(read_pulseq(seq), SCANNER, nominal_calibration(SCANNER), place(Orientation.AXIAL))


STEADY = MagnetDrift(slope_hz_per_c=SCANNER.magnet.drift_hz_per_c, rate_hz_per_s=0.0)


@dataclass
class Rig:
    """A follower whose tracker and thermometer say what a test wants."""

    scan: object
    warmer_c: float = float("nan")
    drift: MagnetDrift = STEADY
    outcomes: list = field(default_factory=list)
    said: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    remarks: list = field(default_factory=list)
    healths: list = field(default_factory=list)
    sd_hz: float = 1.0
    asked: list = field(default_factory=list)

    def __post_init__(self):
        self.supervisor = Supervisor(journal=lambda *_: None)
        watch = ComputerWatch(self.supervisor, SCANNER)
        self.follower = FrequencyFollower(
            self.scan,
            replace(nominal_calibration(SCANNER), measured_at="today"),
            drift=self.drift,
            supervisor=self.supervisor,
            watch=_Warm(watch, self),
            sink=self,
            measure=self.measure,
            say=self.say,
        )

    def say(self, health, text, remedy):
        self.said.append(f"{text} {remedy}".strip())
        self.healths.append(health)

    def note(self, event, **details):
        self.notes.append((event, details))

    def remark(self, text):
        self.remarks.append(text)

    def measure(self, _step, calibration, _cancel):
        self.asked.append(calibration.larmor_hz)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            return StepResult(
                step="recentre", title="", verdict=Verdict.FAIL, text="Only noise.", remedy="Look at the coil."
            )
        value = CalibrationValue(
            quantity=Quantity.LARMOR, value=(outcome,), sd=(self.sd_hz,), measured_at_s=0.0, holds_s=900.0, holds_c=0.1
        )
        self.supervisor.clear("frequency_jump")
        return StepResult(step="recentre", title="", verdict=Verdict.PASS, values=(value,))

    def jumps(self, change_hz=800.0, sure_until=20, *, may_be_motion=True):
        tracker = self.follower._tracker
        segment = self.scan.segments[int(self.scan.segment_of_readout[min(30, len(self.scan.readouts) - 1)])]
        tracker._n_seen = 40
        tracker.jump = FrequencyJump(
            change_hz=change_hz,
            time_s=segment.start_s,
            limit_hz=500.0,
            may_be_motion=may_be_motion,
            sure_until=sure_until,
        )

    def between(self, *, is_last=False):
        return self.follower.between(Event(), is_last)


class _Warm:
    """The watch, with a thermometer of the test's."""

    def __init__(self, watch, rig):
        self._watch, self._rig = watch, rig

    def __getattr__(self, name):
        return getattr(self._watch, name)

    @property
    def warmer_c(self):
        return self._rig.warmer_c


@pytest.fixture
def rig(scan):
    return Rig(scan)


def test_a_steady_magnet_is_left_alone(rig):
    assert rig.between() is None
    assert rig.between(is_last=True) is None
    assert (rig.said, rig.asked) == ([], [])


def test_after_a_jump_the_scan_goes_on_from_where_lines_are_sure(rig):
    rig.outcomes = [LARMOR_HZ + 790.0]
    rig.jumps()
    assert rig.between() == Resume(lo_hz=LARMOR_HZ + 790.0, first_readout=20)
    assert "20 lines that may have been measured at the wrong one are measured again" in rig.said[-1]
    rig.follower.resumed(20, LARMOR_HZ + 790.0)
    assert rig.between() is None
    rig.outcomes = [LARMOR_HZ + 1500.0]
    rig.jumps(change_hz=710.0, sure_until=30)
    assert rig.between(is_last=True) == Resume(lo_hz=LARMOR_HZ + 1500.0, first_readout=30)
    assert rig.asked == [LARMOR_HZ, LARMOR_HZ + 790.0], "each begins at the frequency in use"


def test_lines_of_long_ago_are_not_measured_again(rig, scan):
    long = replace(scan, segments=tuple(replace(one, start_s=100.0 * one.index) for one in scan.segments), facts=scan.facts)
    rig = Rig(long)
    rig.outcomes = [LARMOR_HZ + 790.0]
    rig.jumps(sure_until=0)
    resume = rig.between()
    at = long.segment_of_readout[30]
    assert resume.first_readout == int(np.flatnonzero(long.segment_of_readout == at)[0])


def test_the_temperature_alone_pauses_and_nothing_is_measured_twice(rig, scan):
    rig.outcomes = [LARMOR_HZ - 600.0]
    rig.supervisor.fault("frequency_jump", detail="The magnet's temperature says -600 Hz.")
    assert rig.between() == Resume(lo_hz=LARMOR_HZ - 600.0, first_readout=len(scan.readouts))
    assert rig.between() is None
    rig.supervisor.fault("frequency_jump", detail="Again.")
    assert rig.between(is_last=True) is None, "behind the last line it does no harm any more"


def test_a_steady_temperature_says_that_the_patient_moved_and_the_scan_goes_on(rig):
    rig.warmer_c = 0.01
    rig.jumps()
    assert rig.between() is None
    assert rig.asked == []
    assert "The patient has probably moved" in rig.said[-1]
    assert "Look after the patient" in rig.said[-1]
    assert [event for event, _ in rig.notes] == ["motion"]
    assert rig.between() is None, "told once"


def test_a_frequency_that_has_not_changed_says_the_same(rig, scan):
    rig.outcomes = [LARMOR_HZ + 12.0]
    rig.jumps()
    assert rig.between() == Resume(lo_hz=LARMOR_HZ + 12.0, first_readout=len(scan.readouts))
    assert "The patient has probably moved" in rig.said[-1]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(None, "Only noise"), (StorageError("The disk is full.", "Free space."), "The disk is full")],
)
def test_what_cannot_be_measured_ends_the_scan_and_blocks_the_next(rig, outcome, said):
    rig.outcomes = [outcome]
    rig.jumps()
    with pytest.raises(ScanEnded, match=f"could not be measured again.*what was measured is kept.*{said}") as caught:
        rig.between()
    assert caught.value.remedy in ("Look at the coil.", "Free space.")
    assert [fault.name for fault in rig.supervisor.faults] == ["frequency_jump"]


@pytest.mark.parametrize("error", [ScanAborted("Stopped.", "Start."), DeviceTimeout("Silent.", "Look.")])
def test_a_stop_and_a_broken_console_stay_what_they_are(rig, error):
    rig.outcomes = [error]
    rig.jumps()
    with pytest.raises(type(error)):
        rig.between()


def test_the_third_time_ends_the_scan(rig):
    rig.outcomes = [LARMOR_HZ + 800.0, LARMOR_HZ + 1600.0, LARMOR_HZ + 2400.0]
    for _ in range(2):
        rig.jumps()
        assert rig.between() is not None
    rig.jumps()
    with pytest.raises(ScanEnded, match=r"3 times in this scan \(\+800 Hz.*kept") as caught:
        rig.between()
    assert "steady" in caught.value.remedy
    assert len(rig.asked) == 3
    assert not rig.supervisor.faults, "it was measured, so the next scan may begin"


def test_a_restless_patient_ends_no_scan_and_pauses_it_only_so_often(rig, scan):
    for number in range(7):
        rig.outcomes = [LARMOR_HZ + 5.0]
        rig.jumps(change_hz=(-1) ** number * 700.0)
        assert (rig.between() is None) == (number >= 4)
        assert "The patient has probably moved" in rig.said[-1]
    assert len(rig.asked) == 4
    rig.jumps(may_be_motion=False)
    rig.outcomes = [LARMOR_HZ + 800.0]
    assert rig.between() is not None, "what cannot be motion is measured"


# --- looks while nothing seems wrong ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def echo():
    """A gradient echo of five minutes, whose lines cannot be compared."""
    seq = build("gre_3d", {**BOX, "tr_s": 0.45, "dummy_shots": 0}, SCANNER).seq
    scan = compile_scan(read_pulseq(seq), SCANNER, nominal_calibration(SCANNER), place(Orientation.AXIAL))
    factor = 301.0 / scan.facts.duration_s
    segments = tuple(
        replace(one, start_s=one.start_s * factor, end_tick=round(one.end_tick * factor)) for one in scan.segments
    )
    return replace(scan, segments=segments, facts=replace(scan.facts, duration_s=301.0))


@pytest.fixture
def long(echo):
    return Rig(echo, drift=replace(STEADY, rate_hz_per_s=10.0))


def play_until(rig, time_s):
    """All lines before this time are measured."""
    scan = rig.scan
    index = next(number for number, one in enumerate(scan.segments) if one.start_s >= time_s)
    rig.follower.playing(index - 1)
    rig.follower._tracker._n_seen = int(np.searchsorted(scan.segment_of_readout, index))
    return scan.segments[index].start_s, rig.follower._tracker._n_seen


def test_a_long_scan_is_looked_at_told_calmly_and_goes_on_at_what_was_found(long, echo):
    play_until(long, 50.0)
    assert long.between() is None
    at_s, n_seen = play_until(long, 61.0)
    long.outcomes = [LARMOR_HZ + 9.0]
    assert long.between() == Resume(lo_hz=LARMOR_HZ + 9.0, first_readout=len(echo.readouts))
    assert long.said == [f"The frequency was looked at after {at_s:.0f} s of the scan: +9 Hz."]
    assert long.healths == [Health.GOOD]
    assert not long.supervisor.faults
    (_, look), (name, measured) = long.notes
    assert look == {"reason": f"it was last verified {at_s:.0f} s ago", "at_s": at_s}
    assert (name, measured["change_hz"], measured["readout"]) == ("frequency measured", 9.0, n_seen)
    assert long.between() is None
    play_until(long, 150.0)
    long.outcomes = [LARMOR_HZ + 12.0]
    assert long.between().lo_hz == LARMOR_HZ + 12.0
    assert long.notes[-1][1]["change_hz"] == pytest.approx(3.0)


def test_behind_the_last_line_of_such_a_scan_it_is_measured_once_more(long, echo):
    play_until(long, 61.0)
    long.outcomes = [LARMOR_HZ + 9.0, LARMOR_HZ + 14.0]
    assert long.between() is not None
    long.follower.playing(len(echo.segments) - 1)
    long.follower._tracker._n_seen = len(echo.readouts)
    assert long.between(is_last=True) == Resume(lo_hz=LARMOR_HZ + 14.0, first_readout=len(echo.readouts))
    assert long.between(is_last=True) is None
    assert "after the last line of the scan: +5 Hz" in long.said[-1]


def test_a_person_who_stops_behind_the_last_line_does_not_wait_for_that(long, echo):
    play_until(long, 61.0)
    long.outcomes = [LARMOR_HZ]
    assert long.between() is not None
    long.follower.playing(len(echo.segments) - 1)
    pressed = Event()
    pressed.set()
    assert long.follower.between(pressed, True) is None


@pytest.mark.parametrize("outcome", [None, StorageError("Only noise.", "Look at the coil.")])
def test_a_look_that_fails_ends_no_scan_and_nobody_takes_it_for_good(long, echo, outcome):
    play_until(long, 61.0)
    long.outcomes = [LARMOR_HZ + 9.0]
    first_s = long.follower._now_s
    assert long.between() is not None
    at_s, _ = play_until(long, 130.0)
    long.outcomes = [outcome]
    assert long.between() == Resume(lo_hz=LARMOR_HZ + 9.0, first_readout=len(echo.readouts)), "spins have rested"
    assert long.healths[-1] is Health.WARNING
    assert f"could not be looked at after {at_s:.0f} s of the scan, which goes on" in long.said[-1]
    assert f"last verified {first_s:.0f} s after the start. Only noise. Look at the coil." in long.said[-1]
    assert long.remarks[
        -1
    ] == f"The frequency was last verified {first_s:.0f} s after the start of the scan; it could not " + (
        f"be after {at_s:.0f} s."
    )
    assert long.between() is None
    play_until(long, 200.0)
    long.outcomes = [LARMOR_HZ + 20.0]
    assert long.between() is not None
    assert long.remarks[-1] == "", "what was found since is in the journal"


def test_before_the_first_look_it_was_verified_before_the_start(long):
    long.outcomes = [None]
    play_until(long, 61.0)
    long.between()
    assert "last verified before the start of the scan" in long.remarks[-1]


def test_a_look_that_is_too_vague_verifies_nothing(long):
    long.sd_hz, long.outcomes = 400.0, [LARMOR_HZ + 9.0]
    play_until(long, 61.0)
    assert long.between().lo_hz == LARMOR_HZ
    assert "could not be looked at" in long.said[-1]


def test_a_look_that_fails_ends_the_scan_when_the_temperature_speaks_against_it(long):
    long.warmer_c, long.outcomes = 300.0 / SCANNER.magnet.drift_hz_per_c, [None]
    play_until(long, 61.0)
    with pytest.raises(ScanEnded, match=r"temperature says \+300 Hz.*could not be measured again.*kept"):
        long.between()


@pytest.mark.parametrize("error", [ScanAborted("Stopped.", "Start."), DeviceTimeout("Silent.", "Look.")])
def test_a_stop_and_a_broken_console_during_a_look_stay_what_they_are(long, error):
    long.outcomes = [error]
    play_until(long, 61.0)
    with pytest.raises(type(error)):
        long.between()


def test_a_look_that_finds_a_jump_measures_the_last_minute_again(long, echo):
    at_s, n_seen = play_until(long, 110.0)
    long.outcomes = [LARMOR_HZ + 640.0]
    resume = long.between()
    starts_s = np.array([one.start_s for one in echo.segments])[echo.segment_of_readout]
    assert resume.lo_hz == LARMOR_HZ + 640.0
    assert starts_s[resume.first_readout] >= at_s - 60.0 > starts_s[resume.first_readout - 1]
    assert f"{n_seen - resume.first_readout} lines that may have been measured at the wrong one" in long.said[-1]
    assert long.healths[-1] is Health.WARNING
    assert long.follower.looks.verified_s == starts_s[resume.first_readout], "a minute from there the next is due"


def test_a_magnet_that_is_elsewhere_at_every_look_ends_the_scan(long):
    for number in range(1, 4):
        long.follower.looks.verified_s = long.follower.looks._tried_s = 0.0
        long.outcomes = [LARMOR_HZ + 700.0 * number]
        play_until(long, 70.0 * number)
        if number < 3:
            assert long.between() is not None
        else:
            with pytest.raises(ScanEnded, match=r"3 times in this scan \(\+700 Hz within"):
                long.between()


def test_a_temperature_that_moves_brings_the_look_forward(echo):
    rig = Rig(echo, drift=replace(STEADY, rate_hz_per_s=0.01))
    play_until(rig, 70.0)
    assert rig.between() is None, "steady for all that history tells"
    rig.warmer_c, rig.outcomes = 200.0 / SCANNER.magnet.drift_hz_per_c, [LARMOR_HZ + 190.0]
    assert rig.between().lo_hz == LARMOR_HZ + 190.0
    assert "temperature says +200 Hz" in rig.notes[0][1]["reason"]
