# SPDX-License-Identifier: MIT
"""Words to cycles: against a model that walks cycle by cycle, and the rules that the captures do not reach."""

import time

import numpy as np
import pytest

from isocenter.virtual.console.timing import ENDLESS, FINISHED, HALTED, decode, locate

FINISH, NOP = 0x01000000, 0
HARDWARE = 20.5


def data(buffer, value, delay=0):
    return 0x80000000 | buffer << 24 | delay << 16 | value


def wait(n):
    return 0x02000000 | n


def run(*words, memory=None, ticks_per_word=HARDWARE):
    memory = np.zeros(65536, np.uint32) if memory is None else memory
    return decode(np.array(words, np.uint32), memory, ticks_per_word)


def events(decoded, buffer):
    return list(zip(decoded.ticks[buffer].tolist(), decoded.values[buffer].tolist(), strict=True))


def walk(words, n_cycles):
    """Cycle by cycle: four ring slots a buffer, two pointers, one loader. Full and overflow masks, output changes."""
    schedule, cycle = {}, 0
    for word in words:
        if word >> 31:
            schedule[cycle + 2] = (word >> 24 & 0x1F, word >> 16 & 0x7F, word & 0xFFFF)
        elif word >> 24 == 1:
            break
        cycle += (word & 0xFFFFFF) + 3 if word >> 24 == 2 else 1
    rings = [[None] * 4 for _ in range(24)]
    read, write, count = [0] * 24, [0] * 24, [0] * 24
    timer, pending, popped = [None] * 24, [None] * 24, [False] * 24
    changes, full, overflow = [[] for _ in range(24)], 0, 0
    for now in range(n_cycles):
        for b in range(24):
            if popped[b]:
                read[b], count[b], popped[b] = (read[b] + 1) % 4, count[b] - 1, False
        if now in schedule:
            b, delay, value = schedule[now]
            if b < 24:
                rings[b][write[b]] = (delay, value)
                write[b] = (write[b] + 1) % 4
                overflow |= (count[b] == 4) << b
                count[b] = 1 if count[b] == 4 else count[b] + 1
                full |= (count[b] == 4) << b
                fresh = (b, now)
        for b in range(24):
            if timer[b] == now:
                changes[b].append((now, pending[b]))
                timer[b] = None
            can_see = count[b] > (1 if now in schedule and fresh == (b, now) else 0)
            if timer[b] is None and can_see:
                delay, pending[b] = rings[b][read[b]]
                timer[b], popped[b] = now + 1 + delay, True
    return changes, full, overflow


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_equal_the_cycle_by_cycle_model(seed):
    rng = np.random.default_rng(seed)
    words = []
    for _ in range(120):
        kind = rng.random()
        if kind < 0.75:
            delay = int(rng.integers(0, 4)) if seed % 2 else int(rng.integers(0, 24))
            words.append(data(int(rng.integers(0, 3 + seed % 4)), int(rng.integers(0, 65536)), delay))
        elif kind < 0.9:
            words.append(wait(int(rng.integers(0, 30 if seed % 3 else 3))))
        else:
            words.append(NOP)
    words = [*words, wait(700), FINISH]
    changes, full, overflow = walk(words, 4000)
    decoded = decode(np.array(words, np.uint32), np.zeros(65536, np.uint32), HARDWARE)
    if overflow:  # the server may stop it; what was put out before is the same
        assert decoded.overflow_mask & overflow
        for b in range(24):
            got = events(decoded, b)
            assert got == changes[b][: len(got)]
    else:
        assert (decoded.full_mask, decoded.overflow_mask) == (full, 0)
        assert [events(decoded, b) for b in range(24)] == changes


def test_delay_has_seven_bits_and_buffer_five():
    decoded = run(data(15, 1, delay=128), wait(300), data(47, 2, delay=127), data(24, 3), FINISH)
    assert events(decoded, 15) == [(4, 1), (304 + 4 + 127, 2)]
    assert sum(map(len, decoded.ticks)) == 2


def test_trigger_times_out_and_unknown_opcodes_do_nothing():
    decoded = run(0x03000000 | 1000, 0x7F000005, data(15, 7), FINISH)
    assert events(decoded, 15) == [(1003 + 1 + 4, 7)]
    assert decoded.finish_tick == 1005


@pytest.mark.parametrize("words", [(NOP,), (data(15, 1), 0x04000000, FINISH)], ids=["no finish", "trigger that never comes"])
def test_what_cannot_end_is_recognised(words):
    assert run(*words).status == ENDLESS


def test_memory_stays_and_wraps():
    memory = np.zeros(65536, np.uint32)
    memory[65535] = FINISH
    decoded = run(data(15, 9), memory=memory)
    assert (decoded.status, decoded.finish_tick) == (FINISHED, 65535)
    assert events(run(memory=memory), 15) == [(4, 9)], "an empty program runs the old one"


def long_program(n, cycles_per_pair):
    words = np.empty(n, np.uint32)
    words[0::2] = 0x8F000000 | (np.arange(0, n, 2) // 2 & 0xFFFF)
    words[1::2] = wait(cycles_per_pair - 4)
    words[-1] = FINISH
    return words


def test_long_program_is_streamed():
    decoded = decode(long_program(200_000, 60), np.zeros(65536, np.uint32), HARDWARE)
    assert (decoded.status, decoded.underrun_pc, decoded.n_low, decoded.n_not_copied) == (FINISHED, -1, 0, 0)
    assert np.array_equal(decoded.ticks[15], np.arange(99_999 + 1) * 60 + 4)
    assert np.array_equal(decoded.values[15], np.arange(100_000) & 0xFFFF)


@pytest.mark.parametrize(("cycles", "ticks_per_word", "underruns"), [(4, 2.5, True), (6, 2.5, False), (20, HARDWARE, True)])
def test_dense_program_underruns_as_measured(cycles, ticks_per_word, underruns):
    decoded = decode(long_program(400_000, cycles), np.zeros(65536, np.uint32), ticks_per_word)
    assert (decoded.underrun_pc >= 0) == underruns
    assert (decoded.status == HALTED) == underruns, "a halt is obeyed at the next WAIT"


def test_finish_before_the_whole_program_is_copied():
    words = long_program(200_000, 60)
    words[100_000] = FINISH
    decoded = decode(words, np.zeros(65536, np.uint32), HARDWARE)
    assert decoded.status == FINISHED
    assert 0 < decoded.n_not_copied <= 200_000 - 100_000


def test_overflow_is_stopped_at_a_wait():
    words = [data(15, 0, delay=60)] + [data(15, k) for k in range(8)] + [wait(2000), data(14, 5), wait(2000), FINISH]
    decoded = run(*words)
    assert decoded.status == HALTED
    assert decoded.overflow_mask == 1 << 15
    assert len(decoded.ticks[14]) == 0


def test_locate_follows_the_program_counter():
    words = np.array([data(15, 1), wait(30), NOP, FINISH], np.uint32)
    memory = np.zeros(65536, np.uint32)
    assert [locate(words, memory, tick) for tick in (0, 1, 33, 34, 35, 99)] == [
        (2, 0),
        (3, 2),
        (3, 2),
        (2, 2),
        (8, 3),
        (8, 3),
    ]


def test_a_million_words_take_less_than_half_a_second():
    words, memory = long_program(1_000_000, 60), np.zeros(65536, np.uint32)
    decode(words[:10], memory, HARDWARE)  # compiled
    best = min(timed(words, memory) for _ in range(3))
    assert best < 0.5, "two million words a second of the processor at least"


def timed(words, memory):
    start = time.thread_time()
    decode(words, memory, HARDWARE)
    return time.thread_time() - start
