# SPDX-License-Identifier: MIT
"""A magnet whose frequency jumps in the middle of a scan: the scan pauses, measures it anew, and its picture is right."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from isocenter.app.exam_service import ExamService
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.images import make_images
from isocenter.app.prepare import prepare
from isocenter.app.service import ControlChanged, ItemState, MessageRaised, QueueChanged
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.control import FaultAction
from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import EndReason, Protocol
from isocenter.domain.scenario import MagnetFaults, Motion, MotionStep
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.stored import find_scans, open_scan, read_raw
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

SCANNER = load_scanner("osii-one")
JUMP_C = -0.45
JUMP_HZ = JUMP_C * SCANNER.magnet.drift_hz_per_c
AT_S = 9.0
"""Before the centre of k-space, which is measured in the middle of the 20 s: there wrong lines do most harm."""
BOX = {"fov_read_m": 0.24, "fov_phase_m": 0.24, "fov_slab_m": 0.16, "n_read": 64, "n_phase": 32, "n_slab": 8}
SCAN = Protocol(
    name="Long", sequence="tse_3d", parameters={**BOX, "echo_train_length": 4, "tr_s": 0.3, "navigator_every": 4}
)
EXAM = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")


class Scanner:
    """A session on a virtual scanner, and what it said."""

    def __init__(self, session: ScannerSession, folder: Path) -> None:
        self.session, self.folder = session, folder
        self.messages: list[str] = []
        self.cancel = Event()

    def scan(self, protocol=SCAN, *, is_followed=True):
        prepared = prepare(protocol, self.session.scanner, self.session.calibration, PatientPosition.HFS)
        with contextlib.nullcontext() if is_followed else self.session.prescanning():
            return self.session.measure(
                prepared, EXAM, self.folder, cancel=self.cancel, on_message=lambda _, text, __: self.messages.append(text)
            )


@contextlib.contextmanager
def scanner(folder: Path, **faults) -> Iterator[Scanner]:
    scenario = replace(find_scenario("ideal"), phantom="vials", n_spins=3_000, **faults)
    with VirtualConsoleServer(
        signal_model=BlochSignalModel(SCANNER, scenario), board=SCANNER.gradients.board, time_scale=0.0
    ) as server:
        host, port = server.address
        placed = replace(SCANNER, console=replace(SCANNER.console, host=host, port=port))
        session = ScannerSession(placed, is_virtual=True, pace="none")
        session.set_frequency(SCANNER.magnet.larmor_hz)
        try:
            yield Scanner(session, folder)
        finally:
            session.close()


def events(path, name):
    return [event for event in open_scan(path).journal() if event["event"] == name]


def picture(path):
    return np.abs(np.asarray(reconstruct(read_raw(path))[0].data, dtype=np.float64))


def centre_px(image):
    """Centre of the phantom along slices, rows and columns, in pixels."""
    strong = np.where(image > 0.2 * image.max(), image, 0.0)
    return (
        np.array(
            [(strong.sum(axis=(0, 1, 2)[:a] + (0, 1, 2)[a + 1 :]) * np.arange(n)).sum() for a, n in enumerate(image.shape)]
        )
        / strong.sum()
    )


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    with scanner(tmp_path_factory.mktemp("steady")) as one:
        path, result = one.scan()
        assert result.n_readouts == result.n_expected
        assert one.messages == []
        assert events(path, "pause") == []
        assert len(events(path, "frequency")) > 5, "slow drift is in the scan's journal"
        return picture(path)


def test_the_picture_is_right_and_would_not_be_without(tmp_path, steady):
    errors_px, differences = {}, {}
    for is_followed in (True, False):
        with scanner(tmp_path / str(is_followed), magnet=MagnetFaults(jump_c=JUMP_C, jump_s=AT_S)) as one:
            path, result = one.scan(is_followed=is_followed)
            assert result.reason is EndReason.COMPLETED
            assert result.n_readouts == result.n_expected
            image = picture(path)
            errors_px[is_followed] = float(np.linalg.norm(centre_px(image) - centre_px(steady)))
            differences[is_followed] = float(np.linalg.norm(image - steady) / np.linalg.norm(steady))
            if not is_followed:
                assert one.messages == []
                continue
            (pause,) = events(path, "pause")
            assert "limit is 500 Hz" in pause["reason"]
            (measured,) = events(path, "frequency measured")
            assert measured["change_hz"] == pytest.approx(JUMP_HZ, abs=20.0)
            assert one.session.calibration.larmor_hz == pytest.approx(SCANNER.magnet.larmor_hz + JUMP_HZ, abs=20.0)
            assert [message.split(":")[0] for message in one.messages] == [
                "The magnet's frequency has changed",
                "The frequency was measured again",
            ]
            of_segments = {event["index"]: event["lo_hz"] for event in events(path, "segment")}
            assert sorted(set(of_segments.values())) == pytest.approx(
                [SCANNER.magnet.larmor_hz, one.session.calibration.larmor_hz], abs=1e-6
            )
            assert len(find_scans(tmp_path / "True" / "prescan")) == 2, "measured twice, and kept"
            assert not one.session.supervisor.faults
    assert errors_px[True] < 0.1
    assert errors_px[False] > 0.5
    assert differences[True] < 0.05
    assert differences[False] > 0.3


def test_a_jump_in_the_last_part_is_mended_behind_it(tmp_path, steady):
    with scanner(tmp_path, magnet=MagnetFaults(jump_c=JUMP_C, jump_s=15.5)) as one:
        path, result = one.scan()
        assert result.n_readouts == result.n_expected
        assert len(events(path, "pause")) == 1
        image = picture(path)
        assert np.linalg.norm(image - steady) / np.linalg.norm(steady) < 0.05


def test_a_patient_who_moved_along_the_readout_is_told_and_the_scan_goes_on(tmp_path):
    """20 mm along the readout look like a jump. Nobody knows the temperature, so it is measured."""
    step = MotionStep(start_s=AT_S, shift_lps_m=(0.02, 0.0, 0.02))
    with scanner(tmp_path, motion=Motion(steps=(step,))) as one:
        path, result = one.scan()
        assert result.reason is EndReason.COMPLETED
        assert result.n_readouts == result.n_expected
        (motion,) = events(path, "motion")
        assert "hardly changed" in motion["because"]
        assert any("The patient has probably moved" in message for message in one.messages)
        assert len(events(path, "pause")) == 1
        assert not [event for event in events(path, "segment") if event.get("again")]
        assert one.session.calibration.larmor_hz == pytest.approx(SCANNER.magnet.larmor_hz, abs=20.0)


def test_when_the_frequency_cannot_be_measured_the_scan_ends_with_its_data_and_says_why(tmp_path):
    """The coil is unplugged at the same moment, as it were: in the pause nothing but noise is heard."""
    with scanner(tmp_path, magnet=MagnetFaults(jump_c=JUMP_C, jump_s=AT_S)) as one:
        prepare_aside = one.session.prepare_aside

        def silent(protocol, used, calibration, position, situation):
            away = replace(calibration, larmor_hz=calibration.larmor_hz + 45e3)  # outside its band
            return prepare_aside(protocol, used, away, position, situation)

        one.session.prepare_aside = silent
        path, result = one.scan()
        assert result.reason is EndReason.ABORTED
        assert 0 < result.n_readouts < result.n_expected
        assert "could not be measured again" in result.note
        stored = open_scan(path)
        assert stored.record.end.note == result.note
        assert len(read_raw(path, "all").samples) > 0
        assert one.session.needs_frequency(), "nobody scans on with the old one"


def test_a_scan_that_cannot_be_prepared_in_the_pause_ends_it_too(tmp_path):
    with scanner(tmp_path, magnet=MagnetFaults(jump_c=JUMP_C, jump_s=AT_S)) as one:

        def broken(*_):
            raise StorageError("The disk is full.", "Free space.")

        one.session.prepare_aside = broken
        path, result = one.scan()
        assert result.reason is EndReason.ABORTED
        assert "The disk is full. Free space." in result.note
        assert len(read_raw(path, "all").samples) > 0


def test_a_magnet_that_goes_on_drifting_pauses_the_scan_twice_and_then_ends_it(tmp_path):
    """It warms by 60 Hz a second in a scan of 40 s."""
    long = replace(SCAN, parameters={**SCAN.parameters, "echo_train_length": 2})
    with scanner(tmp_path, magnet=MagnetFaults(drift_c_per_s=0.03)) as one:
        path, result = one.scan(long)
        assert result.reason is EndReason.ABORTED
        assert "3 times in this scan" in result.note
        assert len(events(path, "pause")) == 3
        assert len(events(path, "frequency measured")) == 3
        assert not one.session.needs_frequency(), "it was measured, so the next scan may begin"
        assert len(read_raw(path, "all").samples) == result.n_readouts


def test_a_drift_that_needs_a_pause_is_taken_out_on_both_sides_of_it(tmp_path, steady):
    """40 Hz a second: the oscillator is moved once, and the reconstruction knows from where on."""
    with scanner(tmp_path, magnet=MagnetFaults(drift_c_per_s=0.02)) as one:
        path, result = one.scan()
        assert result.reason is EndReason.COMPLETED
        assert len(events(path, "pause")) == 1
        raw = read_raw(path, "all")
        assert sorted(set(raw.lo_shift_hz)) == pytest.approx(
            [one.session.calibration.larmor_hz - SCANNER.magnet.larmor_hz, 0.0], abs=1e-3
        )
        (resumed,) = events(path, "resumed")
        assert np.flatnonzero(raw.lo_shift_hz)[0] == resumed["first_readout"]
        volumes = make_images(path).volumes
        image = np.abs(np.asarray(volumes[0].data, dtype=np.float64))
        with_step = np.linalg.norm(image - steady) / np.linalg.norm(steady)
        without = np.linalg.norm(picture(path) - steady) / np.linalg.norm(steady)
        assert with_step < 0.15
        assert without > 0.4


def test_through_the_queue_as_the_window_uses_it(tmp_path):
    """The pause is told, the value is kept with the prescan's, the next scan begins at it."""
    messages, statuses = [], []
    with scanner(tmp_path, magnet=MagnetFaults(jump_c=JUMP_C, jump_s=AT_S)) as one:
        service = ExamService(one.session, tmp_path, is_prescan_at_start=False)
        service.listen(lambda event: messages.append(event.problem) if isinstance(event, MessageRaised) else None)
        service.listen(lambda event: statuses.append(event.control) if isinstance(event, ControlChanged) else None)
        ended = Event()
        service.listen(lambda event: ended.set() if isinstance(event, QueueChanged) and _is_over(event.items) else None)
        try:
            exam = service.start_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
            service.add(SCAN)
            service.start()
            assert ended.wait(100.0)
            (item,) = service.queue
            assert (item.state, item.note) == (ItemState.DONE, "")
            assert any("The scan waits while it is measured again" in text for text in messages)
            assert len(events(item.folder, "pause")) == 1
            (value,) = [one for one in service._prescan_job.values if one.quantity is Quantity.LARMOR]
            assert value.value[0] == pytest.approx(SCANNER.magnet.larmor_hz + JUMP_HZ, abs=20.0)
            assert one.session.calibration.larmor_hz == value.value[0]
            assert any(fault.action is FaultAction.PAUSE for status in statuses for fault in status.faults)
            assert not service.control.faults
            assert find_scans(tmp_path / exam.exam_id / "prescan")
        finally:
            service.close()


def _is_over(items):
    return bool(items) and all(item.state in (ItemState.DONE, ItemState.STOPPED, ItemState.FAILED) for item in items)
