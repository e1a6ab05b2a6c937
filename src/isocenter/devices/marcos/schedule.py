# SPDX-License-Identifier: MIT
"""The two loops of the encoder, compiled by numba: when each word is issued, and the words with the waits between them.

The sequencer issues one word a cycle and each buffer delays its entries by up to 127 cycles, so changes that are
simultaneous at the pins are issued one after the other and meet again in the buffers. With T the output cycle of an
entry and c the cycle of its word (reference marcos.md 6.2)

    loaded = max(c + 3, T_previous)      T = loaded + 1 + delay      it occupies the queue in cycles c + 2 ... loaded

delay 0 ... 127 and at most three waiting entries mean, for the k-th entry of a buffer,

    c <= T_k - 4      c >= T_(k-4) - 1      c >= T_k - 131 unless T_k - T_(k-1) <= 128

All three follow from the wanted output cycles alone. So this is the scheduling of unit jobs with release times and
deadlines on one machine, for which taking the most urgent job first is optimal: if any program plays the table, this
one does. It runs backward in time, so that words are issued as late as possible and delays stay small.

The compiled code is cached beside this file, with the constants of ``isa`` in it: after changing those, touch this file.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos.isa import (
    DATA_BIT,
    MAX_DELAY,
    MAX_OCCUPANCY,
    MAX_WAIT_CYCLES,
    MIN_WAIT_CYCLES,
    OPCODE_WAIT,
    WORD_FINISH,
    WORD_NOP,
)

_FAR_PAST = -(1 << 62)


@numba.njit(cache=True)
def _release(targets: NDArray[np.int64], first: int, k: int, floor: int) -> int:
    release = floor
    if k - first > MAX_OCCUPANCY:
        release = max(release, targets[k - MAX_OCCUPANCY - 1] - 1)
    if k == first or targets[k] - targets[k - 1] > MAX_DELAY + 1:
        release = max(release, targets[k] - MAX_DELAY - 4)
    return release


@numba.njit(cache=True)
def issue(
    targets: NDArray[np.int64],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    buffers: NDArray[np.int64],
    floor: int,
    cycles: NDArray[np.int64],
    words: NDArray[np.uint32],
) -> int:
    """Choose the cycle of each DATA word.

    Parameters
    ----------
    targets, values
        Output cycle and value of every entry, buffer after buffer, strictly increasing within each.
    starts, buffers
        Where each buffer's entries start in ``targets`` (one more for the end), and its number.
    floor
        First cycle that may be used.
    cycles, words
        Out: cycle and word of every entry in order of issue.

    Returns
    -------
        -1, or the index in ``targets`` of an entry for which no cycle is left.
    """
    n_buffers = len(buffers)
    heads = starts[1:] - 1
    releases = np.empty(n_buffers, dtype=np.int64)
    deadlines = np.full(n_buffers, _FAR_PAST, dtype=np.int64)
    for b in range(n_buffers):
        if heads[b] >= starts[b]:
            releases[b] = _release(targets, starts[b], heads[b], floor)
            deadlines[b] = targets[heads[b]] - 4
    slot = 1 << 62
    for out in range(len(targets) - 1, -1, -1):
        latest = _FAR_PAST
        for b in range(n_buffers):  # a loop: cheaper here than numpy's maximum
            latest = max(latest, deadlines[b])
        slot = min(slot, latest)
        best, strictest = -1, _FAR_PAST
        for b in range(n_buffers - 1, -1, -1):
            if deadlines[b] >= slot and releases[b] > strictest:
                best, strictest = b, releases[b]
        if strictest > slot:
            return int(heads[best])
        k, first = heads[best], starts[best]
        loaded = slot + 3 if k == first else max(slot + 3, targets[k - 1])
        cycles[out] = slot
        words[out] = DATA_BIT | buffers[best] << 24 | (targets[k] - 1 - loaded) << 16 | values[k]
        heads[best] = k - 1
        if k > first:
            releases[best] = _release(targets, first, k - 1, floor)
            deadlines[best] = targets[k - 1] - 4
        else:
            deadlines[best] = _FAR_PAST
        slot -= 1
    return -1


@numba.njit(cache=True)
def _gap_words(gap: int) -> int:
    rest = gap % MAX_WAIT_CYCLES
    n: int = gap // MAX_WAIT_CYCLES + (1 if rest >= MIN_WAIT_CYCLES else rest)
    return n


@numba.njit(cache=True)
def count_words(cycles: NDArray[np.int64], start: int, finish: int) -> int:
    """Words that ``assemble`` will write from cycle ``start`` to FINISH in cycle ``finish``."""
    n, now = 1, start
    for i in range(len(cycles)):
        n += _gap_words(cycles[i] - now) + 1
        now = cycles[i] + 1
    total: int = n + _gap_words(finish - now)
    return total


@numba.njit(cache=True)
def _fill_gap(out: NDArray[np.uint32], at: int, gap: int) -> int:
    while gap >= MIN_WAIT_CYCLES:
        length = min(gap, MAX_WAIT_CYCLES)
        out[at] = OPCODE_WAIT | (length - MIN_WAIT_CYCLES)
        at, gap = at + 1, gap - length
    for _ in range(gap):
        out[at] = WORD_NOP
        at += 1
    return at


@numba.njit(cache=True)
def assemble(cycles: NDArray[np.int64], words: NDArray[np.uint32], start: int, finish: int, out: NDArray[np.uint32]) -> None:
    """Write the DATA words with the waits between them, and FINISH."""
    at, now = 0, start
    for i in range(len(cycles)):
        at = _fill_gap(out, at, cycles[i] - now)
        out[at] = words[i]
        at, now = at + 1, cycles[i] + 1
    at = _fill_gap(out, at, finish - now)
    out[at] = WORD_FINISH


@numba.njit(cache=True)
def refill_shortage(
    cycles: NDArray[np.int64], start: int, n_words: int, memory: int, reserve: int, words_per_cycle: float
) -> int:
    """Cycle at which a program longer than the memory runs faster than the server can refill it, or -1.

    The server starts with a full memory and refills behind the program counter at ``words_per_cycle``; ``reserve`` words
    must always be left until everything has been copied.
    """
    ahead, executed, now = float(memory), 0.0, start
    for cycle in cycles:
        step = _gap_words(cycle - now) + 1
        executed += step
        ahead = min(ahead - step + (cycle + 1 - now) * words_per_cycle, float(memory))
        now = cycle + 1
        if executed + ahead >= n_words:
            return -1
        if ahead < reserve:
            return int(cycle)
    return -1


@numba.njit(cache=True)
def _next_tick(ticks: NDArray[np.int64], starts: NDArray[np.int64], heads: NDArray[np.int64]) -> tuple[int, int]:
    tick, n = 1 << 62, 0
    for channel in range(3):
        if heads[channel] < starts[channel + 1]:
            mine = ticks[heads[channel]]
            if mine < tick:
                tick, n = mine, 1
            elif mine == tick:
                n += 1
    return tick, n


@numba.njit(cache=True)
def _frame(is_ocra: bool, channel: int, code: int, is_last: bool) -> int:
    """Gradient word for a signed DAC code: AD5781 frame with channel and broadcast, or DAC80504 frame (marcos.md 11)."""
    if is_ocra:
        return (code & 0x3FFFF) << 2 | 0x0010_0000 | channel << 25 | (0x0100_0000 if is_last else 0)
    return (code + 0x8000) | 0x0008_0000 | channel << 16 | channel << 25


@numba.njit(cache=True)
def merge_gradients(
    ticks: NDArray[np.int64],
    codes: NDArray[np.int32],
    starts: NDArray[np.int64],
    is_ocra: bool,
    spacing: int,
    targets: NDArray[np.int64],
    frames: NDArray[np.uint32],
) -> tuple[int, int]:
    """Merge the three gradient channels into transfers on the board's serial line.

    Parameters
    ----------
    ticks, codes
        Changes of all channels, channel after channel, each strictly increasing and without repeats.
    starts
        Where each channel starts, and the end, shape ``(4,)``.
    is_ocra, spacing
        Which board; least ticks between two transfers.
    targets, frames
        Out: tick and 32-bit gradient word in order of time. On an OCRA1, channels that change together are stored one
        and two ticks early and sent by the broadcast of the last.

    Returns
    -------
        -1 and 0, or a tick at which two transfers are too close and the distance to the one before.
    """
    heads = starts[:3].copy()
    last, out = _FAR_PAST, 0
    while out < len(ticks):
        tick, n = _next_tick(ticks, starts, heads)
        if n > 1 and not is_ocra:
            return tick, 0
        if tick - (n - 1) - last < spacing:  # also a word that is only stored must find the line free
            return tick, tick - last
        for channel in range(2, -1, -1):  # the first channel last: it carries the broadcast
            if heads[channel] < starts[channel + 1] and ticks[heads[channel]] == tick:
                n -= 1
                targets[out] = tick - n
                frames[out] = _frame(is_ocra, channel, codes[heads[channel]], n == 0)
                heads[channel] += 1
                out += 1
        last = tick
    return -1, 0
