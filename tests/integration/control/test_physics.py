# SPDX-License-Identifier: MIT
"""The boxes act on what the spins feel, in one short scan each."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.integration.control.conftest import Scene, serve_scene, wait_for

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.domain.device import DeviceRole
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scenario import DeviceEvent, DeviceEventKind, DeviceFaults
from isocenter.storage.stored import read_raw


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with serve_scene(tmp_path_factory.mktemp("physics"), time_scale=0.0) as scene:
        yield scene


def _signal(scene: Scene) -> np.ndarray:
    """Samples of one free induction decay after a pulse of 90 degrees."""
    session = scene.session
    protocol = Protocol(name="FID", sequence="fid", parameters={})
    prepared = prepare(protocol, session.scanner, session.calibration, PatientPosition.HFS)
    exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    scene.server.pass_time(20.0)  # in equilibrium again
    path, _ = session.measure(prepared, exam, scene.out, cancel=threading.Event())
    return np.asarray(read_raw(path).samples)


def _size(samples: np.ndarray) -> float:
    return float(np.linalg.norm(samples))


def test_attenuator_coil_and_cable_change_what_is_heard(bench: Scene) -> None:
    usual = _size(_signal(bench))
    again = _size(_signal(bench))
    assert again == pytest.approx(usual, rel=0.01)
    at_db = bench.plant.state.attenuator_db
    bench.plant.change("test", attenuator_db=at_db + 6.0)
    assert _size(_signal(bench)) == pytest.approx(usual * 10 ** (6 / 20), rel=0.02)
    bench.plant.change("test", attenuator_db=at_db)
    share = bench.boxes.coil.power_share(
        bench.session.scanner.magnet.larmor_hz, replace(bench.plant.state, coil_load_share=0.015)
    )
    assert 0.3 < share < 0.97, "far enough out of tune to be seen, not far enough to be cut"
    bench.boxes.device(DeviceRole.SAR_MONITOR)._reflected_limit = 1.1
    bench.plant.change("test", coil_load_share=0.015)
    # less arrives at the spins and less comes back: sin(90 deg * sqrt(share)) * sqrt(share)
    expected = np.sin(np.pi / 2 * np.sqrt(share)) * np.sqrt(share)
    assert _size(_signal(bench)) / usual == pytest.approx(expected, rel=0.06)
    bench.plant.change("test", coil_load_share=0.0, coil_plugged=False)
    assert _size(_signal(bench)) < 0.02 * usual
    bench.plant.change("test", coil_plugged=True)
    assert _size(_signal(bench)) == pytest.approx(usual, rel=0.01)


def test_without_amplifier_nothing_is_heard(bench: Scene) -> None:
    usual = _size(_signal(bench))
    armed = bench.session.supervisor.segment

    def off(duration_s: float):
        bench.plant.change("somebody", rf_amplifier_on=False)  # by hand: the bridge cannot tell
        return armed(duration_s)

    bench.session.supervisor.segment = off
    try:
        assert _size(_signal(bench)) < 0.02 * usual
    finally:
        bench.session.supervisor.segment = armed


def test_a_scenario_tells_what_happens_and_when(tmp_path) -> None:
    events = (
        DeviceEvent(kind=DeviceEventKind.DOOR_OPEN, start_s=0.8, lasts_s=0.5),
        DeviceEvent(kind=DeviceEventKind.LINE_CUT, start_s=2.5, lasts_s=0.5, role="sar_monitor"),
    )
    with serve_scene(tmp_path, devices=DeviceFaults(events=events)) as scene:
        since_s = time.monotonic()
        scene.start(1)
        wait_for(scene.is_safe)
        assert scene.session.supervisor.cause.name == "door_open"
        opened_s = scene.plant.first(lambda state: state.door_open, since_s)
        closed_s = scene.plant.wait_for(lambda state: not state.door_open, 5.0, opened_s + 1e-6)
        assert closed_s - opened_s == pytest.approx(0.5, abs=0.2)
        scene.end()
        wait_for(lambda: any(fault.role is DeviceRole.SAR_MONITOR for fault in scene.session.supervisor.faults))
        wait_for(lambda: not any(fault.role is DeviceRole.SAR_MONITOR for fault in scene.session.supervisor.faults))
