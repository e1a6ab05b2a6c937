# SPDX-License-Identifier: MIT
"""The text shell on scripted bytes: echoes, prompts, late answers, damaged lines, hangs."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scripted_far_end import Scripted

from isocenter.devices.nanovna import NanoVna
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ProtocolError, WrongState
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.nanovna import VirtualNanoVna
from isocenter.virtual.peripherals.plant import Plant

FIVE = ["1900000", "1950000", "2000000", "2050000", "2100000"]
S11 = ["0.500000 -0.250000", "0.400000 -0.100000", "-0.010000 0.020000", "0.300000 0.200000", "0.600000 0.100000"]
ROWS = [f"{frequency} {value}" for frequency, value in zip(FIVE, S11, strict=True)]


def shell(
    scan: Sequence[str] = ROWS,
    newline: str = "\r\n",
    cal: str = "load open short thru isoln Es Er Et cal'ed",
    echo: bool = True,
) -> Callable[[bytes], list[bytes]]:
    """A shell that answers a scan with these lines."""
    answers = {"version": ["0.8.0"], "info": ["Board: NanoVNA-H"], "cal": [cal], "": []}

    def answer(data: bytes) -> list[bytes]:
        command = data.decode().strip("\r\n")
        lines = (
            list(scan) if command.startswith("scan") else answers.get(command, [f"{command.split()[0]}?"] if command else [])
        )
        shown = ([command] if echo else []) + lines
        return [(newline.join([*shown, "ch> "])).encode()]

    return answer


def opened(url: str, sweep_timeout_s: float = 1.0, **options: float) -> NanoVna:
    link = DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver="nanovna", url=url, options=options)
    analyser = NanoVna(link, sweep_timeout_s=sweep_timeout_s)
    analyser.open()
    return analyser


@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r\r\n"])
def test_a_sweep_is_read_as_it_stands(newline: str) -> None:
    far = Scripted(shell(newline=newline))
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        reflection = analyser.sweep(1.9e6, 2.1e6, 5)
        np.testing.assert_array_equal(reflection.frequency_hz, [1.9e6, 1.95e6, 2e6, 2.05e6, 2.1e6])
        np.testing.assert_array_equal(reflection.s11, [0.5 - 0.25j, 0.4 - 0.1j, -0.01 + 0.02j, 0.3 + 0.2j, 0.6 + 0.1j])
        assert b"scan 1900000 2100000 5 3\r" in far.heard
        analyser.close()


def test_its_name_is_told() -> None:
    with VirtualLine(Scripted(shell()), "pty") as line:
        link = DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver="nanovna", url=line.url)
        analyser = NanoVna(link)
        assert analyser.open() == "NanoVNA-H 0.8.0"
        analyser.close()


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (ROWS[:4], "4 lines instead of 5"),
        ([*ROWS[:2], "2000000 -0.010000", *ROWS[3:]], "'2000000 -0.010000'"),
        ([*ROWS[:2], "2000000 -0.010000 0.0z0000", *ROWS[3:]], "0.0z0000"),
        ([*ROWS[:2], "2000000 -0. 0.020000", *ROWS[3:]], "-0. 0.02"),
        ([*ROWS[:2], "200000 -0.010000 0.020000", *ROWS[3:]], "200000 Hz where 2000000 Hz"),
        ([*ROWS[:2], "2000000 nan 0.020000", *ROWS[3:]], "nan"),
        ([*ROWS[:2], "2000000 -7.010000 0.020000", *ROWS[3:]], "reflection of 7.01"),
        ([*ROWS[:2], ROWS[1], *ROWS[3:]], "1950000 Hz where 2000000 Hz"),
        ([], "0 lines"),
    ],
)
def test_damaged_lines_are_refused(rows: list[str], what: str) -> None:
    far = Scripted(shell(scan=rows))
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(ProtocolError, match=r"cannot be right.*" + what):
            analyser.sweep(1.9e6, 2.1e6, 5)
        assert far.heard.count(b"scan ") == 2  # once more, and no more
        analyser.close()


def test_a_damaged_sweep_is_measured_again() -> None:
    answers = iter([shell(scan=ROWS[:3]), shell(), shell()])
    far = Scripted(shell())
    far.answer = lambda data: (next(answers) if data.startswith(b"scan") else shell())(data)
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        assert len(analyser.sweep(1.9e6, 2.1e6, 5).s11) == 5
        analyser.close()


def test_a_late_answer_is_not_taken_for_the_next() -> None:
    """A shell that answers without an echo says nothing of which question it answers."""
    stale = "\r\n".join(["scan 1900000 2100000 5 3", *[row.replace("0.5", "0.9") for row in ROWS], "ch> "]).encode()
    fresh = shell()
    far = Scripted(
        lambda data: (
            [stale.replace(b"1900000 2100000", b"1000000 1100000"), *fresh(data)] if b"scan" in data else fresh(data)
        )
    )
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        assert analyser.sweep(1.9e6, 2.1e6, 5).s11[0] == 0.5 - 0.25j
        far.answer = shell(echo=False)
        with pytest.raises(DeviceTimeout, match="did not answer"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        analyser.close()


def test_a_hang_is_bounded_and_a_restart_heals_it() -> None:
    plant = Plant()
    plant.change("test", capacitors=(1, 6, 6), analyser_connected=True)
    far = VirtualNanoVna(plant, CoilCircuit())
    with VirtualLine(far, "tcp") as line:
        analyser = opened(line.url)
        far.hangs_after = 1  # answers ``cal``, then hangs in ``scan``
        begin_s = time.monotonic()
        with pytest.raises(DeviceTimeout, match=r"did not.*\n.*off and on"):
            analyser.sweep(1.9e6, 2.1e6, 101)
        assert time.monotonic() - begin_s < 1.0 + 0.9  # closing and opening a TCP line takes 0.3 s each
        with pytest.raises(DeviceTimeout):
            analyser.poll()
        far.restart()
        analyser.open()
        assert len(analyser.sweep(1.9e6, 2.1e6, 101).s11) == 101
        analyser.close()


def test_a_hang_that_ends_by_itself_costs_one_attempt() -> None:
    far = Scripted(shell())
    n_scans = 0

    def answer(data: bytes) -> list[bytes]:
        nonlocal n_scans
        n_scans += data.startswith(b"scan")
        return [] if n_scans == 1 and data.startswith(b"scan") else shell()(data)

    far.answer = answer
    with VirtualLine(far, "pty") as line:
        analyser = opened(line.url)
        assert len(analyser.sweep(1.9e6, 2.1e6, 5).s11) == 5
        analyser.close()


def test_more_points_than_it_can_are_measured_in_parts() -> None:
    plant = Plant()
    plant.change("test", capacitors=(1, 6, 6), analyser_connected=True)
    coil = CoilCircuit()
    with VirtualLine(VirtualNanoVna(plant, coil), "tcp") as line:
        analyser = opened(line.url, sweep_timeout_s=5.0)
        reflection = analyser.sweep(1e6, 4e6, 301)
        assert len(reflection.frequency_hz) == 301
        np.testing.assert_allclose(reflection.frequency_hz, np.linspace(1e6, 4e6, 301), atol=1)
        np.testing.assert_allclose(reflection.s11, coil.reflection(reflection.frequency_hz, plant.state), atol=4e-3)
        analyser.close()


def test_firmware_without_a_mask_is_understood_and_without_scan_refused() -> None:
    plant = Plant()
    plant.change("test", capacitors=(1, 6, 6), analyser_connected=True)
    coil = CoilCircuit()
    with VirtualLine(VirtualNanoVna(plant, coil, knows_mask=False), "pty") as line:
        analyser = opened(line.url)
        reflection = analyser.sweep(1.9e6, 2.1e6, 51)
        np.testing.assert_allclose(reflection.s11, coil.reflection(reflection.frequency_hz, plant.state), atol=4e-3)
        analyser.close()
    with VirtualLine(Scripted(shell(scan=["scan?"])), "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(DeviceFault, match=r"said 'scan\?'.*\n.*firmware"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        analyser.close()


def test_without_its_calibration_it_measures_nothing_unless_told_to() -> None:
    with VirtualLine(Scripted(shell(cal="load open short")), "pty") as line:
        analyser = opened(line.url)
        reading = analyser.poll()
        assert reading.condition is Condition.FAULT
        assert "not calibrated" in reading.text
        with pytest.raises(WrongState, match=r"not calibrated.*\n.*OPEN, SHORT and LOAD"):
            analyser.sweep(1.9e6, 2.1e6, 5)
        analyser.close()
        careless = opened(line.url, accept_uncalibrated=1)
        assert len(careless.sweep(1.9e6, 2.1e6, 5).s11) == 5
        careless.close()


def test_something_else_with_a_prompt_is_refused() -> None:
    def answer(data: bytes) -> list[bytes]:
        command = data.decode().strip()
        return [f"{command}\r\n{command}?\r\nch> ".encode() if command else b"\r\nch> "]

    with (
        VirtualLine(Scripted(answer), "pty") as line,
        pytest.raises(ConnectError, match=r"no network analyser.*\n.*address"),
    ):
        opened(line.url)


@pytest.mark.parametrize("sweep", [(2e6, 1e6, 5), (0.0, 1e6, 5), (1e6, 2e6, 1), (1e6, 1e6 + 2, 101), (float("nan"), 1e6, 5)])
def test_a_sweep_that_is_none_is_a_mistake_of_the_caller(sweep: tuple[float, float, int]) -> None:
    with VirtualLine(Scripted(shell()), "pty") as line:
        analyser = opened(line.url)
        with pytest.raises(ValueError, match="no sweep"):
            analyser.sweep(*sweep)
        analyser.close()


def test_it_is_off_while_the_tuner_has_the_coil_at_the_scanner() -> None:
    plant = Plant()
    with VirtualLine(VirtualNanoVna(plant, CoilCircuit(), is_powered_by_tuner=True), "pty") as line:
        link = DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver="nanovna", url=line.url)
        analyser = NanoVna(link)
        with pytest.raises(DeviceTimeout, match="did not show its prompt"):
            analyser.open()
        plant.change("tuner", analyser_connected=True)
        assert analyser.open().startswith("NanoVNA-H 4")
        analyser.close()
