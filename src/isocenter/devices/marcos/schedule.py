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


@numba.njit(cache=True, nogil=True)
def _release(targets: NDArray[np.int64], first: int, k: int, floor: int) -> int:
    release = floor
    if k - first > MAX_OCCUPANCY:
        release = max(release, targets[k - MAX_OCCUPANCY - 1] - 1)
    if k == first or targets[k] - targets[k - 1] > MAX_DELAY + 1:
        release = max(release, targets[k] - MAX_DELAY - 4)
    return release


@numba.njit(cache=True, nogil=True)
def issue(  # noqa: C901, PLR0912, PLR0915  one loop; calls in it would cost as much as its work
    queues: tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.int64], NDArray[np.int64]],
    buffers: NDArray[np.int64],
    floor: int,
    cycles: NDArray[np.int64],
    words: NDArray[np.uint32],
) -> int:
    """Choose the cycle of each DATA word.

    Parameters
    ----------
    queues
        Output cycle and value of every entry, strictly increasing within each buffer; first entry of each buffer, and the
        one behind its last.
    buffers
        Number of each buffer.
    floor
        First cycle that may be used.
    cycles, words
        Out: cycle and word of every entry in order of issue.

    Returns
    -------
        -1, or the index of an entry for which no cycle is left.
    """
    targets, values, first, stop = queues
    n = len(buffers)
    heads = stop - 1
    releases, deadlines = np.empty(n, dtype=np.int64), np.full(n, _FAR_PAST, dtype=np.int64)
    order = np.arange(n)  # buffers, latest deadline first
    for b in range(n):
        if heads[b] >= first[b]:
            releases[b] = _release(targets, first[b], heads[b], floor)
            deadlines[b] = targets[heads[b]] - 4
        place = b
        while place > 0 and deadlines[order[place - 1]] < deadlines[b]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = b
    slot, out = 1 << 62, len(cycles) - 1
    while out >= 0:
        best, place = order[0], 0
        slot = min(slot, deadlines[best])
        following = deadlines[order[1]] if n > 1 else _FAR_PAST
        if following < slot:  # this buffer alone until another comes due
            k, start, release = heads[best], first[best], releases[best]
            head = DATA_BIT | buffers[best] << 24
            while True:
                if release > slot:
                    return int(k)
                below = targets[k - 1] if k > start else _FAR_PAST
                words[out] = head | (targets[k] - 1 - max(slot + 3, below)) << 16 | values[k]
                cycles[out] = slot
                out, k, slot = out - 1, k - 1, slot - 1
                deadlines[best] = _FAR_PAST
                if k < start:
                    break
                release = floor  # as ``_release`` has it, with what is at hand
                if k - start > MAX_OCCUPANCY:
                    release = max(release, targets[k - MAX_OCCUPANCY - 1] - 1)
                if k == start or below - targets[k - 1] > MAX_DELAY + 1:
                    release = max(release, below - MAX_DELAY - 4)
                if out < 0 or following >= min(slot, below - 4):
                    deadlines[best] = below - 4
                    break
                slot = min(slot, below - 4)
            heads[best], releases[best] = k, release
        else:
            other = 1
            while other < n and deadlines[order[other]] >= slot:
                b = order[other]
                if releases[b] > releases[best] or (releases[b] == releases[best] and b > best):
                    best, place = b, other
                other += 1
            k = heads[best]
            if releases[best] > slot:
                return int(k)
            loaded = slot + 3 if k == first[best] else max(slot + 3, targets[k - 1])
            cycles[out] = slot
            words[out] = DATA_BIT | buffers[best] << 24 | (targets[k] - 1 - loaded) << 16 | values[k]
            heads[best] = k - 1
            deadlines[best] = _FAR_PAST
            if k > first[best]:
                releases[best] = _release(targets, first[best], k - 1, floor)
                deadlines[best] = targets[k - 1] - 4
            slot, out = slot - 1, out - 1
        while place + 1 < n and deadlines[order[place + 1]] > deadlines[best]:
            order[place] = order[place + 1]
            place += 1
        order[place] = best
    return -1


@numba.njit(cache=True, nogil=True)
def _gap_words(gap: int) -> int:
    if gap <= MAX_WAIT_CYCLES:  # as good as all
        return 1 if gap >= MIN_WAIT_CYCLES else gap
    rest = gap % MAX_WAIT_CYCLES
    n: int = gap // MAX_WAIT_CYCLES + (1 if rest >= MIN_WAIT_CYCLES else rest)
    return n


@numba.njit(cache=True, nogil=True)
def count_words(cycles: NDArray[np.int64], start: int, finish: int) -> int:
    """Words that ``assemble`` will write from cycle ``start`` to FINISH in cycle ``finish``."""
    n, now = 1, start
    for i in range(len(cycles)):
        n += _gap_words(cycles[i] - now) + 1
        now = cycles[i] + 1
    total: int = n + _gap_words(finish - now)
    return total


@numba.njit(cache=True, nogil=True)
def _fill_gap(out: NDArray[np.uint32], at: int, gap: int) -> int:
    while gap >= MIN_WAIT_CYCLES:
        length = min(gap, MAX_WAIT_CYCLES)
        out[at] = OPCODE_WAIT | (length - MIN_WAIT_CYCLES)
        at, gap = at + 1, gap - length
    for _ in range(gap):
        out[at] = WORD_NOP
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def assemble(cycles: NDArray[np.int64], words: NDArray[np.uint32], start: int, finish: int, out: NDArray[np.uint32]) -> None:
    """Write the DATA words with the waits between them, and FINISH."""
    at, now = 0, start
    for i in range(len(cycles)):
        at = _fill_gap(out, at, cycles[i] - now)
        out[at] = words[i]
        at, now = at + 1, cycles[i] + 1
    at = _fill_gap(out, at, finish - now)
    out[at] = WORD_FINISH


@numba.njit(cache=True, nogil=True)
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
