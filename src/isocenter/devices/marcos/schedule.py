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
    TAIL_TICKS,
    WORD_FINISH,
    WORD_NOP,
)

Ints = NDArray[np.int64]
Queues = tuple[Ints, NDArray[np.uint16], Ints, Ints, Ints]
State = tuple[Ints, Ints, Ints]
Words = tuple[Ints, NDArray[np.uint32]]

_FAR_PAST = -(1 << 62)


@numba.njit(cache=True, nogil=True)
def _release(targets: NDArray[np.int64], first: int, k: int, floor: int) -> int:
    release = floor
    if k - first > MAX_OCCUPANCY:
        release = max(release, targets[k - MAX_OCCUPANCY - 1] - 1)
    if k == first or targets[k] - targets[k - 1] > MAX_DELAY + 1:
        release = max(release, targets[k] - MAX_DELAY - 4)
    return release


@numba.njit(cache=True, nogil=True, inline="always")
def _issue_two(  # noqa: PLR0915  one loop; everything in it stays in registers
    queues: Queues, pair: tuple[int, int], state: State, limit: int, floor: int, out: Words, slot: int, at: int
) -> tuple[int, int, int]:
    """``issue`` for as long as no more than the two most urgent buffers are due, which is most of the time.

    Parameters
    ----------
    pair, limit
        The two buffers; deadline of the next.
    state
        Entry, release and deadline of each buffer.
    slot, at
        Latest free cycle, and where its word goes.

    Returns
    -------
        Slot and place to go on from; -1, or the index of an entry for which no cycle is left.
    """
    targets, values, numbers, first, _ = queues
    heads, releases, deadlines = state
    cycles, words = out
    a, b = pair
    head_a, head_b = DATA_BIT | numbers[a] << 24, DATA_BIT | numbers[b] << 24
    k_a, k_b, start_a, start_b = heads[a], heads[b], first[a], first[b]
    due_a, due_b, release_a, release_b = deadlines[a], deadlines[b], releases[a], releases[b]
    below_a = targets[k_a - 1] if k_a > start_a else _FAR_PAST
    below_b = targets[k_b - 1] if k_b > start_b else _FAR_PAST
    failed = -1
    while at >= 0:
        cycle = min(slot, max(due_a, due_b))
        if cycle <= limit:
            break
        cycles[at] = cycle
        if due_b < cycle or (due_a >= cycle and (release_a > release_b or (release_a == release_b and a > b))):
            if release_a > cycle:
                failed = k_a
                break
            words[at] = head_a | (due_a + 3 - max(cycle + 3, below_a)) << 16 | values[k_a]
            k_a -= 1
            target = below_a
            below_a = targets[k_a - 1] if k_a > start_a else _FAR_PAST
            due_a, release_a = target - 4, floor  # as ``_release`` has it, with what is at hand
            if k_a - start_a > MAX_OCCUPANCY:
                release_a = max(release_a, targets[k_a - MAX_OCCUPANCY - 1] - 1)
            if target - below_a > MAX_DELAY + 1:
                release_a = max(release_a, target - MAX_DELAY - 4)
        else:
            if release_b > cycle:
                failed = k_b
                break
            words[at] = head_b | (due_b + 3 - max(cycle + 3, below_b)) << 16 | values[k_b]
            k_b -= 1
            target = below_b
            below_b = targets[k_b - 1] if k_b > start_b else _FAR_PAST
            due_b, release_b = target - 4, floor
            if k_b - start_b > MAX_OCCUPANCY:
                release_b = max(release_b, targets[k_b - MAX_OCCUPANCY - 1] - 1)
            if target - below_b > MAX_DELAY + 1:
                release_b = max(release_b, target - MAX_DELAY - 4)
        slot, at = cycle - 1, at - 1
    heads[a], heads[b], releases[a], releases[b] = k_a, k_b, release_a, release_b
    deadlines[a], deadlines[b] = due_a, due_b
    return slot, at, failed


@numba.njit(cache=True, nogil=True, inline="always")
def _sink(order: Ints, deadlines: Ints, place: int) -> None:
    """Move a buffer whose deadline is earlier now to its place among the less urgent."""
    buffer = order[place]
    while place + 1 < len(order) and deadlines[order[place + 1]] > deadlines[buffer]:
        order[place] = order[place + 1]
        place += 1
    order[place] = buffer


@numba.njit(cache=True, nogil=True)
def issue(queues: Queues, floor: int, out: Words) -> int:
    """Choose the cycle of each DATA word.

    Parameters
    ----------
    queues
        Output cycle and value of every entry, strictly increasing within each buffer; number of each buffer, its first
        entry, and the one behind its last. Three buffers at least.
    floor
        First cycle that may be used.
    out
        Out: cycle and word of every entry in order of issue.

    Returns
    -------
        -1, or the index of an entry for which no cycle is left.
    """
    targets, values, numbers, first, stop = queues
    cycles, words = out
    n = len(numbers)
    heads = stop - 1
    releases, deadlines = np.empty(n, dtype=np.int64), np.full(n, _FAR_PAST, dtype=np.int64)
    order = np.arange(n)  # buffers, latest deadline first
    for b in range(n - 1, -1, -1):
        if heads[b] >= first[b]:
            releases[b] = _release(targets, first[b], heads[b], floor)
            deadlines[b] = targets[heads[b]] - 4
        _sink(order, deadlines, b)
    slot, at = 1 << 62, len(cycles) - 1
    while at >= 0:
        slot, limit, k = min(slot, deadlines[order[0]]), deadlines[order[2]], heads[order[0]]
        if limit < slot and k > first[order[0]] and targets[k - 1] - 4 > limit:  # else it would not be for long
            state = (heads, releases, deadlines)
            slot, at, failed = _issue_two(queues, (order[0], order[1]), state, limit, floor, out, slot, at)
            if failed >= 0:
                return int(failed)
            _sink(order, deadlines, 1)
            _sink(order, deadlines, 0)
            continue
        best, place, other = order[0], 0, 1
        while other < n and deadlines[order[other]] >= slot:
            b = order[other]
            if releases[b] > releases[best] or (releases[b] == releases[best] and b > best):
                best, place = b, other
            other += 1
        k = heads[best]
        if releases[best] > slot:
            return int(k)
        loaded = slot + 3 if k == first[best] else max(slot + 3, targets[k - 1])
        cycles[at] = slot
        words[at] = DATA_BIT | numbers[best] << 24 | (targets[k] - 1 - loaded) << 16 | values[k]
        heads[best] = k - 1
        deadlines[best] = _FAR_PAST
        if k > first[best]:
            releases[best] = _release(targets, first[best], k - 1, floor)
            deadlines[best] = targets[k - 1] - 4
        slot, at = slot - 1, at - 1
        _sink(order, deadlines, place)
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
def plan(queues: Queues, floor: int, start: int, end: int, out: Words) -> tuple[int, int, int, int]:
    """Choose all cycles, and how many words that makes.

    Parameters
    ----------
    queues, floor
        See ``issue``.
    start, end
        Number of words before the DATA words; cycle by which the segment is over, unless entries are due later.
    out
        Out: see ``issue``; room for as many entries as there are places in the queues.

    Returns
    -------
        -1, or the index of an entry for which no cycle is left; entries; cycle of FINISH; words in all.
    """
    targets, _, numbers, first, stop = queues
    n, finish = 0, end
    for b in range(len(numbers)):
        if stop[b] > first[b]:
            n += stop[b] - first[b]
            finish = max(finish, targets[stop[b] - 1])
    finish += TAIL_TICKS
    cycles, words = out
    failed = issue(queues, floor, (cycles[:n], words[:n]))
    if failed >= 0:
        return failed, n, finish, 0
    return -1, n, finish, start + count_words(cycles[:n], start, finish)


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
