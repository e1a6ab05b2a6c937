# SPDX-License-Identifier: MIT
"""The receiver: how many samples, when, what they are worth, and what the FIFO loses."""

import numpy as np
import pytest

from isocenter.domain.receiver import CIC_SETTLING, cic_response, raw_sample_ticks
from isocenter.virtual.console.machine import Machine
from isocenter.virtual.console.receiver import Receiver, cic_correction, to_words
from isocenter.virtual.console.runs import HARDWARE_BUS

RESET, ENABLE, VALID = 0x40, 0x100, 0x10


def control(*changes, rate=100, end=1_000_000):
    """Stretches of one receiver from (tick, RX_CTRL) pairs."""
    ticks, words = zip((0, 0), *changes, strict=True)
    return Receiver(0).stretches(np.array(ticks), np.array(words), np.full(len(ticks), rate), end)


def opened(rate, windows, start=1000):
    """Changes that set a rate and open windows of the given lengths, 500 ticks apart."""
    changes, tick = [(50, RESET), (100, RESET | VALID), (101, RESET)], start
    for length in windows:
        changes += [(tick, RESET | ENABLE), (tick + length, RESET)]
        tick += length + 500
    return control(*changes, rate=rate)


@pytest.mark.parametrize("rate", [4, 10, 123, 600, 4095])
@pytest.mark.parametrize("extra", [-1, 0, 1, 57])
def test_count_of_one_window(rate, extra):
    length = 7 * rate + extra
    (stretch,) = opened(rate, [length])
    assert len(stretch.emit_ticks) == (length + 1) // rate
    assert stretch.window.decimation == rate


def test_leftover_is_carried_to_the_next_window():
    stretches = opened(100, [250] * 4)
    assert sum(len(stretch.emit_ticks) for stretch in stretches) == 10, "not eight"


def test_sample_times_are_those_of_the_domain():
    for stretch in opened(123, [1230, 1230]):
        tick, n = stretch.window.tick, len(stretch.emit_ticks)
        points = stretch.window.sample_ticks
        assert points == pytest.approx(raw_sample_ticks(tick, 123, n + 2)[2:])
        assert stretch.window.tick <= points[0] < points[-1] < stretch.window.stop_tick
        assert stretch.emit_ticks == pytest.approx(raw_sample_ticks(tick, 123, n) + 3 * 122)


@pytest.mark.parametrize(("after", "rate"), [(20, 77), (19, 600)])
def test_a_rate_too_soon_after_the_reset_is_ignored(after, rate):
    (stretch,) = control(
        (50, RESET), (50 + after, RESET | VALID), (51 + after, RESET), (500, RESET | ENABLE), (6500, RESET), rate=77
    )
    assert stretch.window.decimation == rate


def test_reset_loses_the_rate_and_shift_words_set_none():
    first, second = control(
        *[(50, RESET), (100, RESET | VALID), (101, RESET), (500, RESET | ENABLE), (1500, RESET)],
        *[(2000, 0), (2100, RESET), (3000, RESET | ENABLE), (9000, RESET)],
    )
    assert (first.window.decimation, second.window.decimation) == (100, 600)
    (stretch,) = control((50, RESET), (100, RESET | VALID), (101, RESET), (500, RESET | ENABLE), (9000, RESET), rate=0x101E)
    assert stretch.window.decimation == 600


@pytest.mark.parametrize(("rate", "correction"), [(4, 1.0), (2048, 1.0), (123, 1.270), (600, 1.544)])
def test_gain_as_measured(rate, correction):
    assert cic_correction(rate) == pytest.approx(correction, abs=6e-4)
    receiver = Receiver(0)
    stretches = opened(rate, [rate * 20])
    (out,) = receiver.filter(stretches, [np.full(len(stretches[0].window.sample_ticks), 0.5 + 0.25j, np.complex64)])
    assert out[CIC_SETTLING:] * cic_correction(rate) == pytest.approx(0.5 + 0.25j, rel=1e-6)
    assert abs(out[0]) < abs(out[CIC_SETTLING]) / 50, "the filter starts empty"


@pytest.mark.parametrize("cycles_per_sample", [0.02, -0.1, 0.2])
def test_settled_samples_are_the_signal_at_the_domains_times(cycles_per_sample):
    rate, n = 123, 200
    stretches = opened(rate, [n * rate, n * rate])

    def tone(ticks):
        return np.exp(2j * np.pi * cycles_per_sample * np.asarray(ticks) / rate).astype(np.complex64)

    out = Receiver(0).filter(stretches, [tone(stretch.window.sample_ticks) for stretch in stretches])
    # on the grid of its samples the filter is the alias sum of sinc^6
    response = sum(float(cic_response(np.array(cycles_per_sample + alias))) for alias in range(-20, 21))
    for stretch, samples in zip(stretches, out, strict=True):
        expected = tone(raw_sample_ticks(stretch.window.tick, rate, n)) * response / cic_correction(rate)
        assert samples[CIC_SETTLING:] == pytest.approx(expected[CIC_SETTLING:], abs=2e-5)


def test_a_window_begins_with_the_end_of_the_one_before():
    stretches = opened(100, [2000, 2000])
    ones, zeros = (np.full(20, value, np.complex64) for value in (1, 0))
    _, second = Receiver(0).filter(stretches, [ones, zeros])
    assert abs(second[0]) > 0.9 / cic_correction(100)
    assert np.all(second[CIC_SETTLING - 1 :] == 0)


def test_full_scale_and_clipping():
    words = to_words(np.array([1.0 - 1j, 3 - 3j, 0.5 + 2**-31 * 1j]))
    assert words.tolist() == [2**31 - 1 - 2**31 * 1j, 2**31 - 1 - 2**31 * 1j, 2**30 + 1j]


def test_wrong_number_of_samples_from_the_model_is_a_programming_mistake():
    with pytest.raises(ValueError, match=r"gave \[3\] samples for windows of \[20\]"):
        Receiver(0).filter(opened(100, [2000]), [np.zeros(3, np.complex64)])


def rx_program(rate, window, start_level=0x4000):
    def data(buffer, value):
        return 0x80000000 | buffer << 24 | value

    def wait(n):
        parts = []
        while n > 0xFFFFFF:
            parts.append(0x02FFFFFF)
            n -= 0xFFFFFF + 3
        return [*parts, 0x02000000 | n]

    head = [data(16, RESET), 0x02000028, data(3, rate), 0x02000004, data(16, RESET | VALID), data(16, RESET)]
    tail = [data(16, RESET), 0x02000400, 0x01000000]
    return np.array(
        [
            data(16, 0),
            data(5, start_level),
            0x02000100,
            *head,
            0x02000100,
            data(16, RESET | ENABLE),
            *wait(window - 4),
            *tail,
        ],
        np.uint32,
    )


def play(machine, words):
    run = machine.begin(words, 0.0, 0.0)
    return machine.finish(run, []), run.messages


def test_leftovers_of_a_fast_window_come_with_the_next_run():
    machine = Machine(bus=HARDWARE_BUS)
    received, messages = play(machine, rx_program(10, 175_000))
    n = len(received[0][0])
    assert 10_000 <= n < 17_500
    assert messages["warnings"][0].startswith("RX FIFO/s almost filled during sequence ")
    received, _ = play(machine, rx_program(600, 6000))
    assert len(received[0][0]) == 17_500 - n + 10
    assert set(received[0][0].tolist()) == {0x4000 << 16}


def test_fifo_overflow_loses_samples_and_says_where():
    machine = Machine(bus=HARDWARE_BUS)
    received, messages = play(machine, rx_program(4, 400_000))
    assert messages["errors"][0].startswith("RX FIFO/s full during sequence around byte address 0x")
    got = len(received[0][0]) + len(machine.read_fifos()[0][0])
    assert got < 100_000


def test_read_rx_takes_all_and_halt_and_reset_throws_away():
    machine = Machine(bus=HARDWARE_BUS)
    play(machine, rx_program(10, 175_000))
    assert len(machine.read_fifos()[0][0]) > 0
    assert len(machine.read_fifos()[0][0]) == 0
    play(machine, rx_program(10, 175_000))
    machine.halt_and_reset()
    assert machine.read(10) == 0


def test_registers_pop_the_fifo():
    machine = Machine(bus=HARDWARE_BUS)
    play(machine, rx_program(10, 175_000))
    level = machine.read(10)
    assert machine.read(13) == 0, "q, and i is still there"
    assert machine.read(11 + 16) == 0x4000 << 16, "the index counts modulo 16"
    assert machine.read(10) == level - 1
