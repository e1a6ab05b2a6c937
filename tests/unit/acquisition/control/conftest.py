# SPDX-License-Identifier: MIT
import importlib.util
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from isocenter.acquisition.control.device_thread import DeviceThread
from isocenter.acquisition.control.listeners import ControlListeners
from isocenter.acquisition.control.supervisor import Supervisor
from isocenter.domain.control import ScannerState
from isocenter.domain.device import DeviceRole

_SPEC = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
_SCRIPTED = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_SCRIPTED)

ROLES = (DeviceRole.INTERLOCK, DeviceRole.SAR_MONITOR, DeviceRole.GRADIENT_AMPLIFIER, DeviceRole.RF_AMPLIFIER)


def wait_for(condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


@pytest.fixture
def rig():
    """A supervisor with four devices, each on a line of its own."""
    log, journal, told = [], [], SimpleNamespace(states=[], faults=[], stops=[])
    devices = {role: _SCRIPTED.Scripted(role, log) for role in ROLES}
    listeners = ControlListeners(on_state=told.states.append, on_fault=told.faults.append, on_stop=told.stops.append)
    supervisor = Supervisor(
        required=ROLES, journal=lambda event, details: journal.append((event, details)), listeners=listeners
    )
    lines = [
        DeviceThread(
            [(device, role.value.replace("_", " "), "memory")],
            supervisor.on_status,
            supervisor.may_beat,
            poll_every_s=0.02,
        )
        for role, device in devices.items()
    ]
    rig = SimpleNamespace(
        supervisor=supervisor, devices=devices, log=log, journal=journal, told=told, lines=lines, wait_for=wait_for
    )

    def connect():
        supervisor.console_zero(True)
        supervisor.connect(lines)
        wait_for(lambda: supervisor.state is ScannerState.READY)

    rig.connect = connect
    yield rig
    supervisor.close()
