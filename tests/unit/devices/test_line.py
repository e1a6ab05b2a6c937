# SPDX-License-Identifier: MIT
"""A line's deadline is the device's, not the computer's."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from scripted_far_end import Scripted

from isocenter.devices import line as module
from isocenter.devices.line import Line
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import DeviceTimeout
from isocenter.virtual.peripherals.lines import VirtualLine


@pytest.fixture
def far() -> Scripted:
    return Scripted()


@pytest.fixture(params=["pty", "tcp"])
def line(request, far: Scripted) -> Iterator[Line]:
    with VirtualLine(far, request.param) as served:
        line = Line(DeviceLink(role=DeviceRole.SENSORS, driver="isocenter-line", url=served.url), "box", 115_200)
        line.open()
        yield line
        line.close()


def is_line(received: bytes) -> bool:
    return received.endswith(b"\n")


@pytest.fixture
def overslept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The computer does something else for longer than the deadline, right after the question."""
    times_s = iter([0.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times_s, 99.0)))


def test_an_answer_that_has_come_counts_however_late_it_is_looked_at(line: Line, far: Scripted, overslept: None) -> None:
    far.say(b"yes\n")
    while not line._require().in_waiting:
        pass  # on its way through the operating system
    assert line.read(is_line, 0.1, "answer") == b"yes\n"


def test_half_of_an_answer_is_none_and_is_kept(line: Line, far: Scripted, overslept: None) -> None:
    far.say(b"ye")
    while line._require().in_waiting < 1:
        pass
    with pytest.raises(DeviceTimeout, match=r"did not answer within 0\.1 s") as caught:
        line.read(is_line, 0.1, "answer")
    assert caught.value.partial in (b"y", b"ye")
