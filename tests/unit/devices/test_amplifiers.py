# SPDX-License-Identifier: MIT
"""Barthel's bridge on scripted bytes: what it may say, when, and what must never be taken for good."""

import time
from collections.abc import Callable, Iterator

import pytest
from scripted_far_end import Scripted

from isocenter.config.drivers import DRIVERS
from isocenter.devices.amplifiers import BarthelAmplifier
from isocenter.devices.catalogue import line_key, make_peripheral, make_peripherals
from isocenter.domain.device import Condition, DeviceFaultName, DeviceLink, DeviceRole, UsbIdentity
from isocenter.domain.errors import ConfigError, DeviceError, DeviceFault, DeviceTimeout, ProtocolError, WrongState
from isocenter.virtual.peripherals.amplifiers import VirtualBarthelBridge
from isocenter.virtual.peripherals.lines import Reply, VirtualLine
from isocenter.virtual.peripherals.plant import Plant

GPA, RFPA = DeviceRole.GRADIENT_AMPLIFIER, DeviceRole.RF_AMPLIFIER


def obedient(data: bytes) -> list[bytes]:
    return [b">OK;"] * data.count(b";")


def links(url: str) -> list[DeviceLink]:
    return [DeviceLink(role=role, driver="barthel", url=url) for role in (GPA, RFPA)]


@pytest.fixture
def end() -> Scripted:
    return Scripted(obedient)


@pytest.fixture
def both(end: Scripted) -> Iterator[tuple[BarthelAmplifier, BarthelAmplifier]]:
    """Gradient and RF amplifier, open."""
    with VirtualLine(end, "tcp") as line:
        gradients, rf = make_peripherals(links(line.url))
        gradients.open()
        rf.open()
        end.heard = b""
        yield gradients, rf  # type: ignore[misc]
        gradients.close()
        rf.close()


def test_verbs_are_those_of_the_bridge(both, end) -> None:
    gradients, rf = both
    gradients.enable()
    rf.enable()
    assert end.heard == b"GPA_VERB 1;GPA_SPC:CTL 1;GPA_ON 1;RFPA_VERB 1;RFPA_SPC:CTL 1;RFPA_RF 1;"
    end.heard = b""
    rf.standby()
    gradients.standby()
    assert end.heard == b"RFPA_RF 0;GPA_ON 0;"
    end.heard = b""
    gradients.clear_fault()
    rf.clear_fault()
    assert end.heard == b"GPA_ERRST;GPA_ON 0;RFPA_RF 0;"


def test_enabling_never_resets_an_error_by_itself(both, end) -> None:
    both[0].enable()
    assert b"ERRST" not in end.heard


@pytest.mark.parametrize("said", [b">ERR;", b">ERR 12 interlock;"])
def test_a_refused_power_up_is_no_success(both, end, said) -> None:
    """The error that an existing program makes: it counts a failed RF power-up as done."""
    _, rf = both
    end.answer = lambda data: [said] if b"RFPA_RF 1;" in data else obedient(data)
    with pytest.raises(DeviceFault, match=r"(?s)refused to switch the RF amplifier on: it answered '>ERR.*front panel"):
        rf.enable()
    reading = rf.poll()
    assert (reading.condition, reading.faults) == (Condition.FAULT, (DeviceFaultName.RF_FAULT,))


@pytest.mark.parametrize("said", [b"OK;", b">OK", b">ok;", b"OK>;", b">;", b">OK!;", b">K;", b"\xff\xfe", b">O\x7fK;"])
def test_only_the_right_answer_is_one(both, end, said) -> None:
    gradients, _ = both
    end.answer = lambda data: [said] if b"GPA_ON 1;" in data else obedient(data)
    with pytest.raises((DeviceTimeout, ProtocolError)):
        gradients.enable()
    end.answer = obedient
    gradients.open()
    assert gradients.poll().condition is Condition.UNKNOWN
    assert "not known" in gradients.poll().text


@pytest.mark.parametrize(
    "pieces",
    [[b">", b"O", b"K", b";"], [b"\r\n", b">OK;", b"\r\n"], [b"GPA: on\r\n>OK;"], [b"\xff\x00>OK;"]],
    ids=["fragments", "line ends", "chatter before", "noise before"],
)
def test_the_answer_is_found_in_what_comes(both, end, pieces) -> None:
    gradients, _ = both
    end.answer = lambda data: [Reply(data=piece, delay_s=0.01) for _ in range(data.count(b";")) for piece in pieces]
    gradients.enable()
    assert gradients.poll().condition is Condition.READY


def test_what_it_says_unasked_answers_nothing(both, end) -> None:
    gradients, _ = both
    end.say(b">OK;>OK;")
    end.answer = lambda _: []
    with pytest.raises(DeviceTimeout, match=r"did not answer within"):
        gradients.poll()


def test_an_answer_that_comes_late_is_not_that_of_the_next_question(both, end) -> None:
    gradients, rf = both
    end.answer = lambda _: []
    with pytest.raises(DeviceTimeout):
        gradients.poll()
    end.answer = lambda data: [b">OK;"] if b"GPA_VERB" in data else []  # that of the poll comes now, the next never
    with pytest.raises(DeviceTimeout):
        gradients.enable()
    end.answer = obedient
    gradients.open()
    assert gradients.poll().condition is Condition.UNKNOWN
    rf.poll()


def test_a_bridge_that_starts_anew_is_waited_for(end) -> None:
    """An Arduino does, when its port is opened; for a second it hears nothing."""
    started_s = time.monotonic()
    end.answer = lambda data: obedient(data) if time.monotonic() - started_s > 0.8 else []
    with VirtualLine(end, "tcp") as line:
        rf = make_peripherals(links(line.url))[1]
        started_s = time.monotonic()
        rf.open()
        assert rf.poll().condition is Condition.UNKNOWN
        rf.close()


def test_a_trip_goes_out_in_one_message_rf_first_for_both(both, end) -> None:
    gradients, rf = both
    gradients.enable()
    rf.enable()
    end.heard = b""
    gradients.trip()
    assert end.heard == b"RFPA_RF 0;GPA_ON 0;"
    assert gradients.poll().condition is Condition.FAULT
    assert rf.poll().condition is Condition.UNKNOWN  # its own trip has yet to confirm it
    with pytest.raises(WrongState, match=r"was tripped and must be cleared first.\nWhat to do: .*Reset"):
        rf.enable()
    rf.trip()
    assert rf.poll().condition is Condition.FAULT
    gradients.clear_fault()
    assert gradients.poll().condition is Condition.STANDBY
    assert rf.poll().condition is Condition.FAULT
    rf.clear_fault()
    rf.enable()
    assert rf.poll().condition is Condition.READY


@pytest.mark.parametrize(
    ("which", "answers", "is_off"),
    [
        (RFPA, [b">OK;>OK;"], True),
        (RFPA, [b"", b">OK;>OK;"], False),  # two are missing: of whom is not known
        (RFPA, [b">OK;", b">OK;>OK;"], True),
        (GPA, [b"", b">OK;>OK;>OK;>OK;"], True),  # late, but all there
        (GPA, [b">OK;>ERR;", b">OK;>OK;"], True),
        (RFPA, [b">OK;>ERR;", b">OK;>ERR;"], True),
        (GPA, [b">OK;>ERR;", b">OK;>ERR;"], False),
        (RFPA, [b">ERR;>OK;", b">ERR;>OK;"], False),
        (RFPA, [b">ERR;", b">OK;>OK;"], False),
        (RFPA, [b">O?;>OK;", b""], False),
        (GPA, [b"", b""], False),
    ],
)
def test_a_trip_is_confirmed_or_it_says_so(both, end, which, answers, is_off) -> None:
    device = both[1] if which is RFPA else both[0]
    script = list(answers)
    end.answer = lambda _: [script.pop(0)] if script else []
    asked_s = time.monotonic()
    if is_off:
        device.trip()
    else:
        with pytest.raises(DeviceError, match=r"did not confirm that it is off|refused to switch the|means nothing"):
            device.trip()
    assert time.monotonic() - asked_s < 0.4
    assert end.heard == b"RFPA_RF 0;GPA_ON 0;" * len(answers)
    end.answer = obedient
    if not is_off:
        device.open()
        assert device.poll().condition is Condition.UNKNOWN
    with pytest.raises(WrongState, match="tripped"):
        device.enable()


def test_what_is_known_ends_with_the_line(both, end) -> None:
    """The bridge may have been switched off meanwhile, or have started anew."""
    gradients, rf = both
    gradients.enable()
    rf.enable()
    end.answer = lambda _: []
    with pytest.raises(DeviceTimeout):
        rf.poll()
    end.answer = obedient
    rf.open()
    assert rf.poll().condition is Condition.UNKNOWN
    assert gradients.poll().condition is Condition.UNKNOWN


def test_a_second_open_of_a_line_in_order_changes_nothing(both) -> None:
    gradients, rf = both
    rf.enable()
    gradients.open()
    assert rf.poll().condition is Condition.READY


def test_no_method_waits_longer_than_it_may(both, end) -> None:
    gradients, _ = both
    end.answer = lambda _: []
    for method, limit_s in (("poll", 0.5), ("standby", 0.55), ("trip", 0.4), ("enable", 3.0), ("clear_fault", 0.55)):
        asked_s = time.monotonic()
        call: Callable[[], object] = getattr(gradients, method)
        with pytest.raises(DeviceError):
            call()
        assert time.monotonic() - asked_s < limit_s, method
    asked_s = time.monotonic()
    with pytest.raises(DeviceTimeout):
        gradients.open()
    assert time.monotonic() - asked_s < 2.0


def test_an_amplifier_with_a_fault_does_not_switch_on_until_it_is_cleared() -> None:
    plant = Plant()
    with VirtualLine(VirtualBarthelBridge(plant), "tcp") as line:
        gradients = make_peripherals(links(line.url))[0]
        gradients.open()
        gradients.enable()
        plant.change("test", gradient_amplifier_fault=True)
        plant.wait_for(lambda s: not s.gradient_amplifier_on, 1.0)
        assert "cannot say what the amplifier does" in gradients.poll().text  # READY as confirmed last, and it says so
        plant.change("test", gradient_amplifier_fault=False)
        with pytest.raises(DeviceFault, match="refused to switch the gradient amplifier on"):
            gradients.enable()
        gradients.clear_fault()
        assert not plant.state.gradient_amplifier_on
        gradients.enable()
        assert plant.state.gradient_amplifier_on
        gradients.close()


def test_devices_on_one_line_have_the_same_key() -> None:
    usb = UsbIdentity(vendor_id=0x2341, product_id=0x43, serial_number="A1")
    by_usb = DeviceLink(role=RFPA, driver="barthel", usb=usb)
    assert len({line_key(link) for link in links("socket://a:1")}) == 1
    assert line_key(by_usb) == "usb:2341:0043:A1"
    assert line_key(by_usb) != line_key(links("socket://a:1")[0])


@pytest.mark.parametrize(
    ("link", "match"),
    [
        (DeviceLink(role=RFPA, driver="bartel", url="x"), r"The RF amplifier.*driver 'bartel'.*\n.*barthel"),
        (DeviceLink(role=DeviceRole.SENSORS, driver="barthel", url="x"), r"The sensors.*driver 'barthel'.*isocenter-line"),
        (DeviceLink(role=RFPA, driver="barthel"), r"does not say where the RF amplifier is.*\n.*url or a usb"),
        (
            DeviceLink(role=RFPA, driver="barthel", url="x", options={"gain": 1.0}),
            r"option 'gain'; the driver barthel has: none",
        ),
    ],
)
def test_a_wrong_link_is_refused(link, match) -> None:
    with pytest.raises(ConfigError, match=match):
        make_peripheral(link)


def test_every_driver_that_a_file_may_name_can_be_made() -> None:
    needed = {"ovgu-sar": {"w_per_adc2": 1e-4}, "i3m-attenuator": {"min_gain_db": 50.0, "max_gain_db": 76.0}}
    for name, driver in DRIVERS.items():
        links = [
            DeviceLink(role=role, driver=name, url="socket://a:1", options=needed.get(name, {})) for role in driver.roles
        ]
        assert [device.role for device in make_peripherals(links)] == list(driver.roles)


def test_two_drivers_cannot_share_a_line() -> None:
    other = DeviceLink(role=DeviceRole.SENSORS, driver="isocenter-line", url="socket://a:1")
    with pytest.raises(ConfigError, match=r"same address socket://a:1.*\n.*Correct the addresses"):
        make_peripherals([*links("socket://a:1"), other])
