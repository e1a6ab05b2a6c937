# SPDX-License-Identifier: MIT
"""Gradient cores: latency, spacing, lost and corrupted updates, init words, the ADC."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from isocenter.virtual.console.gradients import (
    FHDO_ERROR,
    OCRA1_DATA_LOST,
    OCRA1_ERROR,
    STATUS_FHDO_BUSY,
    STATUS_OCRA1_BUSY,
    GradientCores,
)
from isocenter.virtual.console.machine import Machine
from isocenter.virtual.console.runs import HARDWARE_BUS

_spec = importlib.util.spec_from_file_location("wire_client", Path(__file__).with_name("wire_client.py"))
wc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wc)

BITS = {"ocra1": 0x301, "gpa-fhdo": 0x302}


def cores_with(board, divider):
    cores = GradientCores()
    write(cores, [(0, 0, BITS[board] | divider << 2)])
    return cores


def write(cores, writes):
    ticks, buffers, values = zip(*writes, strict=True)
    events = cores.write(np.array(ticks), np.array(buffers, np.uint8), np.array(values, np.uint16))
    return list(zip(events.ticks.tolist(), events.outputs.tolist(), events.codes.tolist(), strict=True))


def send(tick, word):
    return [(tick, 1, word & 0xFFFF), (tick, 2, word >> 16)]


def ocra1(tick, channel, code, broadcast=True):
    return send(tick, (code & 0x3FFFF) << 2 | 0x00100000 | channel << 25 | broadcast << 24)


def fhdo(tick, channel, code):
    return send(tick, code | 0x80000 | channel << 16 | channel << 25)


@pytest.mark.parametrize("board", ["ocra1", "gpa-fhdo"])
def test_latency_as_measured(board):
    for divider, latency in wc.GOLDEN["gradient_latency"][board.replace("-", "_") if board != "ocra1" else board]:
        cores = cores_with(board, divider)
        event = write(cores, ocra1(1000, 1, -5) if board == "ocra1" else fhdo(1000, 1, 0x8000 - 5))
        assert event == [(1000 + latency, 1 if board == "ocra1" else 5, -5)], f"divider {divider}"


@pytest.mark.parametrize(("board", "least"), [("ocra1", 0), ("gpa-fhdo", 1)])
def test_divider_without_clock_edges_moves_nothing(board, least):
    cores = cores_with(board, least)
    assert write(cores, ocra1(1000, 0, 7) if board == "ocra1" else fhdo(1000, 0, 7)) == []


@pytest.mark.parametrize(
    ("board", "spacing", "flag", "codes"),
    [
        ("ocra1", 24 * 20 + 5, 0, [11, 22]),
        ("ocra1", 24 * 20 + 4, OCRA1_ERROR, [11, 22]),
        ("ocra1", 24 * 20 + 1, OCRA1_ERROR, [11]),
        ("ocra1", 3, 0, [11]),
        ("gpa-fhdo", 26 * 20 + 2, 0, [11, 22]),
        ("gpa-fhdo", 26 * 20 + 1, FHDO_ERROR, [11, 22]),
        ("gpa-fhdo", 25 * 20 + 1, FHDO_ERROR, []),
    ],
)
def test_spacing(board, spacing, flag, codes):
    cores = cores_with(board, 19)
    make = ocra1 if board == "ocra1" else lambda tick, channel, code: fhdo(tick, channel, 0x8000 + code)
    events = write(cores, make(1000, 0, 11) + make(1000 + spacing, 0, 22))
    assert [code for _, _, code in events] == codes
    assert cores.take_latch() == flag
    assert cores.take_latch() == 0, "reading clears it"


def test_ocra1_lost_update_goes_out_with_the_next_broadcast():
    cores = cores_with("ocra1", 19)
    events = write(cores, ocra1(1000, 0, 11) + ocra1(1100, 1, 22) + ocra1(5000, 2, 33))
    assert [(output, code) for _, output, code in events] == [(0, 11), (1, 22), (2, 33)]


def test_ocra1_overwriting_what_was_not_sent():
    cores = cores_with("ocra1", 19)
    events = write(cores, ocra1(1000, 0, 11, broadcast=False) + ocra1(2000, 0, 22))
    assert events == [(2000 + 485, 0, 22)]
    assert cores.take_latch() == OCRA1_DATA_LOST


def test_ocra1_remembers_a_loss_until_it_stores_another_word():
    """Seen on the original server with simulated hardware: the warning comes with every run until then."""
    cores = cores_with("ocra1", 19)
    write(cores, ocra1(1000, 0, 11, broadcast=False) + ocra1(2000, 0, 22, broadcast=False))
    assert [cores.take_latch() for _ in range(2)] == [OCRA1_DATA_LOST] * 2
    write(cores, ocra1(9000, 1, 3, broadcast=False))  # nothing waits in this channel
    assert [cores.take_latch() for _ in range(2)] == [OCRA1_DATA_LOST, 0]
    write(cores, ocra1(10_000, 1, 4, broadcast=False))
    assert [cores.take_latch() for _ in range(2)] == [OCRA1_DATA_LOST] * 2


@pytest.mark.parametrize(("spacing", "flag"), [(3, 0), (4, OCRA1_ERROR), (484, OCRA1_ERROR), (485, 0)])
def test_ocra1_word_that_is_only_stored_while_busy_sets_the_error_flag(spacing, flag):
    """Fuzzed against the original's simulated hardware."""
    cores = cores_with("ocra1", 19)
    events = write(cores, ocra1(1000, 0, 11) + ocra1(1000 + spacing, 1, 22, broadcast=False))
    assert events == [(1485, 0, 11)]
    assert cores.take_latch() == flag


DIVIDED = {
    "ocra1": (0x301, lambda tick, code: ocra1(tick, 0, code)),
    "gpa-fhdo": (0x302, lambda t, c: fhdo(t, 0, 0x8000 + c)),
}


@pytest.mark.parametrize(
    ("board", "spacing", "flag", "codes"),
    [
        ("ocra1", 24 * 20 + 5, 0, [22]),  # the first is spoiled, since the divider changed before it was through
        ("ocra1", 24 * 20 + 4, OCRA1_ERROR, [22]),
        ("ocra1", 24 * 20 + 1, OCRA1_ERROR, []),
        ("gpa-fhdo", 26 * 20 + 2, 0, [11, 22]),
        ("gpa-fhdo", 26 * 20 + 1, FHDO_ERROR, [11, 22]),
    ],
)
@pytest.mark.parametrize("divider", [4, 40])
def test_a_transfer_in_flight_keeps_the_divider_with_which_it_began(board, spacing, flag, codes, divider):
    """Fuzzed against the original's simulated hardware: another divider counts from the next transfer on."""
    bits, make = DIVIDED[board]
    cores = cores_with(board, 19)
    writes = [*make(1000, 11), (1000 + spacing - 1, 0, bits | divider << 2), *make(1000 + spacing, 22)]
    assert [code for _, _, code in write(cores, writes)] == codes
    assert cores.take_latch() == flag


@pytest.mark.parametrize(("board", "busy"), [("ocra1", STATUS_OCRA1_BUSY), ("gpa-fhdo", STATUS_FHDO_BUSY)])
def test_busy_lasts_as_long_as_the_divider_of_its_transfer_says(board, busy):
    bits, make = DIVIDED[board]
    cores = cores_with(board, 19)
    write(cores, [*make(1000, 11), (1400, 0, bits | 4 << 2)])
    assert cores.status(1000 + 25 * 20 + 1) & busy
    assert not cores.status(1000 + 25 * 20 + 2) & busy


def test_ocra1_four_channels_change_together():
    cores = cores_with("ocra1", 10)
    writes = [w for k in (3, 2, 1) for w in ocra1(1000 - 2 * k, k, 10 + k, broadcast=False)] + ocra1(1000, 0, 10)
    assert write(cores, writes) == [(1000 + 269, k, 10 + k) for k in range(4)]


def test_switching_off_spoils_the_transfer_in_flight():
    cores = cores_with("gpa-fhdo", 4)
    assert write(cores, [*fhdo(1000, 0, 0x9000), (1050, 0, 0)]) == []
    assert cores.codes[4] == 0


def direct_all(machine, words, wait_status):
    for pair in words:
        for word in pair.split():
            while machine.read(5) & wait_status:
                pass
            machine.direct(int(word, 16))


def settle(machine):
    machine.now += 10_000


def test_ocra1_stays_at_zero_until_initialised():
    machine = Machine(bus=HARDWARE_BUS, cores=GradientCores(needs_init=True))
    program = np.array([0x8000034D, 0x8101FFFC, 0x82000117, 0x02001000, 0x01000000], np.uint32)
    assert len(machine.begin(program, 0.0, 0.0).outputs.dac_events.ticks) == 0
    machine.state = 0
    settle(machine)
    direct_all(machine, wc.GOLDEN["gradient_init"]["ocra1_direct_words_spi_div19"], STATUS_OCRA1_BUSY)
    settle(machine)
    assert machine.begin(program, 0.0, 0.0).playback.tracks["grad_vx"].values.tolist() == [0, 0x1FFFF]


def test_fhdo_init_and_readback_of_the_current():
    machine = Machine(bus=HARDWARE_BUS)
    direct_all(machine, wc.GOLDEN["gradient_init"]["gpa_fhdo_direct_words"], STATUS_FHDO_BUSY)
    assert machine.cores.take_latch() == 0, "polling the busy bit avoids every error"
    direct_all(machine, ["0x0000007a", "0x02000209 0x0100ffff"], STATUS_FHDO_BUSY)  # channel 1 to full scale
    answers = []
    for channel in (0, 1, 1):
        direct_all(machine, [f"0x{0x020040C0 | channel << 2:08x} 0x01000000"], STATUS_FHDO_BUSY)
        settle(machine)
        answers.append(machine.read(5) & 0xFFFF)
    assert answers[1] == pytest.approx(32000, abs=1), "the answer belongs to the command before"
    assert answers[2] == pytest.approx(48000, abs=2)


@pytest.mark.parametrize(
    ("ctrl", "message"),
    [
        (0x312, ("errors", "gpa-fhdo gradient error; possibly missing samples")),
        (0x34D, ("warnings", "ocra1 data was lost (overwritten before being sent)")),
    ],
)
def test_second_run_with_the_core_still_on_reports_a_spurious_error(ctrl, message):
    """Known from the original: G1. Writing 0 to GRAD_CTRL before the run cures it."""
    words = [0x80000000 | b << 24 | (16 - b) << 16 for b in range(16, 0, -1)] + [0x80100000 | ctrl, 0x02000100]
    words += [0x8101FFFC, 0x82000117, 0x02001000, 0x01000000]  # a broadcast, which ends the memory of what was lost
    machine = Machine(bus=HARDWARE_BUS)
    heard = []
    for cure in (False, False, True):
        settle(machine)
        if cure:
            machine.direct(0)
            settle(machine)
        run = machine.begin(np.array(words, np.uint32), 0.0, 0.0)
        machine.finish(run, [])
        heard.append(message[1] in run.messages[message[0]])
    assert heard == [False, True, False]
