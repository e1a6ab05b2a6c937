# SPDX-License-Identifier: MIT
"""Currents of a GPA-FHDO: read back, calibrated, and played, on the virtual console's board."""

from threading import Event

import numpy as np
import pytest
from marcos_tables import gradients, segment, track

from isocenter.devices.marcos import MarcosConsole
from isocenter.domain.currents import SLOPE_RANGE
from isocenter.domain.errors import AcquisitionError, CompileError, ConfigError, ScanAborted
from isocenter.domain.scanner import ConsoleLink, GradientBoard
from isocenter.virtual.console.machine import Machine
from isocenter.virtual.console.server import VirtualConsoleServer

FULL_A = 6.25
GAIN, OFFSET = (0.97, 1.02, 1.04), (0.004, -0.006, 0.0)


@pytest.fixture
def server():
    with VirtualConsoleServer(board=GradientBoard.GPA_FHDO) as running:
        running.machine.cores.set_board(GAIN, OFFSET)
        yield running


@pytest.fixture
def console(server):
    made = console_at(server)
    made.open()
    yield made
    made.close()


def console_at(server, board=GradientBoard.GPA_FHDO):
    host, port = server.address
    link = ConsoleLink(family="marcos", host=host, port=port, clock_hz=122.88e6, segment_gap_s=0.01)
    return MarcosConsole(link, gradients(board, 4 if board is GradientBoard.GPA_FHDO else 19))


def flowing(server):
    """Currents that flow now, of full scale, from the DACs' codes and the board as it is."""
    codes = server.machine.cores.codes[4:7]
    return codes / 32768 * np.array(GAIN) + np.array(OFFSET)


def test_currents_are_calibrated_and_zero_is_zero_afterwards(console, server):
    found = console.calibrate_currents(FULL_A, 5.0, Event())
    for fit, gain, offset in zip(found.channels, GAIN, OFFSET, strict=True):
        assert fit.slope == pytest.approx(gain, abs=1e-3)
        assert fit.offset_share == pytest.approx(offset, abs=2e-4)
    assert server.machine.cores.codes[4:7] == pytest.approx([0, 0, 0])
    console.set_currents(found)
    console.make_safe()
    assert flowing(server) == pytest.approx([0, 0, 0], abs=2e-4)
    assert console.read_currents(FULL_A) == pytest.approx([0, 0, 0], abs=0.003)


def test_the_calibration_is_in_what_is_played(console, server):
    console.set_currents(console.calibrate_currents(FULL_A, 5.0, Event()))
    seen = []
    wanted = (20_000, -12_000, 5_000)
    for channel, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        prepared = console.prepare(segment({name: track([4000, 90_000], [wanted[channel], 0])}, ((10_000, 100, 4),)), 2e6)
        events = []
        write = server.machine.cores.write

        def spy(*arguments, _write=write, _events=events, **options):
            result = _write(*arguments, **options)
            _events.extend(zip(result.outputs.tolist(), result.codes.tolist(), strict=True))
            return result

        server.machine.cores.write = spy
        try:
            console.play(prepared, Event())
        finally:
            del server.machine.cores.write
        largest = max((code for output, code in events if output == 4 + channel), key=abs)
        seen.append(largest / 32768 * GAIN[channel] + OFFSET[channel])
    assert seen == pytest.approx(np.array(wanted) / 32767, abs=3e-4)


@pytest.mark.parametrize("is_linked_anew", [False, True], ids=["same link", "new link"])
def test_no_current_flows_in_channels_that_the_first_segment_leaves_alone(console, server, monkeypatch, is_linked_anew):
    console.set_currents(console.calibrate_currents(FULL_A, 5.0, Event()))
    if is_linked_anew:
        console.close()
    begin, seen = Machine.begin, []

    def look_first(*arguments):
        seen.append(flowing(server))
        return begin(*arguments)

    monkeypatch.setattr(Machine, "begin", look_first)
    console.play(console.prepare(segment({"leds": track([4000, 90_000], [1, 0])}, ((10_000, 100, 4),)), 2e6), Event())
    assert len(seen) == 1
    assert seen[0] == pytest.approx([0, 0, 0], abs=2e-4)


def test_a_segment_prepared_before_a_new_calibration_is_not_played(console):
    prepared = console.prepare(segment({"grad_vx": track([4000, 90_000], [20_000, 0])}, ((10_000, 100, 4),)), 2e6)
    console.set_currents(console.calibrate_currents(FULL_A, 5.0, Event()))
    with pytest.raises(ValueError, match="another calibration"):
        console.play(prepared, Event())


def test_more_than_the_board_can_give_is_refused(console):
    console.set_currents(console.calibrate_currents(FULL_A, 5.0, Event()))
    with pytest.raises(CompileError, match=r"channel x, as calibrated, would need 10\d"):
        console.prepare(segment({"grad_vx": track([4000, 90_000], [32_767, 0])}, ((10_000, 100, 4),)), 2e6)


@pytest.mark.parametrize("gain", [SLOPE_RANGE[0] - 0.01, SLOPE_RANGE[1] + 0.01, 0.0, -1.0])
def test_a_board_that_cannot_be_trusted_is_refused_and_left_at_zero(console, server, gain):
    server.machine.cores.set_board((1.0, gain, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(AcquisitionError, match="channel y") as caught:
        console.calibrate_currents(FULL_A, 5.0, Event())
    assert "old calibration stays" in caught.value.remedy
    assert server.machine.cores.codes[4:7].tolist() == [0, 0, 0]


SILENT = [-2.0, 2.096]  # all zeros and all ones of the converter


@pytest.mark.parametrize("reads", SILENT)
@pytest.mark.parametrize("channel", [0, 2])
def test_a_board_that_does_not_answer_is_said_so_and_never_calibrated(console, server, reads, channel):
    gain, offset = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    gain[channel], offset[channel] = 0.0, reads
    server.machine.cores.set_board(tuple(gain), tuple(offset))
    words = rf"does not answer: its converter reads {reads * 100:+.0f} % of full scale on channel {'xyz'[channel]}".replace(
        "+", r"\+"
    )
    with pytest.raises(AcquisitionError, match=words) as caught:
        console.calibrate_currents(FULL_A, 5.0, Event())
    assert "power and its cable" in caught.value.remedy
    assert server.machine.cores.codes[4:7].tolist() == [0, 0, 0]
    with pytest.raises(AcquisitionError, match="does not answer"):
        console.read_currents(FULL_A)
    assert console.make_safe().verified  # what is written is written; that nobody reads it back is told apart


@pytest.mark.parametrize("offset", [-1.15, 1.15])
def test_a_large_current_is_a_current(console, server, offset):
    server.machine.cores.set_board((0.0,) * 3, (offset,) * 3)
    assert console.read_currents(FULL_A) == pytest.approx([offset * FULL_A] * 3, rel=1e-3)


def test_stop_ends_a_calibration_at_zero(console, server):
    cancel = Event()
    cancel.set()
    with pytest.raises(ScanAborted, match="stopped"):
        console.calibrate_currents(FULL_A, 5.0, cancel)
    assert server.machine.cores.codes[4:7].tolist() == [0, 0, 0]


def test_a_board_that_cannot_be_read_is_not_calibrated():
    with VirtualConsoleServer(board=GradientBoard.OCRA1) as server:
        console = console_at(server, GradientBoard.OCRA1)
        console.open()
        with pytest.raises(ConfigError, match="cannot be read"):
            console.calibrate_currents(FULL_A, 5.0, Event())
        console.close()
