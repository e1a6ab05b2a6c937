# SPDX-License-Identifier: MIT
"""The driver and the virtual console at two ends of a real socket, when things go wrong."""

import threading
import time
from threading import Event

import pytest
from marcos_tables import gradients, segment

from isocenter.devices.marcos import Deadlines, MarcosConsole
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ProtocolError, ScanAborted
from isocenter.domain.scanner import ConsoleLink
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer

SHORT = Deadlines(connect_s=2.0, call_s=1.0, gradient_s=1.0, simulated_run_margin_s=1.0)


@pytest.fixture
def server():
    running = VirtualConsoleServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def console(server):
    host, port = server.address
    link = ConsoleLink(family="marcos", host=host, port=port, clock_hz=122.88e6, segment_gap_s=0.01)
    made = MarcosConsole(link, gradients(), deadlines=SHORT)
    made.open()
    yield made
    made.close()


def play(console):
    return console.play(console.prepare(segment({}, ((3000, 100, 50),)), 2e6), Event())


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Faults(drops_link=True), ConnectError, "closed the connection"),
        (Faults(cuts_reply=True), ConnectError, "in the middle of a reply"),
        (Faults(garbage=b"\xc1 no reply"), ProtocolError, "not that of a MaRCoS server"),
        (Faults(error="RX FIFO/s full during sequence around byte address 0x10"), DeviceFault, "samples were lost"),
        (Faults(n_missing_samples=3), DeviceFault, "delivered 47 samples for segment 0, which has 50"),
    ],
)
def test_fault_is_told_and_the_next_run_is_clean(server, console, fault, error, message):
    server.faults = fault
    with pytest.raises(error, match=message) as caught:
        play(console)
    assert "could not be brought to zero" not in caught.value.problem
    if error is DeviceFault:
        assert len(caught.value.partial) in {47, 50}
    run = play(console)
    assert len(run.samples) == 50
    assert run.messages == ()


def test_reply_that_never_comes_ends_in_time_and_the_console_recovers(server, console):
    server.faults = Faults(gives_no_reply=True)
    began = time.monotonic()
    with pytest.raises(DeviceTimeout, match="did not answer in time"):
        play(console)
    assert time.monotonic() - began < 6
    assert len(play(console).samples) == 50


def test_late_reply_within_the_deadline_is_taken(server, console):
    server.faults = Faults(delay_s=0.4)
    assert len(play(console).samples) == 50


def test_stop_in_a_real_time_run_takes_effect_when_the_segment_ends():
    server = VirtualConsoleServer(time_scale=1.0)
    server.start()
    host, port = server.address
    link = ConsoleLink(family="marcos", host=host, port=port, clock_hz=122.88e6, segment_gap_s=0.01)
    console = MarcosConsole(link, gradients(), deadlines=SHORT)
    try:
        console.open()
        prepared = console.prepare(segment({}, ((3000, 4000, 15_000),)), 2e6)  # 0.49 s
        cancel = Event()
        presser = threading.Timer(0.1, cancel.set)
        presser.start()
        began = time.monotonic()
        with pytest.raises(ScanAborted, match="every output is at zero") as caught:
            console.play(prepared, cancel)
        assert prepared.duration_s - 0.05 < time.monotonic() - began < prepared.duration_s + 1.0
        assert len(caught.value.partial) == 15_000
        presser.join()
    finally:
        console.close()
        server.stop()


def test_console_that_went_away_and_came_back(server, console):
    host, port = server.address
    server.stop()
    assert not console.make_safe().verified
    with pytest.raises(ConnectError, match="No console answers"):
        play(console)
    again = VirtualConsoleServer(host, port)
    again.start()
    try:
        assert len(play(console).samples) == 50
    finally:
        console.close()
        again.stop()
