# SPDX-License-Identifier: MIT
"""The fault matrix row by row: injected during a real scan over the wire, judged at the virtual boxes.

One scanner for all rows: after each the cause is mended, a person makes it ready, and the next row scans with it.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.integration.control.conftest import Scene, is_off, serve_scene, wait_for

from isocenter.acquisition.control.faults import MATRIX
from isocenter.app.computer_watch import free_bytes
from isocenter.domain.control import FaultAction, ScannerState
from isocenter.domain.device import DeviceRole
from isocenter.domain.errors import ConsoleError, SamplesLost, WrongState
from isocenter.domain.scan import EndReason
from isocenter.domain.scenario import DeviceFaults, MagnetFaults, ReceiverFaults
from isocenter.storage.stored import open_scan, read_raw
from isocenter.virtual.console.faults import Faults

R = DeviceRole


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Scene]:
    with serve_scene(tmp_path_factory.mktemp("matrix")) as made:
        yield made


@pytest.fixture
def scene(bench: Scene) -> Iterator[Scene]:
    bench.messages.clear()
    yield bench
    bench.server.faults = None
    for role in (R.INTERLOCK, R.RF_AMPLIFIER, R.SAR_MONITOR):
        bench.boxes.line(role).heal()
    healthy = {"emergency_stop": False, "door_open": False, "gradient_amplifier_fault": False, "rf_amplifier_fault": False}
    healthy |= {"gradient_amplifier_hot": False, "on_battery": False, "battery_share": 1.0, "coil_load_share": 0.0}
    bench.plant.change("person", **healthy)
    bench.boxes.device(R.SAR_MONITOR).press_reset()
    if bench.is_safe():
        _make_ready(bench)
    wait_for(lambda: bench.session.supervisor.state is ScannerState.READY)
    wait_for(lambda: _sensed(bench, "battery_share") in (None, 1.0))


def _sensed(scene: Scene, name: str) -> float | None:
    status = next((status for status in scene.session.supervisor.devices if status.role is R.SENSORS), None)
    return status.reading.values[name] if status is not None and status.reading is not None else None


def _make_ready(scene: Scene) -> None:
    """A person tries until every line is there again."""
    deadline_s = time.monotonic() + 15
    while scene.is_safe():
        try:
            scene.session.make_ready("tester")
        except ConsoleError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def _assert_tripped(scene: Scene, event_s: float, name: str, within_s: float = 1.0) -> None:
    """Off in time and for good, latched, named, with its sentence, and what was measured is kept."""
    assert scene.off_after_s(event_s) <= within_s
    end = scene.end()
    wait_for(scene.is_safe)
    supervisor = scene.session.supervisor
    assert name in {fault.name for fault in (supervisor.cause, *supervisor.faults) if fault is not None}
    assert supervisor.cause is not None
    assert supervisor.cause.problem in supervisor.why_stopped()
    assert scene.session.control.status.why_no_start
    with pytest.raises(WrongState, match="Make ready"):
        scene.measure()
    if not isinstance(end, ConsoleError):
        assert end[1].reason is EndReason.ABORTED
        assert MATRIX[supervisor.cause.name].remedy.split("{")[0][:20] in end[1].note
    kept = open_scan(scene.folder())
    assert kept.record.end is not None
    assert len(read_raw(scene.folder()).samples) > 0


PLANT_ROWS = {
    "emergency_stop": {"emergency_stop": True},
    "door_open": {"door_open": True},
    "gradient_fault": {"gradient_amplifier_fault": True},
    "gradient_hot": {"gradient_amplifier_hot": True},
    "rf_fault": {"rf_amplifier_fault": True},
}


@pytest.mark.parametrize("name", PLANT_ROWS)
def test_what_a_box_reports_trips_and_is_named(scene: Scene, name: str) -> None:
    scene.start(2)
    event_s = time.monotonic()
    scene.plant.change("world", **PLANT_ROWS[name])
    _assert_tripped(scene, event_s, name)


def test_make_ready_is_refused_while_the_button_is_pressed_and_nothing_arms_itself(scene: Scene) -> None:
    scene.start(2)
    scene.plant.change("person", emergency_stop=True)
    scene.end()
    wait_for(scene.is_safe)
    with pytest.raises(ConsoleError, match=r"(?i)button"):
        scene.session.make_ready("tester")
    scene.plant.change("person", emergency_stop=False)
    assert scene.is_safe()
    with pytest.raises(WrongState, match="your name"):
        scene.session.make_ready("  ")
    _make_ready(scene)
    assert scene.measure()[1].reason is EndReason.COMPLETED


@pytest.mark.parametrize(("limit", "name"), [("l10s", "sar_10s"), ("l6m", "sar_6min"), ("tran", "sar_peak")])
def test_the_rf_monitor_cuts_and_says_which_limit(scene: Scene, limit: str, name: str) -> None:
    scene.start(2)
    event_s = time.monotonic()
    scene.boxes.device(R.SAR_MONITOR)._limits[limit] = 0
    assert scene.plant.wait_for(lambda state: not state.can_transmit, 2.0, event_s) - event_s <= 1.0
    _assert_tripped(scene, event_s, name, within_s=1.2)  # the monitor itself cuts RF only; the supervisor has to hear of it


def test_a_detuned_coil_reflects_and_is_cut(scene: Scene) -> None:
    scene.start(2)
    event_s = time.monotonic()
    scene.plant.change("patient", coil_load_share=0.05)  # felt, and seen by the monitor, from the next segment on
    _assert_tripped(scene, event_s, "reflected", within_s=2.0)
    cut_s = scene.plant.first(lambda state: state.reflected_share > 0.2, event_s)
    assert scene.plant.first(lambda state: not state.can_transmit, event_s) - cut_s < 0.2


@pytest.mark.parametrize("role", [R.INTERLOCK, R.RF_AMPLIFIER, R.SAR_MONITOR])
@pytest.mark.parametrize("what", ["cut", "stall", "garbled", "dead"])
def test_each_line_cut_stalled_garbled_or_dead_stops_the_scan(scene: Scene, role: DeviceRole, what: str) -> None:
    scene.start(2)
    line, event_s = scene.boxes.line(role), time.monotonic()
    if what == "garbled":
        line.fail(garbled=1)
    elif what == "dead":
        line.fail(deaf=True, mute=True)
    else:
        getattr(line, what)()
    _assert_tripped(scene, event_s, "device_lost")
    report = scene.session.supervisor.stop_report
    assert not report.is_verified, "what cannot be asked is not called off"


def test_a_window_that_hangs_stops_the_scan(scene: Scene) -> None:
    scene.session.control.feed()
    try:
        scene.start(1)
        for _ in range(3):  # alive for a while
            scene.session.control.feed()
            time.sleep(0.05)
        event_s = time.monotonic()
        _assert_tripped(scene, event_s, "window_stalled")
    finally:
        scene.session.control.window_closed()


CONSOLE_ROWS = {
    "link dropped": Faults(drops_link=True),
    "reply cut": Faults(cuts_reply=True),
    "garbage": Faults(garbage=b"\xc1 no reply"),
    "gradient error": Faults(error="ocra1 gradient error; possibly missing samples"),
}


@pytest.mark.parametrize("row", CONSOLE_ROWS)
def test_a_console_that_fails_is_cut_at_once(scene: Scene, row: str) -> None:
    fault = CONSOLE_ROWS[row]
    scene.start(2)
    at_run = scene.server.n_runs + 1
    scene.server.faults = Faults(**{name: getattr(fault, name) for name in fault.__slots__} | {"at_run": at_run})
    wait_for(lambda: scene.server.n_runs >= at_run)
    event_s = time.monotonic()  # the fault comes when this segment ends
    _assert_tripped(scene, event_s, "console_lost", within_s=1.5)


def test_a_console_that_stalls_is_cut_when_the_segment_is_overdue(scene: Scene) -> None:
    scene.start(2)
    at_run = scene.server.n_runs + 1
    scene.server.faults = Faults(at_run=at_run, delay_s=3.0)
    wait_for(lambda: scene.server.n_runs >= at_run)
    event_s = time.monotonic()
    _assert_tripped(scene, event_s, "console_stalled", within_s=1.0)


_FULL = "RX FIFO/s full during sequence around byte address 0x10"


@pytest.mark.parametrize("fault", [Faults(error=_FULL), Faults(n_missing_samples=7)], ids=["said", "counted"])
def test_lost_samples_are_told_and_measured_again_and_latch_nothing(scene: Scene, fault: Faults) -> None:
    scene.start(2)
    scene.server.faults = replace(fault, at_run=scene.server.n_runs + 1)
    path, result = scene.end()
    assert result.reason is EndReason.COMPLETED
    assert any("were lost; they are measured again" in message for message in scene.messages)
    assert [(fault.name, fault.action) for fault in scene.session.supervisor.faults] == [("lines_lost", FaultAction.WARN)]
    assert not scene.is_safe()
    again = [event for event in open_scan(path).journal() if event.get("again")]
    assert len(again) == 1
    samples = read_raw(path).samples
    assert len(samples) == result.n_expected
    assert (abs(samples).max(axis=(1, 2)) > 0).all(), "no line is empty"


def test_samples_that_are_lost_again_end_the_scan_and_name_the_lines(scene: Scene) -> None:
    scene.start(2)
    scene.server.faults = Faults(at_run=1, is_lasting=True, error=_FULL)
    error = scene.end()
    assert isinstance(error, SamplesLost)
    assert "In doubt are lines" in error.problem
    assert not scene.is_safe()
    scene.server.faults = None
    assert scene.measure()[1].reason is EndReason.COMPLETED


def test_a_full_disk_ends_after_the_segment_and_the_next_scan_is_refused_until_there_is_room(scene: Scene) -> None:
    scene.start(1)
    scene.session.watch.free = lambda _folder: 1.5e9
    try:
        _path, result = scene.end()
        assert result.reason is EndReason.ABORTED
        assert "2 GB" in result.note
        assert 0 < result.n_readouts < result.n_expected
        assert not scene.is_safe()
        with pytest.raises(WrongState, match=r"1\.5 GB"):
            scene.measure()
    finally:
        scene.session.watch.free = free_bytes
    assert scene.measure()[1].reason is EndReason.COMPLETED


def test_a_low_battery_ends_the_scan_and_the_mains_alone_only_warns(scene: Scene) -> None:
    scene.start(1)
    scene.plant.change("world", on_battery=True)
    assert scene.end()[1].reason is EndReason.COMPLETED
    assert ("on_battery", FaultAction.WARN) in {(f.name, f.action) for f in scene.session.supervisor.faults}
    scene.start(1)
    scene.plant.change("world", battery_share=0.1)
    _path, result = scene.end()
    assert result.reason is EndReason.ABORTED
    assert "battery" in result.note


def test_a_magnet_that_cannot_be_centred_upon_ends_the_scan_until_its_frequency_is_measured(tmp_path) -> None:
    warming = MagnetFaults(drift_c_per_s=0.8)
    with serve_scene(tmp_path, magnet=warming) as scene:
        scene.session.connect()
        wait_for(lambda: _sensed(scene, "temperature_magnet_c") is not None)
        scene.session.set_frequency(scene.session.calibration.larmor_hz)
        scene.start(1)
        path, result = scene.end()
        assert result.reason is EndReason.ABORTED
        assert 0 < result.n_readouts < result.n_expected
        assert "could not be measured again" in result.note
        assert len(read_raw(path).samples) == result.n_readouts
        assert not scene.is_safe()
        assert is_off(scene.plant.state)
        assert scene.session.needs_frequency()
        with pytest.raises(WrongState, match="500 Hz"):
            scene.measure()
        scene.session.set_frequency(scene.session.calibration.larmor_hz)
        assert not scene.session.needs_frequency()


def _jumping(scene: Scene) -> None:
    """Sensors answer, and the frequency was measured before the jump."""
    scene.session.connect()
    wait_for(lambda: _sensed(scene, "temperature_magnet_c") is not None)
    scene.session.set_frequency(scene.session.calibration.larmor_hz)


def test_a_frequency_that_jumps_pauses_the_scan_which_goes_on_at_the_new_one(tmp_path) -> None:
    """Found by the temperature: a gradient echo has nothing by which its lines could tell."""
    with serve_scene(tmp_path, magnet=MagnetFaults(jump_c=-0.4, jump_s=1.0)) as scene:
        _jumping(scene)
        before_hz = scene.session.calibration.larmor_hz
        scene.start(1)
        path, result = scene.end()
        assert result.reason is EndReason.COMPLETED
        assert result.n_readouts == result.n_expected
        assert any("The scan waits while it is measured again" in message for message in scene.messages)
        assert any("The scan goes on with it" in message for message in scene.messages)
        jump_hz = -0.4 * scene.session.scanner.magnet.drift_hz_per_c
        assert scene.session.calibration.larmor_hz - before_hz == pytest.approx(jump_hz, abs=20.0)
        played_hz = [event["lo_hz"] for event in open_scan(path).journal() if event["event"] == "segment"]
        assert played_hz[0] == before_hz
        assert played_hz[-1] == scene.session.calibration.larmor_hz
        assert not scene.session.has_fault("frequency_jump")
        assert is_off(scene.plant.state)
        assert scene.measure()[1].reason is EndReason.COMPLETED


@pytest.mark.parametrize("when", ["preparing", "playing"])
def test_stop_in_the_pause_stops_at_once(tmp_path, when: str) -> None:
    with serve_scene(tmp_path, magnet=MagnetFaults(jump_c=-0.4, jump_s=1.0)) as scene:
        _jumping(scene)
        preparing, prepare_aside = threading.Event(), scene.session.prepare_aside
        go_on = threading.Event()

        def prepare(*arguments):
            prepared = prepare_aside(*arguments)
            preparing.set()
            assert when == "playing" or go_on.wait(10.0)
            return prepared

        scene.session.prepare_aside = prepare
        scene.start(1)
        assert preparing.wait(20.0)
        assert scene.session.supervisor.state in (ScannerState.ARMED, ScannerState.SCANNING)
        if when == "playing":
            wait_for(lambda: scene.plant.state.rf_playing)
        event_s = time.monotonic()
        scene.session.stop()
        assert scene.off_after_s(event_s) <= 1.0
        go_on.set()
        _path, result = scene.end(5.0)
        assert time.monotonic() - event_s < 2.0
        assert result.reason is EndReason.ABORTED
        assert "operator" in result.note
        assert scene.is_safe()


def test_a_clipped_receiver_is_told_and_the_scan_goes_on(tmp_path) -> None:
    with serve_scene(tmp_path, receiver=ReceiverFaults(adc_bits=14)) as scene:
        scene.start(1)
        scene.plant.change("somebody", attenuator_db=scene.plant.state.attenuator_db + 40)
        assert scene.end()[1].reason is EndReason.COMPLETED
        told = {fault.name: fault for fault in scene.session.supervisor.faults}
        assert told["receiver_clipped"].action is FaultAction.WARN
        assert "samples at full scale" in told["receiver_clipped"].detail


def test_a_gradient_board_that_does_not_give_zero_blocks_clinical_scans(tmp_path) -> None:
    with serve_scene(tmp_path, devices=DeviceFaults(board_offset=(0.0, 0.031, 0.0))) as scene:
        with pytest.raises(WrongState, match=r"At zero the board gives y \+3\.1 % of full scale"):
            scene.measure()
        assert scene.session.supervisor.state is ScannerState.READY, "a prescan may run, and mend it"
        scene.server.machine.cores.set_board((1.0, 1.0, 1.0), (0.0, 0.01, 0.0))
        scene.session.request_safe()
        assert scene.session.wait_until_safe(10.0)
        assert not scene.session.supervisor.faults


@pytest.mark.parametrize("reads", [-2.0, 2.096])
def test_a_gradient_board_without_power_is_not_called_uncalibrated(tmp_path, reads) -> None:
    with serve_scene(tmp_path) as scene:
        scene.session.connect()
        scene.server.machine.cores.set_board((0.0,) * 3, (reads,) * 3)
        scene.session.request_safe()
        assert scene.session.wait_until_safe(10.0)
        assert [fault.name for fault in scene.session.supervisor.faults] == ["gradient_silent"]
        with pytest.raises(WrongState, match=r"The gradient board does not answer .* reads x [+-]20\d\.\d %") as caught:
            scene.measure()
        assert "power and its cable" in caught.value.remedy
        scene.server.machine.cores.set_board((1.0,) * 3, (0.031, 0.0, 0.0))
        scene.session.request_safe()
        assert scene.session.wait_until_safe(10.0)
        assert [fault.name for fault in scene.session.supervisor.faults] == ["gradient_uncalibrated"]
        scene.server.machine.cores.set_board((0.0,) * 3, (reads,) * 3)
        scene.session.request_safe()
        assert scene.session.wait_until_safe(10.0)
        assert [fault.name for fault in scene.session.supervisor.faults] == ["gradient_silent"]
        scene.server.machine.cores.set_board((1.0,) * 3, (0.0,) * 3)
        scene.session.request_safe()
        assert scene.session.wait_until_safe(10.0)
        assert not scene.session.supervisor.faults


def test_a_clock_that_is_set_is_told_and_nothing_else(scene: Scene) -> None:
    scene.start(1)
    scene.session.watch.wall_s = lambda: time.time() + 3600
    try:
        assert scene.end()[1].reason is EndReason.COMPLETED
        told = {fault.name: fault for fault in scene.session.supervisor.faults}
        assert "+3600 s" in told["clock_jump"].detail
    finally:
        scene.session.watch.wall_s = time.time


def test_a_console_of_another_kind_blocks_clinical_scans_and_both_are_named(scene: Scene) -> None:
    scene.session.connect()
    scene.session.identity = None
    scene.server._commands._kind = "software"
    try:
        with pytest.raises(WrongState, match=r"(?s)virtual MaRCoS.*software MaRCoS"):
            scene.measure()
        with scene.session.prescanning():
            assert scene.measure()[1].reason is EndReason.COMPLETED
        scene.session.set_frequency(scene.session.calibration.larmor_hz)
        assert scene.measure()[1].reason is EndReason.COMPLETED
    finally:
        scene.server._commands._kind = "virtual"
        scene.session.identity = None
        scene.session.connect()
        scene.session.set_frequency(scene.session.calibration.larmor_hz)


def test_a_fault_of_the_program_cuts(scene: Scene) -> None:
    scene.start(1)
    event_s = time.monotonic()

    def broken(_folder) -> float:
        raise ZeroDivisionError

    scene.session.watch.free = broken
    try:
        assert scene.off_after_s(event_s) <= 1.0
        wait_for(scene.is_safe)
        assert scene.session.supervisor.cause.name == "program_fault"
        assert isinstance(scene.end(), ZeroDivisionError)
    finally:
        scene.session.watch.free = free_bytes
