# SPDX-License-Identifier: MIT
"""Our line protocol on scripted bytes: what is believed, and what is not."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_far_end import Scripted

from isocenter.devices.catalogue import make_peripheral
from isocenter.devices.interlock import IsocenterInterlock
from isocenter.devices.key_values import crc8, frame, parse
from isocenter.devices.sensors import IsocenterSensors
from isocenter.domain.device import Condition, DeviceFaultName, DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceError, DeviceFault, DeviceTimeout, ProtocolError
from isocenter.virtual.peripherals.key_values import checksum
from isocenter.virtual.peripherals.lines import Reply, VirtualLine

F = DeviceFaultName
PAGE = (Path(__file__).parents[3] / "docs" / "line-protocol.md").read_text(encoding="utf-8")
HAS = "interlock,estop,door,gpa_fault,t_magnet,t_gpa,ups"
STANDBY = "armed=0 latched=0 cause=none blank=1 gpa=0 estop=0 door=0 gpa_fault=0 t_magnet=25.00 t_gpa=30.50 ups=0"
ARMED = STANDBY.replace("armed=0", "armed=1").replace("blank=1", "blank=0").replace("gpa=0", "gpa=1")
LATCHED = STANDBY.replace("latched=0 cause=none", "latched=1 cause=host")


def said(body: str) -> bytes:
    return f"{body}*{checksum(body.encode()):02X}\r\n".encode()


class Box:
    """Answers ``hello`` as told and every other verb with one body; by default a healthy interlock in standby."""

    def __init__(self) -> None:
        self.hello = f"ok=1 protocol=isocenter-line-1 name=box firmware=1.2 serial=77 has={HAS}"
        self.body = f"ok=1 {STANDBY}"
        self.wrap = lambda seq, body: [said(f"seq={seq} {body}")]

    def __call__(self, data: bytes) -> list[bytes | Reply]:
        answers: list[bytes | Reply] = []
        for seq, verb in re.findall(rb"seq=(\d+) do=(\w+)\*", data):
            if verb == b"hello":
                answers.append(said(f"seq={seq.decode()} {self.hello}"))
            else:
                answers += self.wrap(seq.decode(), self.body)
        return answers


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def end(box: Box) -> Scripted:
    return Scripted(box)


@pytest.fixture
def url(end: Scripted) -> Iterator[str]:
    with VirtualLine(end, "tcp") as line:
        yield line.url


@pytest.fixture
def interlock(url: str) -> Iterator[IsocenterInterlock]:
    device = make_peripheral(DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url=url))
    device.open()
    yield device  # type: ignore[misc]
    device.close()


@pytest.fixture
def make_sensors(url: str) -> Iterator:
    made: list[IsocenterSensors] = []

    def make(**options: float) -> IsocenterSensors:
        link = DeviceLink(role=DeviceRole.SENSORS, driver="isocenter-line", url=url, options=options)
        made.append(make_peripheral(link))  # type: ignore[arg-type]
        made[-1].open()
        return made[-1]

    yield make
    for device in made:
        device.close()


def test_the_checksum_is_the_published_one() -> None:
    """Source: check value of CRC-8/SMBUS in the catalogue of parametrised CRC algorithms."""
    assert crc8(b"123456789") == checksum(b"123456789") == 0xF4
    assert crc8(b"") == checksum(b"") == 0


def test_the_examples_of_the_page_are_right() -> None:
    lines = re.findall(r"(?m)^(?:> |< )?([!-)+-~][ -)+-~]*\*[0-9A-F]{2})$", PAGE)
    assert len(lines) >= 8
    for line in lines:
        assert parse(line.encode()) is not None, line
    for text, value in re.findall(r"\| `([^`]*)` \| `0x([0-9A-F]{2})` \|", PAGE):
        assert crc8(text.encode()) == int(value, 16), text


def test_any_single_wrong_bit_is_noticed() -> None:
    line = frame(seq=17, do="arm")[:-1]
    for n in range(8 * len(line)):
        wrong = bytearray(line)
        wrong[n // 8] ^= 1 << n % 8
        assert parse(bytes(wrong)) is None


@pytest.mark.parametrize(
    "body", [b"seq=1 seq=2", b"seq", b"Seq=1", b"seq=1  ok=1", b"seq=1 ok=", b" seq=1", b"seq=1 ok=a b"]
)
def test_a_line_that_is_whole_but_wrong_is_not_believed(body: bytes) -> None:
    assert parse(b"%s*%02X" % (body, crc8(body))) is None


def test_the_identity_is_told(interlock: IsocenterInterlock) -> None:
    assert interlock.open() == "box 1.2 77"


def test_another_protocol_is_not_spoken_to(url: str, box: Box) -> None:
    box.hello = "ok=1 protocol=isocenter-line-2 name=box firmware=9 serial=? has=interlock"
    device = make_peripheral(DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url=url))
    with pytest.raises(ConnectError, match=r"speaks 'isocenter-line-2', not isocenter-line-1.\n.*Load the firmware"):
        device.open()


def test_a_box_of_sensors_is_no_interlock(url: str, box: Box) -> None:
    box.hello = box.hello.replace("interlock,", "")
    device = make_peripheral(DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url=url))
    with pytest.raises(ConnectError, match=r"not an interlock controller: it has only door, estop"):
        device.open()


@pytest.mark.parametrize("end_of_line", [b"\n", b"\r\n"])
def test_line_ends_fragments_noise_and_events_do_no_harm(interlock, box: Box, end_of_line: bytes) -> None:
    def wrap(seq: str, body: str) -> list[Reply]:
        good = said(f"seq={seq} {body}").replace(b"\r\n", end_of_line)
        event = said("event=hot t_gpa=80")
        older = said(f"seq={(int(seq) - 2) % 65535 + 1} ok=1 {ARMED}")
        return [Reply(data=piece) for piece in (b"\xff\x00noise\n", event, older, good[:9], good[9:])]

    box.wrap = wrap  # type: ignore[assignment]
    assert interlock.poll().condition is Condition.STANDBY


def test_an_answer_to_the_question_before_is_not_believed(interlock, box: Box) -> None:
    box.wrap = lambda seq, body: [said(f"seq={(int(seq) - 2) % 65535 + 1} {body}")]
    box.body = f"ok=1 {ARMED}"
    with pytest.raises(DeviceTimeout, match="did not arm within"):
        interlock.enable()


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b"latched=0", b"latched=1"),
        lambda line: line[:-4] + b"00\r\n",
        lambda line: line.replace(b"*", b""),
        lambda line: line.lower(),
        lambda line: line[10:],
    ],
    ids=["other value", "other sum", "no star", "lower case", "head missing"],
)
def test_a_damaged_answer_is_said_to_be_damaged(interlock, box: Box, damage) -> None:
    box.body = f"ok=1 {STANDBY} x=AbC"
    box.wrap = lambda seq, body: [damage(said(f"seq={seq} {body}"))]
    with pytest.raises(ProtocolError, match=r"damaged on its way.\n.*cable.*115200"):
        interlock.poll()


def test_a_question_that_arrived_damaged_is_said_so(interlock, box: Box) -> None:
    box.wrap = lambda _seq, _body: [said("seq=0 ok=0 why=damaged")]
    with pytest.raises(ProtocolError, match="damaged on its way"):
        interlock.poll()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (STANDBY, r"does not say whether it did"),
        (f"ok=1 {STANDBY.replace(' latched=0', '')}", r"does not tell 'latched' \(found: missing"),
        (f"ok=1 {STANDBY.replace('estop=0', 'estop=?')}", r"does not tell 'estop' \(found: \?"),
        (f"ok=1 {STANDBY.replace('blank=1', 'blank=0')}", r"contradicts itself"),
        (f"ok=1 {STANDBY.replace('gpa=0', 'gpa=1')}", r"contradicts itself"),
        (f"ok=1 {ARMED.replace('blank=0', 'blank=1')}", r"contradicts itself"),
        (f"ok=1 {ARMED.replace('latched=0', 'latched=1')}", r"contradicts itself"),
        (f"ok=1 {STANDBY.replace(' gpa_fault=0', '')}", r"does not tell 'gpa_fault'"),
    ],
)
def test_an_answer_that_cannot_be_right_is_no_state(interlock, box: Box, body: str, match: str) -> None:
    box.body = body
    with pytest.raises(ProtocolError, match=match):
        interlock.poll()


@pytest.mark.parametrize(
    ("method", "body"),
    [("enable", STANDBY), ("standby", ARMED), ("clear_fault", LATCHED), ("trip", STANDBY), ("trip", ARMED)],
)
def test_done_is_what_the_state_says_not_what_it_says_it_did(interlock, box: Box, method: str, body: str) -> None:
    box.body = f"ok=1 {body}"
    with pytest.raises(DeviceFault, match=r"did not do as it was told; it says 'seq="):
        getattr(interlock, method)()


def test_a_refusal_that_nobody_knows_is_told_as_it_is(interlock, box: Box) -> None:
    box.body = f"ok=0 why=verb {STANDBY}"
    with pytest.raises(DeviceFault, match="refused to be armed: verb"):
        interlock.enable()


def test_a_trip_begins_with_the_byte_that_trips_and_is_sent_again(interlock, box: Box, end: Scripted) -> None:
    end.heard = b""
    box.wrap = lambda *_: []
    asked_s = time.monotonic()
    with pytest.raises(DeviceTimeout, match="did not confirm that it cut the outputs"):
        interlock.trip()
    assert time.monotonic() - asked_s < 0.35
    assert re.fullmatch(rb"(!seq=\d+ do=trip\*[0-9A-F]{2}\n){2}", end.heard)


def test_an_unknown_cause_is_told_as_it_is(interlock, box: Box) -> None:
    box.body = f"ok=1 {LATCHED.replace('host', 'water')}"
    reading = interlock.poll()
    assert reading.faults == (F.INTERLOCK_LATCHED,)
    assert reading.text == "outputs cut: water"


def test_sensors_report_what_lies_outside_their_limits(make_sensors, box: Box) -> None:
    box.hello = box.hello.replace("interlock,", "")
    sensors = make_sensors(magnet_min_c=20.0, magnet_max_c=30.0, gradient_amplifier_max_c=60.0)
    assert sensors.poll().condition is Condition.READY
    assert sensors.poll().values == {"temperature_magnet_c": 25.0, "temperature_gradient_amplifier_c": 30.5}
    for old, new, fault in [
        ("t_magnet=25.00", "t_magnet=19.99", F.MAGNET_TEMPERATURE),
        ("t_magnet=25.00", "t_magnet=30.01", F.MAGNET_TEMPERATURE),
        ("t_gpa=30.50", "t_gpa=61", F.GRADIENT_HOT),
        ("estop=0", "estop=1", F.EMERGENCY_STOP),
        ("door=0", "door=1", F.DOOR_OPEN),
        ("gpa_fault=0", "gpa_fault=1", F.GRADIENT_FAULT),
        ("ups=0", "ups=1", F.ON_BATTERY),
    ]:
        box.body = f"ok=1 {STANDBY.replace(old, new)}"
        reading = sensors.poll()
        assert (reading.condition, reading.faults) == (Condition.FAULT, (fault,)), new


@pytest.mark.parametrize("value", ["?", "nan", "inf", "-127.00", "999", "warm", "1e9"])
def test_a_sensor_that_fails_is_unknown_never_good(make_sensors, box: Box, value: str) -> None:
    box.body = f"ok=1 {STANDBY.replace('t_magnet=25.00', f't_magnet={value}')}"
    for options, condition in (({}, Condition.READY), ({"magnet_max_c": 30.0}, Condition.UNKNOWN)):
        sensors = make_sensors(**options)
        reading = sensors.poll()
        sensors.close()
        assert reading.condition is condition
        assert "magnet temperature unknown" in reading.text
        assert "temperature_magnet_c" not in reading.values


def test_a_limit_without_a_sensor_is_unknown(make_sensors, box: Box) -> None:
    box.hello, box.body = box.hello.replace(",t_gpa", ""), f"ok=1 {STANDBY.replace(' t_gpa=30.50', '')}"
    assert make_sensors(gradient_amplifier_max_c=60.0).poll().condition is Condition.UNKNOWN


def test_what_was_promised_and_left_out_is_refused(make_sensors, box: Box) -> None:
    box.body = "ok=1 t_magnet=25.00"
    with pytest.raises(ProtocolError, match=r"left out door, estop, gpa_fault, t_gpa, ups"):
        make_sensors().poll()


def test_a_box_that_starts_anew_is_waited_for_and_a_silent_one_is_not_for_ever(url: str, end: Scripted, box: Box) -> None:
    device = make_peripheral(DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url=url))
    end.answer = lambda _: []
    asked_s = time.monotonic()
    with pytest.raises(DeviceError, match="did not answer"):
        device.open()
    assert time.monotonic() - asked_s < 2.0
    ready_s = time.monotonic() + 0.7
    end.answer = lambda data: box(data) if time.monotonic() > ready_s else []
    assert device.open() == "box 1.2 77"
    device.close()
