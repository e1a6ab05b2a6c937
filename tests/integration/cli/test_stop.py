# SPDX-License-Identifier: MIT
"""Ctrl-C is Stop: outputs at zero, data kept and labelled, exit code 130, whatever the command was doing."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.virtual.console import isa
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

DEADLINE_S = 240.0  # on a fresh clone the inner loops are compiled first
SIZES = [f"{name}={value}" for name, value in {"n_read": 32, "n_phase": 32, "n_slab": 16, "tr_s": "60ms"}.items()]
SCAN = ["gre_3d", *[part for size in SIZES for part in ("-p", size)]]


def _wait(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[VirtualConsoleServer]:
    """A console that plays as slowly as a real one, so that a scan lasts half a minute."""
    scanner = load_scanner("osii-one")
    model = BlochSignalModel(scanner, replace(find_scenario("ideal-block"), n_spins=2000))
    with VirtualConsoleServer(signal_model=model, time_scale=1.0, board=scanner.gradients.board) as running:
        yield running


@pytest.fixture
def start(command) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the program; what a failed test leaves behind is ended."""
    with ExitStack() as stack:

        def run(*arguments: object, **options) -> subprocess.Popen:
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
            process = stack.enter_context(subprocess.Popen([*command, *map(str, arguments)], **options))
            stack.callback(process.kill)
            return process

        yield run


def _require_zero(server: VirtualConsoleServer) -> None:
    machine = server.machine
    assert machine.state == isa.IDLE
    assert not np.any(machine.buffers[[isa.TX0_I, isa.TX0_Q, isa.TX1_I, isa.TX1_Q]]), "RF"
    assert machine.buffers[isa.GATES_LEDS] & 0xFF == 0, "gates"
    assert not np.any(machine.cores.codes), "gradients"


@pytest.mark.parametrize(("number", "frequency"), [("SIGINT", "2.0017"), ("SIGTERM", "")])
def test_stop_ends_with_zeros_and_keeps_what_was_measured(number, frequency, server, start, tmp_path: Path) -> None:
    host, port = server.address
    given = ["--frequency", frequency] if frequency else []
    process = start("scan", *SCAN, *given, "--host", host, "--port", port, "--out", tmp_path)
    _wait(lambda: server.n_runs >= (3 if frequency else 1) or process.poll() is not None)
    pressed_s = time.monotonic()
    process.send_signal(getattr(signal, number))
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert time.monotonic() - pressed_s < 10, "a segment lasts a second"
    _require_zero(server)
    assert "Traceback" not in err
    assert "Stopping" in err
    (folder,) = tmp_path.glob("001*")
    end = json.loads((folder / "scan.json").read_text())["end"]
    if not frequency:
        assert "Stopped" in err
        return
    assert end["reason"] == "aborted"
    assert f"Stopped: {end['n_readouts']} of 512 readouts were measured and are kept" in out
    images = [pydicom.dcmread(path) for path in folder.glob("images/dicom/*.dcm")]
    assert images
    assert all(f"Incomplete: {end['n_readouts']} of 512" in image.ImageComments for image in images)


def test_ctrl_c_on_a_terminal_stops_the_scan_and_its_virtual_scanner(start, tmp_path: Path) -> None:
    """A terminal sends the signal to every process at once; the virtual scanner must outlive it to be zeroed."""
    ours, theirs = pty.openpty()
    process = start(
        *["scan", "tse_3d", "--virtual", "--spins", "3000", "--frequency", "2.0017", "--out", tmp_path],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown, pressed, end_s = b"", False, time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        if select.select([ours], [], [], 1.0)[0]:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody holds the other end
                break
            shown += chunk
        if not pressed and b"% " in shown and b"#" in shown:
            os.write(ours, b"\x03")
            pressed = True
    os.close(ours)
    text = shown.decode()
    assert process.wait(timeout=60) == 130, text
    assert "Traceback" not in text
    assert "s left of the scan" in text
    assert "Stopping: the outputs are being brought to zero" in text
    assert "readouts were measured and are kept" in text
    (folder,) = tmp_path.glob("001*")
    assert json.loads((folder / "scan.json").read_text())["end"]["reason"] == "aborted"


def test_ctrl_c_while_compiling_leaves_nothing(start, tmp_path: Path) -> None:
    process = start("compile", "tse_3d", "-p", "averages=40", "--out", tmp_path / "o", start_new_session=True)
    line = process.stderr.readline()  # said after a second of work
    assert "Compiling tse_3d" in line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, ""), err
    assert "Stopped." in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_virtual_scanner_says_where_it_listens_and_ends_with_ctrl_c(start) -> None:
    process = start("virtual-scanner", "--port", 0, "--scenario", "uniform", "--spins", 100, "--json")
    address = json.loads(process.stdout.readline())
    assert address["port"] > 0
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
