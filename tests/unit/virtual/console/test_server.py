# SPDX-License-Identifier: MIT
"""The server as a program: clients in turn, stops, faults, real time, the physics behind it."""

import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.errors import ConnectError
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.console.vclock import VirtualClock

_spec = importlib.util.spec_from_file_location("wire_client", Path(__file__).with_name("wire_client.py"))
wc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wc)

FINISH, LONG_WAIT = 0x01000000, 0x02FFFFFF  # the wait takes 136.5 ms
# reset released, rate 128, window of 1280 cycles, all off
MEASURE = (
    *(0x90000000, 0x90000040, 0x02000028, 0x83000080, 0x02000004, 0x90000050, 0x90000040),
    *(0x02000100, 0x90000140, 0x020004FC, 0x90000040, 0x02000400, FINISH),
)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads left: {left}"


class Steady:
    """A receiver that hears the same all the time, and remembers what it was shown."""

    def __init__(self, value=0.25 - 0.5j):
        self.value, self.playbacks = value, []

    def play(self, playback):
        self.playbacks.append(playback)
        return [np.full(len(window.sample_ticks), self.value, np.complex64) for window in playback.windows]

    def reset(self):
        self.playbacks.clear()


def run_seq(link, *words):
    return wc.ask(link, {"run_seq": wc.program(*words)})


def test_signal_of_the_model_arrives_scaled():
    model = Steady()
    with VirtualConsoleServer(signal_model=model) as server, wc.connect(server.address) as link:
        assert wc.ask(link, {"are_you_real": 0})[4] == {"are_you_real": "virtual"}
        reply = run_seq(link, *MEASURE)
    real, imag = (np.array(reply[4]["run_seq"][f"rx0_{part}"], np.uint32).view(np.int32) for part in "iq")
    assert reply[5] == {}
    assert len(real) == len(imag) == 10
    assert real[5:] / 2**31 == pytest.approx(0.25, abs=1e-8)
    assert imag[5:] / 2**31 == pytest.approx(-0.5, abs=1e-8)
    (playback,) = model.playbacks
    (window,) = playback.windows
    assert (window.decimation, len(window.sample_ticks)) == (128, 10)
    assert playback.end_tick > window.stop_tick


def test_playback_holds_what_the_pins_do():
    model = Steady()
    program = [
        *(0x80000312, 0x02000100, 0x8901AAAB, 0x8A00810A, 0x8A00010A, 0x85004000, 0x8600C000, 0x8F000001),
        *(0x02001000, 0x81019000, 0x82000008, 0x02001000, 0x85000000, 0x86000000, 0x8F000000, 0x02001000, FINISH),
    ]
    with VirtualConsoleServer(signal_model=model) as server, wc.connect(server.address) as link:
        run_seq(link, *program)
        run_seq(link, FINISH)
    first, second = model.playbacks
    tracks = first.tracks
    assert tracks["tx0_i"].values.tolist() == [0, 0x4000, 0]
    assert tracks["tx0_q"].values.tolist() == [0, 0x4000, 0], "the field's; the mixer makes the conjugate of 0xC000"
    assert tracks["tx_gate"].values.tolist() == [0, 1, 0]
    assert tracks["tx_gate"].ticks[1] - tracks["tx0_i"].ticks[1] == 1, "two words later, and one register less"
    assert tracks["grad_vx"].values.tolist() == [0, 0x1000]
    assert tracks["grad_vy"].values.tolist() == [0]
    assert first.lo_hz[-1] == pytest.approx(1e6, abs=0.06)
    assert len(first.lo_reset_ticks) == 1
    assert second.tracks["grad_vx"].values.tolist() == [0x1000], "the DAC keeps its value"
    assert second.lo_hz.tolist() == first.lo_hz[-1:].tolist()
    assert all(track.ticks[0] == 0 and np.all(np.diff(track.ticks) > 0) for track in tracks.values())


def test_second_client_waits_for_the_first():
    with VirtualConsoleServer() as server:
        first, second = wc.connect(server.address), wc.connect(server.address, timeout_s=0.3)
        with first, second:
            assert wc.ask(first, {"regrd": 9})[4] == {"regrd": 0xFFFFFF}
            second.sendall(wc.request({"regrd": 5}))
            with pytest.raises(TimeoutError):
                second.recv(1)
            first.close()
            second.settimeout(10)
            assert wc.read_reply(second)[4] == {"regrd": 0}


def test_state_outlives_a_client():
    with VirtualConsoleServer() as server:
        with wc.connect(server.address) as link:
            wc.ask(link, {"mar_mem": wc.program(0x8F000700, FINISH)})
        with wc.connect(server.address) as link:
            wc.ask(link, {"run_seq": b""})
            assert server.machine.buffers[15] == 0x0700
            wc.ask(link, {"direct": 0x0F000000})
            assert server.machine.buffers[15] == 0


def test_close_server_ends_it_when_the_client_leaves():
    server = VirtualConsoleServer()
    server.start()
    with wc.connect(server.address) as link:
        link.sendall(wc.request({}, packet_type=2))
        assert wc.read_reply(link)[5] == {"infos": ["Shutting down server."]}
        assert wc.ask(link, {"regrd": 9})[4] == {"regrd": 0xFFFFFF}
        assert not server.wait(0.05)
    assert server.wait(10)
    server.stop()


def test_start_stop_start():
    server = VirtualConsoleServer()
    for _ in range(2):
        with server, wc.connect(server.address) as link:
            assert run_seq(link, FINISH)[4] == {"run_seq": 0}
    server.stop()


def test_port_in_use():
    with VirtualConsoleServer() as server:
        host, port = server.address
        with pytest.raises(ConnectError, match=rf"cannot listen on {host}:{port}[\s\S]*Choose another port"):
            VirtualConsoleServer(host, port).start()


@pytest.mark.parametrize("words", [(0,), (0x04000000, FINISH)], ids=["no FINISH", "TRIG_FOREVER"])
def test_program_without_end_blocks_until_the_client_leaves(words):
    with VirtualConsoleServer() as server:
        with wc.connect(server.address, timeout_s=0.3) as link:
            link.sendall(wc.request({"run_seq": wc.program(*words)}))
            with pytest.raises(TimeoutError):
                link.recv(1)
        with wc.connect(server.address) as link:
            assert run_seq(link, FINISH)[5] == {"warnings": ["no RX data received"]}


def stop_in_time(server, limit_s=2.0):
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < limit_s


def test_stop_ends_a_program_without_end_and_a_long_one():
    for words in ((0,), (*[LONG_WAIT] * 100, FINISH)):
        server = VirtualConsoleServer(time_scale=1.0)
        server.start()
        with wc.connect(server.address) as link:
            link.sendall(wc.request({"run_seq": wc.program(*words)}))
            wait_for(lambda server=server: server.n_runs == 1)
            stop_in_time(server)
            assert wc.is_closed(link)


def wait_for(condition, limit_s=10.0):
    event, end = threading.Event(), time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        event.wait(0.005)


class Gated(Steady):
    """A simulation that takes as long as the test wants."""

    def __init__(self):
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()

    def play(self, playback):
        self.entered.set()
        assert self.gate.wait(20)
        return super().play(playback)


def test_wire_notices_a_stop_while_the_simulation_works():
    model = Gated()
    server = VirtualConsoleServer(signal_model=model)
    server.start()
    with wc.connect(server.address) as link:
        link.sendall(wc.request({"run_seq": wc.program(*MEASURE)}))
        assert model.entered.wait(10)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        assert wc.is_closed(link), "the client is released although the simulation has not answered"
        model.gate.set()
        stopper.join(10)
        assert not stopper.is_alive()


class Broken(Steady):
    def play(self, playback):
        raise RuntimeError("the phantom has fallen off the table")


def test_failing_simulation_drops_the_link_and_is_told():
    with VirtualConsoleServer(signal_model=Broken()) as server:
        with wc.connect(server.address) as link:
            link.sendall(wc.request({"run_seq": wc.program(*MEASURE)}))
            assert wc.is_closed(link)
        assert "fallen off" in str(server.failure)
        with wc.connect(server.address) as link:
            assert wc.ask(link, {"regrd": 9})[4] == {"regrd": 0xFFFFFF}


@pytest.mark.parametrize(("time_scale", "least_s", "most_s"), [(1.0, 0.27, 5.0), (0.5, 0.13, 5.0), (0.0, 0.0, 0.25)])
def test_wall_time(time_scale, least_s, most_s):
    with VirtualConsoleServer(time_scale=time_scale) as server, wc.connect(server.address) as link:
        began = time.monotonic()
        run_seq(link, LONG_WAIT, LONG_WAIT, FINISH)
        assert least_s <= time.monotonic() - began <= most_s


def test_virtual_time_does_not_depend_on_the_host():
    model = Steady()
    with VirtualConsoleServer(signal_model=model, segment_gap_s=0.02) as server, wc.connect(server.address) as link:
        run_seq(link, LONG_WAIT, FINISH)
        threading.Event().wait(0.1)  # a slow host
        run_seq(link, FINISH)
        server.pass_time(1.5)
        run_seq(link, FINISH)
    idle = [playback.idle_s for playback in model.playbacks]
    assert idle == [0.0, 0.02, 1.5]
    assert model.playbacks[1].start_s == pytest.approx(0.02 + model.playbacks[0].duration_s)


def test_clock_counts_long_pauses_and_real_time():
    wall = [0.0]
    for time_scale, pause_s, idle_s in ((0.0, 9.0, 0.02), (0.0, 600.0, 600.0), (1.0, 9.0, 9.0), (0.5, 9.0, 18.0)):
        clock = VirtualClock(time_scale=time_scale, segment_gap_s=0.02, now=lambda: wall[0])
        assert clock.begin() == (0.0, 0.0)
        clock.end(3.0)
        wall[0] += pause_s
        assert clock.begin() == (3.0 + idle_s, idle_s)


def test_manual_run_outside_the_simulator():
    with VirtualConsoleServer(signal_model=Steady()) as server, wc.connect(server.address) as link:
        wc.ask(link, {"mar_mem": wc.program(*MEASURE)})
        wc.ask(link, {"ctrl": 1})
        assert wc.ask(link, {"regstatus": 0})[4]["regstatus"][0] >> 24 == 8
        wc.ask(link, {"direct": 0x0F00FF00})
        assert server.machine.buffers[15] == 0, "only when idle"
        assert len(wc.ask(link, {"read_rx": 0})[4]["read_rx"]["rx0_i"]) == 10
        wc.ask(link, {"ctrl": 0})
        assert wc.ask(link, {"regstatus": 0})[4]["regstatus"][0] == 0


def faulty(**options):
    return VirtualConsoleServer(signal_model=Steady(), faults=Faults(at_run=2, **options))


def second_run(server):
    """First run must be sound; the bytes of the second, and whether the link was closed after them."""
    with wc.connect(server.address, timeout_s=0.5) as link:
        assert len(run_seq(link, *MEASURE)[4]["run_seq"]["rx0_i"]) == 10
        link.sendall(wc.request({"run_seq": wc.program(*MEASURE)}))
        data = b""
        try:
            while part := link.recv(1 << 16):
                data += part
        except TimeoutError:
            return data, False
        return data, True


def test_fault_dropped_link():
    with faulty(drops_link=True) as server:
        assert second_run(server) == (b"", True)


def test_fault_reply_cut_in_the_middle():
    with faulty(cuts_reply=True) as server:
        data, is_closed = second_run(server)
        assert is_closed
        assert 20 < len(data) < 80


def test_fault_no_reply():
    with faulty(gives_no_reply=True) as server:
        assert second_run(server) == (b"", False)


def test_fault_garbage():
    with faulty(garbage=b"\xc1not MessagePack") as server:
        assert second_run(server) == (b"\xc1not MessagePack", False)


def test_fault_late_reply_missing_samples_and_an_error():
    with faulty(delay_s=0.3, n_missing_samples=3, error="gpa-fhdo gradient error; possibly missing samples") as server:
        link = wc.connect(server.address)
        with link:
            run_seq(link, *MEASURE)
            began = time.monotonic()
            reply = run_seq(link, *MEASURE)
            assert time.monotonic() - began >= 0.3
            assert len(reply[4]["run_seq"]["rx0_i"]) == len(reply[4]["run_seq"]["rx0_q"]) == 7
            assert reply[5]["errors"] == ["gpa-fhdo gradient error; possibly missing samples"]
            assert len(run_seq(link, *MEASURE)[4]["run_seq"]["rx0_i"]) == 10, "only once"
            server.faults = Faults(at_run=1, is_lasting=True, n_missing_samples=10)
            assert run_seq(link, *MEASURE)[4] == {"run_seq": 0}


def test_a_million_words_over_the_wire():
    n = 1_000_000
    words = np.empty(n, np.uint32)
    words[0::2], words[1::2] = 0x8F000100, 0x02000038
    words[-1] = FINISH
    with VirtualConsoleServer() as server, wc.connect(server.address) as link:
        began = time.monotonic()
        reply = wc.ask(link, {"run_seq": words.tobytes()})
        assert time.monotonic() - began < 3.0
        assert reply[5] == {"warnings": ["no RX data received"]}


@pytest.mark.slow
def test_soak():
    """Three hundred runs with reconnections, stops and broken requests in between; the answers stay right."""
    rng = np.random.default_rng(1)
    with VirtualConsoleServer(signal_model=Steady()) as server:
        for _ in range(60):
            with wc.connect(server.address) as link:
                for _ in range(5):
                    n = int(rng.integers(10, 4000))
                    words = list(MEASURE)
                    words[9] = 0x02000000 | n * 128 - 4
                    reply = run_seq(link, *words)
                    assert len(reply[4]["run_seq"]["rx0_i"]) == n
                    assert reply[5] == {}
                wc.ask(link, {"halt_and_reset": 0})
                link.sendall(bytes(rng.integers(0, 256, 50, dtype=np.uint8)))
