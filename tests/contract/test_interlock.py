# SPDX-License-Identifier: MIT
"""The interlock controller: the virtual one, and the reference sketch compiled for this computer, do the same."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import serial
from sketch_device import SketchDevice

from isocenter.devices.catalogue import make_peripherals
from isocenter.devices.roles import Interlock, Peripheral
from isocenter.domain.device import Condition, DeviceFaultName, DeviceLink, DeviceRole
from isocenter.domain.errors import WrongState
from isocenter.virtual.peripherals.interlock import VirtualInterlock
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant, PlantState

F = DeviceFaultName


def is_cut(state: PlantState) -> bool:
    return state.interlock_blanks_rf and state.interlock_parks_gradients


@dataclass
class Rig:
    """The controller, its driver and its contacts."""

    device: Interlock
    sensors: Peripheral
    line: VirtualLine
    plant: Plant
    hears: Callable[[str], None]  # sets an input and waits until the controller has seen it


@pytest.fixture(params=[VirtualInterlock, SketchDevice], ids=["virtual", "arduino"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    plant = Plant()
    far_end = request.param(plant)
    with VirtualLine(far_end, "tcp") as line:
        links = [
            DeviceLink(role=role, driver="isocenter-line", url=line.url)
            for role in (DeviceRole.INTERLOCK, DeviceRole.SENSORS)
        ]
        interlock, sensors = make_peripherals(links)
        interlock.open()
        sensors.open()

        def hears(key: str) -> None:
            deadline_s = time.monotonic() + 1
            while key not in interlock.poll().said:
                assert time.monotonic() < deadline_s

        yield Rig(device=interlock, sensors=sensors, line=line, plant=plant, hears=hears)  # type: ignore[arg-type]
        interlock.close()
        sensors.close()
    if isinstance(far_end, SketchDevice):
        far_end.close()


def test_it_cuts_a_second_after_the_last_beat(rig: Rig) -> None:
    rig.device.enable()
    for _ in range(3):
        assert rig.device.beat().condition is Condition.READY
    beaten_s = time.monotonic()
    cut_s = rig.plant.wait_for(is_cut, 2.0, beaten_s)
    assert 0.7 < cut_s - beaten_s < 0.95
    reading = rig.device.poll()
    assert reading.condition is Condition.FAULT
    assert reading.faults == (F.HEARTBEAT_LOST, F.INTERLOCK_LATCHED)
    assert "heartbeat" in reading.text


def test_beats_keep_it_and_polls_do_not(rig: Rig) -> None:
    rig.device.enable()
    armed_s = time.monotonic()
    while time.monotonic() - armed_s < 1.3:
        rig.device.beat()
    assert not is_cut(rig.plant.state)
    polled_s = time.monotonic()
    while time.monotonic() - polled_s < 1.3:
        rig.device.poll()
    assert is_cut(rig.plant.state)


@pytest.mark.parametrize("spoil", ["cut", "stall"])
def test_it_cuts_when_its_line_does_not_come_through(rig: Rig, spoil: str) -> None:
    rig.device.enable()
    spoilt_s = time.monotonic()
    getattr(rig.line, spoil)()
    assert rig.plant.wait_for(is_cut, 2.0, spoilt_s) - spoilt_s < 1.15


@pytest.mark.parametrize(
    ("contact", "fault", "cause"),
    [("emergency_stop", F.EMERGENCY_STOP, "estop"), ("door_open", F.DOOR_OPEN, "door")],
)
def test_button_and_door_cut_at_once_and_it_stays_so(rig: Rig, contact: str, fault: DeviceFaultName, cause: str) -> None:
    rig.device.enable()
    since_s = time.monotonic()
    rig.plant.change("test", **{contact: True})
    assert rig.plant.wait_for(is_cut, 1.0, since_s) - since_s < 0.15
    reading = rig.device.beat()
    assert (reading.condition, reading.faults) == (Condition.FAULT, (fault, F.INTERLOCK_LATCHED))
    with pytest.raises(WrongState, match=r"refused to be cleared: the (red button|door).*\n?.*(Release|Close)"):
        rig.device.clear_fault()
    rig.plant.change("test", **{contact: False})
    rig.hears(f"{cause}=0")
    assert rig.device.poll().condition is Condition.FAULT  # nothing re-arms itself
    assert is_cut(rig.plant.state)
    with pytest.raises(WrongState, match=r"refused to be armed: it is latched, since the"):
        rig.device.enable()
    rig.device.clear_fault()
    assert rig.device.poll().faults == ()
    assert is_cut(rig.plant.state)
    rig.device.enable()
    assert not is_cut(rig.plant.state)


def test_a_patient_may_be_brought_in_through_the_door(rig: Rig) -> None:
    rig.plant.change("test", door_open=True)
    rig.hears("door=1")
    reading = rig.device.poll()
    assert (reading.condition, reading.faults) == (Condition.STANDBY, ())
    assert reading.values["door_open"] == 1.0
    assert "door open" in reading.text
    with pytest.raises(WrongState, match=r"the door is open.\nWhat to do: Close the door"):
        rig.device.enable()


def test_the_button_latches_in_standby_too(rig: Rig) -> None:
    rig.plant.change("test", emergency_stop=True)
    rig.hears("estop=1")
    rig.plant.change("test", emergency_stop=False)
    rig.hears("estop=0")
    assert F.EMERGENCY_STOP in rig.device.poll().faults


def test_the_first_cause_is_the_one_that_is_told(rig: Rig) -> None:
    rig.device.enable()
    rig.plant.change("test", door_open=True)
    rig.hears("door=1")
    rig.plant.change("test", emergency_stop=True)
    rig.hears("estop=1")
    assert "door was opened" in rig.device.poll().text


def test_a_trip_by_the_program_is_no_fault_of_its_own(rig: Rig) -> None:
    rig.device.enable()
    rig.device.trip()
    reading = rig.device.poll()
    assert (reading.condition, reading.faults) == (Condition.FAULT, ())
    assert "the program told it to" in reading.text


def test_one_byte_trips_in_the_middle_of_a_line(rig: Rig) -> None:
    rig.device.enable()
    rig.device.close()
    rig.sensors.close()
    with serial.serial_for_url(rig.line.url, timeout=1) as port:
        port.write(b"seq=7 do=re!")
        rig.plant.wait_for(is_cut, 1.0)
        port.write(b"seq=8 do=read*%02X\n" % crc_by_hand(b"seq=8 do=read"))
        assert b"seq=8 ok=1 armed=0 latched=1 cause=host blank=1 gpa=0 " in port.readline()


def test_contacts_of_amplifiers_are_reported(rig: Rig) -> None:
    rig.plant.change("test", gradient_amplifier_hot=True, rf_amplifier_fault=True)
    rig.hears("rf_fault=1")
    assert rig.device.poll().faults == (F.GRADIENT_HOT, F.RF_FAULT)
    assert rig.sensors.poll().faults == ()  # the interlock reports them


def test_sensors_share_its_line(rig: Rig) -> None:
    rig.plant.change("test", magnet_c=-7.25, room_c=None, gradient_amplifier_c=41.07, on_battery=True, battery_share=0.5)
    rig.hears("t_gpa=41.07")
    reading = rig.sensors.poll()
    assert reading.faults == (F.ON_BATTERY,)
    assert reading.values == {
        "temperature_magnet_c": -7.25,
        "temperature_gradient_amplifier_c": 41.07,
        "battery_share": 0.5,
    }
    assert "room temperature unknown" in reading.text


def test_closing_one_of_two_keeps_the_line_for_the_other(rig: Rig) -> None:
    rig.sensors.close()
    assert rig.device.poll().condition is Condition.STANDBY


def test_random_bytes_never_release_anything(rig: Rig) -> None:
    rig.device.close()
    rig.sensors.close()
    chance, started_s = random.Random(4), time.monotonic()
    words = [b"seq=1 do=arm*", b"do=arm", b"\n", b"\r\n", b"*", b"seq=", bytes(200), b"armed=1"]
    with serial.serial_for_url(rig.line.url, timeout=0.5) as port:
        for _ in range(60):
            noise = b"".join(chance.choice(words) if chance.random() < 0.5 else chance.randbytes(9) for _ in range(20))
            port.write(noise.replace(b"!", b"?"))
        port.write(b"\nseq=9 do=read*%02X\n" % crc_by_hand(b"seq=9 do=read"))
        said = port.read_until(b"t_gpa=30.00*")
    assert b"seq=9 ok=1 armed=0 latched=0" in said
    assert rig.plant.first(lambda s: not is_cut(s), started_s) is None


def crc_by_hand(text: bytes) -> int:
    """CRC-8 by the table of its definition: remainder of text x^8 over x^8 + x^2 + x + 1."""
    value = 0
    for byte in text:
        for bit in range(7, -1, -1):
            top = value >> 7 ^ byte >> bit & 1
            value = (value << 1 & 0xFF) ^ (0x07 if top else 0)
    return value


def test_the_sketch_is_right_when_its_clock_wraps() -> None:
    """``millis()`` starts again at 0 after 49.7 days."""
    plant = Plant()
    device = SketchDevice(plant, str(2**32 - 700))
    with VirtualLine(device, "tcp") as line:
        (interlock,) = make_peripherals((DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url=line.url),))
        interlock.open()
        armed: Any = interlock
        armed.enable()
        started_s = time.monotonic()
        while time.monotonic() - started_s < 1.2:
            assert armed.beat().condition is Condition.READY
        beaten_s = time.monotonic()
        assert 0.7 < plant.wait_for(is_cut, 2.0, beaten_s) - beaten_s < 0.95
        interlock.close()
    device.close()


@pytest.mark.parametrize("cause", ["beat", "host"])
def test_a_latch_of_the_sketch_survives_a_restart(tmp_path: Path, cause: str) -> None:
    """Opening its port starts an Arduino anew; that must not clear what only a person may."""
    plant, memory = Plant(), str(tmp_path / "eeprom")
    device = SketchDevice(plant, "", memory)
    link = DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", url="")
    with VirtualLine(device, "tcp") as line:
        first: Any = make_peripherals((replace(link, url=line.url),))[0]
        first.open()
        first.enable()
        if cause == "host":
            first.trip()
        plant.wait_for(is_cut, 2.0, time.monotonic())
        assert f"cause={cause}" in first.poll().said
        first.close()
    device.close()
    device = SketchDevice(plant, "", memory)
    with VirtualLine(device, "tcp") as line:
        again: Any = make_peripherals((replace(link, url=line.url),))[0]
        again.open()
        assert again.poll().condition is Condition.FAULT
        assert f"cause={cause}" in again.poll().said
        with pytest.raises(WrongState, match="latched"):
            again.enable()
        again.clear_fault()
        assert again.poll().condition is Condition.STANDBY
        again.close()
    device.close()


def test_many_callers_see_one_truth(rig: Rig) -> None:
    """The plant is changed by the line's thread and read by others: no reader sees RF released and gradients parked."""
    torn: list[PlantState] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1e-4):  # leaves the processor to the line's thread
            for _ in range(20):
                state = rig.plant.state
                if state.interlock_blanks_rf is not state.interlock_parks_gradients:
                    torn.append(state)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(10):
            rig.device.enable()
            rig.device.standby()
    finally:
        done.set()
        thread.join()
    assert not torn
