# SPDX-License-Identifier: MIT
"""Relay tuner and attenuator on scripted bytes: confirmed, or unknown."""

import pytest
from scripted_far_end import Scripted

from isocenter.devices.attenuator import I3mAttenuator
from isocenter.devices.tuner import RelayTuner
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConfigError, DeviceFault, DeviceTimeout, ProtocolError
from isocenter.virtual.peripherals.attenuator import VirtualAttenuator
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.tuner import VirtualTuner


def tuner(url: str, **options: float) -> RelayTuner:
    device = RelayTuner(DeviceLink(role=DeviceRole.TUNER, driver="rfautomate", url=url, options={"boot_s": 0.0, **options}))
    device.open()
    return device


def attenuator(url: str, low_db: float = 50, high_db: float = 76, **options: float) -> I3mAttenuator:
    gains = {"min_gain_db": low_db, "max_gain_db": high_db, "boot_s": 0.0}
    device = I3mAttenuator(
        DeviceLink(role=DeviceRole.ATTENUATOR, driver="i3m-attenuator", url=url, options={**gains, **options})
    )
    device.open()
    return device


@pytest.mark.parametrize(
    ("options", "at_scanner", "at_analyser"),
    [
        ({}, b"01111101010000010", b"01111101010000001"),
        ({"switch_code": 1}, b"01111101010000011", b"01111101010000000"),
        ({"frame_length": 32}, b"01111101010000010" + 15 * b"0", b"01111101010000001" + 15 * b"0"),
    ],
)
def test_the_characters_are_those_of_the_board(options: dict[str, float], at_scanner: bytes, at_analyser: bytes) -> None:
    """Largest capacitor first, 0 is in: the largest of series, the second and fourth of tune, all of match."""
    far = Scripted(lambda _: [b">OK;\r\n"])
    with VirtualLine(far, "pty") as line:
        device = tuner(line.url, **options)
        device.set_capacitors(0b00001, 0b01010, 0b11111)
        assert far.heard == at_scanner
        far.heard = b""
        device.connect_analyser(True)
        assert far.heard == at_analyser
        device.close()


def test_capacitors_and_switch_are_truly_set() -> None:
    plant = Plant()
    with VirtualLine(VirtualTuner(plant, answers="echo"), "tcp") as line:
        device = tuner(line.url)
        device.set_capacitors(1, 14, 16)
        assert plant.state.capacitors == (1, 14, 16)
        assert not plant.state.analyser_connected
        device.connect_analyser(True)
        assert plant.state.capacitors == (1, 14, 16)
        assert plant.state.analyser_connected
        device.close()


def test_until_something_was_set_and_confirmed_its_state_is_unknown() -> None:
    far = Scripted(lambda _: [b">OK;\r\n"])
    with VirtualLine(far, "pty") as line:
        device = tuner(line.url)
        assert device.poll().condition is Condition.UNKNOWN
        assert far.heard == b""  # opening and asking moves no relay
        device.connect_analyser(False)
        assert device.poll().condition is Condition.READY
        far.answer = lambda _: []
        with pytest.raises(DeviceTimeout, match="did not set its relays"):
            device.set_capacitors(1, 2, 3)
        assert device.poll().condition is Condition.UNKNOWN
        device.close()


def test_after_a_lost_line_the_coil_is_not_left_at_the_analyser() -> None:
    plant = Plant()
    with VirtualLine(VirtualTuner(plant), "pty") as line:
        device = tuner(line.url)
        device.connect_analyser(True)
        device.open()  # the board has started anew
        device.set_capacitors(1, 2, 3)
        assert not plant.state.analyser_connected
        device.close()


@pytest.mark.parametrize("answer", [b">ERR;\r\n", b"Error: relay 3\n", b">NACK;", b"unknown command\r\n"])
def test_a_refusal_is_not_a_success(answer: bytes) -> None:
    with VirtualLine(Scripted(lambda _: [answer]), "pty") as line:
        device = tuner(line.url, any_answer=1)
        with pytest.raises(DeviceFault, match=r"coil tuner refused.*\n.*off and on"):
            device.set_capacitors(1, 2, 3)
        device.close()


def test_other_words_confirm_nothing_unless_the_hardware_file_says_so() -> None:
    with VirtualLine(VirtualTuner(Plant(), answers="words"), "pty") as line:
        device = tuner(line.url)
        with pytest.raises(ProtocolError, match=r"'Relays switched', which confirms nothing.*\n.*any_answer"):
            device.set_capacitors(1, 2, 3)
        device.close()
        lenient = tuner(line.url, any_answer=1)
        lenient.set_capacitors(1, 2, 3)
        assert lenient.poll().condition is Condition.READY
        lenient.close()


def test_the_late_echo_of_an_earlier_setting_does_not_confirm() -> None:
    far = Scripted(lambda data: [b"11111111111111110\r\n"])
    with VirtualLine(far, "pty") as line:
        device = tuner(line.url)
        with pytest.raises(DeviceTimeout, match="did not set its relays"):
            device.set_capacitors(1, 2, 3)
        far.answer = lambda data: [b"11111111111111110\r\n" + data + b"\r\n"]
        device.set_capacitors(1, 2, 3)
        device.close()


def test_a_lost_answer_is_asked_for_once_more() -> None:
    answers = iter([[], [b">OK;\r\n"]])
    far = Scripted(lambda _: next(answers))
    with VirtualLine(far, "pty") as line:
        device = tuner(line.url)
        device.set_capacitors(0, 0, 0)
        assert far.heard == 2 * b"11111111111111110"
        device.close()


def test_codes_have_five_bits() -> None:
    with VirtualLine(Scripted(), "pty") as line:
        device = tuner(line.url)
        with pytest.raises(ValueError, match="five bits: 32"):
            device.set_capacitors(32, 0, 0)
        device.close()


def test_a_quiet_one_is_not_spoken_to_by_a_poll() -> None:
    far = Scripted(lambda _: [b">OK;\r\n"])
    with VirtualLine(far, "pty") as line:
        device = tuner(line.url, is_quiet=1)
        device.set_capacitors(1, 2, 3)
        far.heard = b""
        reading = device.poll()
        assert (reading.condition, far.heard) == (Condition.UNKNOWN, b"")
        assert "1/2/3" in reading.text
        device.close()


@pytest.mark.parametrize(
    ("gain_db", "bits"), [(50, b"100000"), (63.4, b"101101"), (76, b"111010"), (90, b"111010"), (0, b"100000")]
)
def test_the_nearest_gain_goes_out(gain_db: float, bits: bytes) -> None:
    far = Scripted(lambda _: [b">OK;\r\n"])
    with VirtualLine(far, "pty") as line:
        device = attenuator(line.url)
        device.set_gain(gain_db)
        assert far.heard == bits
        device.close()


def test_gains_are_those_of_the_hardware_file_and_truly_set() -> None:
    plant = Plant()
    with VirtualLine(VirtualAttenuator(plant, min_gain_db=35, max_gain_db=50), "tcp") as line:
        device = attenuator(line.url, 35, 50)
        assert device.gains_db == tuple(float(gain) for gain in range(35, 51))
        assert device.poll().condition is Condition.UNKNOWN
        device.set_gain(41)
        assert plant.state.attenuator_db == 41
        reading = device.poll()
        assert (reading.condition, reading.values) == (Condition.READY, {"gain_db": 41.0})
        device.close()
        wrong = attenuator(line.url, 50, 76)  # the hardware file does not fit the box: it refuses what it cannot
        with pytest.raises(DeviceFault, match="refused"):
            wrong.set_gain(76)
        assert wrong.poll().condition is Condition.UNKNOWN
        wrong.close()


@pytest.mark.parametrize(
    "options", [{}, {"min_gain_db": 50}, {"min_gain_db": 50, "max_gain_db": 90}, {"min_gain_db": 5, "max_gain_db": 5}]
)
def test_without_sensible_gains_there_is_no_attenuator(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"gains of the attenuator.*\n.*min_gain_db"):
        I3mAttenuator(DeviceLink(role=DeviceRole.ATTENUATOR, driver="i3m-attenuator", url="none", options=options))
