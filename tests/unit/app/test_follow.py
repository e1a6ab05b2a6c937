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
from isocenter.app.follow import FrequencyFollower
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


@dataclass
class Rig:
    """A follower whose tracker and thermometer say what a test wants."""

    scan: object
    warmer_c: float = float("nan")
    outcomes: list = field(default_factory=list)
    said: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def __post_init__(self):
        self.supervisor = Supervisor(journal=lambda *_: None)
        watch = ComputerWatch(self.supervisor, SCANNER)
        self.follower = FrequencyFollower(
            self.scan,
            replace(nominal_calibration(SCANNER), measured_at="today"),
            scanner=SCANNER,
            supervisor=self.supervisor,
            watch=_Warm(watch, self),
            sink=self,
            measure=self.measure,
            say=lambda _health, text, remedy: self.said.append(f"{text} {remedy}".strip()),
        )

    def note(self, event, **details):
        self.notes.append((event, details))

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
            quantity=Quantity.LARMOR, value=(outcome,), sd=(1.0,), measured_at_s=0.0, holds_s=900.0, holds_c=0.1
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
