# SPDX-License-Identifier: MIT
"""A real cable with every fault that it can have, as pyserial sees it."""

import contextlib
import time
from pathlib import Path

import pytest
import serial

from isocenter.virtual.peripherals.lines import LineFaults, Reply, VirtualLine


class Echo:
    """Answers each line with itself; says ``hello`` once when told to."""

    def __init__(self):
        self.buffer, self.ticks, self.unasked, self.delay_s, self.n_lines = b"", 0, [], 0.0, 0

    def feed(self, data):
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        replies = [Reply(data=line + b"\n", delay_s=self.delay_s) for line in lines]
        self.n_lines += len(lines)
        return replies

    def tick(self):
        self.ticks += 1
        return [Reply(data=self.unasked.pop())] if self.unasked else []


def wait_for(is_so, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def _let_it_tick(echo, n=5):
    """Returns when the device's thread has gone round so many times: it has read what had been sent."""
    before = echo.ticks
    wait_for(lambda: echo.ticks >= before + n)


def _use(port):
    for _ in range(50):
        port.read(1)
        port.write(b"x")


def _descriptors():
    folder = Path("/proc/self/fd")
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture(params=["pty", "tcp"])
def line(request, echo):
    with VirtualLine(echo, request.param) as line:
        yield line


@pytest.fixture
def port(line):
    with serial.serial_for_url(line.url, timeout=10) as port:
        yield port


def _silent(port, wait_s=0.08):
    port.timeout = wait_s
    return port.read(1) == b""


def test_what_is_sent_comes_back(line, port):
    port.write(b"one\ntwo\n")
    assert port.read(8) == b"one\ntwo\n"
    assert b"".join(data for _, data in line.received) == b"one\ntwo\n"


def test_every_byte_passes(port):
    data = bytes(set(range(256)) - {10}) + b"\n"
    port.write(data)
    assert port.read(256) == data


def test_unsolicited_lines_come(echo, port):
    echo.unasked.append(b"hello\n")
    assert port.read(6) == b"hello\n"


def test_delayed_answers_stay_in_order(echo, port):
    echo.delay_s = 0.05
    start_s = time.monotonic()
    port.write(b"a\n")
    wait_for(lambda: echo.n_lines)
    echo.delay_s = 0.0
    port.write(b"b\n")
    assert port.read(4) == b"a\nb\n"
    assert time.monotonic() - start_s >= 0.05


@pytest.mark.parametrize("fault", ["deaf", "mute"])
def test_deaf_and_mute_are_silent_and_only_mute_hears(line, port, echo, fault):
    line.fail(**{fault: True})
    port.write(b"one\n")
    _let_it_tick(echo)
    assert _silent(port)
    assert bool(line.received) == (fault == "mute")
    line.heal()
    port.timeout = 10
    port.write(b"two\n")
    assert port.read(4) == b"two\n"


def test_a_stall_delivers_late(line, port):
    line.stall()
    port.write(b"one\n")
    assert _silent(port)
    line.stall(0.0)
    port.timeout = 10
    assert port.read(4) == b"one\n"


def test_half_of_an_answer(line, port):
    line.fail(halved=True)
    port.write(b"12345\n")
    assert port.read(3) == b"123"
    assert _silent(port)


def test_garbled_bytes_have_the_right_length_and_are_wrong(line, port):
    line.fail(garbled=1)
    port.write(b"12345\n")
    got = port.read(6)
    assert len(got) == 6
    assert all(a != b for a, b in zip(got, b"12345\n", strict=True))


def test_slow_bytes(line, port):
    line.fail(slow_s=0.02)
    start_s = time.monotonic()
    port.write(b"1234\n")
    assert port.read(5) == b"1234\n"
    assert time.monotonic() - start_s >= 0.1


def test_a_cut_is_noticed_and_the_same_url_works_again(line, echo):
    with contextlib.suppress(OSError), serial.serial_for_url(line.url, timeout=10) as port:
        port.write(b"one\n")
        assert port.read(4) == b"one\n"
        line.cut()
        with pytest.raises(serial.SerialException):
            _use(port)
    with pytest.raises(serial.SerialException, match=r"[Cc]ould not open"):
        serial.serial_for_url(line.url, timeout=0.2)
    ticks = echo.ticks
    wait_for(lambda: echo.ticks > ticks)
    line.restore()
    with serial.serial_for_url(line.url, timeout=10) as port:
        echo.buffer = b""
        port.write(b"two\n")
        assert port.read(4) == b"two\n"


def test_the_device_lives_on_while_its_line_is_cut_or_stalls(line, echo):
    for spoil in (line.cut, line.stall):
        spoil()
        _let_it_tick(echo, 3)
    line.heal()
    assert line.faults == LineFaults()


def test_a_second_client_takes_the_place_of_the_first(echo):
    with (
        VirtualLine(echo, "tcp") as line,
        serial.serial_for_url(line.url, timeout=10),
        serial.serial_for_url(line.url, timeout=10) as second,
    ):
        second.write(b"two\n")
        assert second.read(4) == b"two\n"


def test_nothing_is_left_behind(echo):
    before = len(_descriptors())
    for via in ("pty", "tcp"):
        with VirtualLine(echo, via) as line:
            url = line.url
        assert not Path(url).exists()
    assert len(_descriptors()) <= before
