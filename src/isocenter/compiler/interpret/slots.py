# SPDX-License-Identifier: MIT
"""When the gradients are updated (numba)."""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.int8]

_TOLERANCE = 0.01


@numba.njit(cache=True, error_model="numpy", nogil=True)
def keep_corners(times: Floats, classes: Flags, interval: float) -> NDArray[np.bool_]:
    """Which corners get an update of their own: at least one interval apart, ends of lobes before other corners."""
    n = len(times)
    need = interval - _TOLERANCE
    kept = np.zeros(n, dtype=np.bool_)
    last = -np.inf
    for i in range(n):
        if classes[i] == 2 and times[i] - last >= need:
            kept[i] = True
            last = times[i]
    next_end = np.empty(n + 1)
    next_end[n] = np.inf
    for i in range(n - 1, -1, -1):
        next_end[i] = times[i] if kept[i] else next_end[i + 1]
    last = -np.inf
    for i in range(n):
        if not kept[i] and times[i] - last >= need and next_end[i] - times[i] >= need:
            kept[i] = True
        if kept[i]:
            last = times[i]
    return kept


@numba.njit(cache=True, error_model="numpy", nogil=True)
def fill_gap(  # noqa: C901  counts and writes in one place
    times: Floats, flags: Flags, first: int, last: int, interval: float, out: Floats, at: int
) -> int:
    """Updates strictly between two kept corners, written from ``out[at]`` on unless ``out`` is empty; returns how many."""
    start, stop = times[first], times[last]
    length = stop - start + _TOLERANCE
    if length < 2 * interval:
        return 0
    middle = first  # last corner before the stretch that has none
    while middle + 1 < last and times[middle + 1] < start + interval:
        middle += 1
    if flags[middle] & 1:
        cells = int(length / interval)
        if out.size:
            gap = out[at : at + cells - 1]  # from 0 on, so that the loop is turned into vector instructions
            for i in range(cells - 1):
                gap[i] = start + (stop - start) * (i + 1) / cells
        return cells - 1
    head = flags[first] & 2 != 0
    for i in range(first, middle):
        head = head or flags[i] & 1 != 0 or flags[i + 1] & 2 != 0
    tail = flags[last] & 2 != 0
    for i in range(middle + 1, last):
        tail = tail or flags[i] != 0
    count = 0
    if head:
        if out.size:
            out[at + count] = start + interval
        count += 1
    if tail and length >= (2 + count) * interval:
        if out.size:
            out[at + count] = stop - interval
        count += 1
    return count


@numba.njit(cache=True, error_model="numpy", nogil=True)
def centre_short(times: Floats, classes: Flags, flags: Flags, interval: float) -> tuple[Floats, Flags, Flags]:
    """Corners with each lonely short cluster replaced by cells of one interval that lie symmetrically around it.

    One cell for a short ramp or a jump, two for a whole short lobe, whose centroid two cells can still place.
    """
    n = len(times)
    out_t, out_class, out_flags = np.empty(3 * n), np.empty(3 * n, dtype=np.int8), np.empty(3 * n, dtype=np.int8)
    m, first, before = 0, 0, -np.inf
    while first < n:
        last = first
        while last + 1 < n and times[last + 1] - times[last] < 3 * interval:
            last += 1
        after = times[last + 1] if last + 1 < n else np.inf
        lonely = times[first] - before >= 4 * interval and after - times[last] >= 4 * interval
        before = times[last]
        ends = 0
        for i in range(first, last + 1):
            ends += classes[i] == 2
        cells = 2 if ends > 1 else 1
        if lonely and times[last] - times[first] < cells * interval - _TOLERANCE and flags[last] & 1 == 0:
            middle = 0.5 * (times[first] + times[last])
            for i in range(cells + 1):
                out_t[m], out_class[m], out_flags[m] = middle + (i - 0.5 * cells) * interval, 2, 1 if i < cells else 0
                m += 1
        else:
            for i in range(first, last + 1):
                out_t[m], out_class[m], out_flags[m] = times[i], classes[i], flags[i]
                m += 1
        first = last + 1
    return out_t[:m].copy(), out_class[:m].copy(), out_flags[:m].copy()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def place_slots(times: Floats, classes: Flags, flags: Flags, interval: float) -> tuple[Floats, NDArray[np.int64]]:
    """Update times common to all channels, at least one interval apart [ticks], as they are and rounded.

    Kept corners are updates; whatever ramps between two of them is filled with equal cells; a ramp shorter than the
    interval gets one cell of one interval.
    """
    n = len(times)
    if n == 0:
        return np.empty(0), np.empty(0, dtype=np.int64)
    times, classes, flags = centre_short(times, classes, flags, interval)
    n = len(times)
    end = times[-1] + 4 * interval  # so that a last corner that was not kept still lies in a cell
    times, classes = np.append(times, end), np.append(classes, np.int8(2))
    flags = np.append(flags, np.int8(0))
    kept = np.flatnonzero(keep_corners(times, classes, interval))
    nothing = np.empty(0)
    total, in_gap = len(kept), np.zeros(len(kept), dtype=np.int64)
    for i in range(len(kept) - 1):
        in_gap[i] = fill_gap(times, flags, kept[i], kept[i + 1], interval, nothing, 0)
        total += in_gap[i]
    exact, rounded = np.empty(total), np.empty(total, dtype=np.int64)
    m = 0
    for i in range(len(kept)):
        exact[m] = times[kept[i]]
        m += 1
        if in_gap[i]:
            m += fill_gap(times, flags, kept[i], kept[i + 1], interval, exact, m)
    for i in range(total):
        rounded[i] = int(np.rint(exact[i]))
    return exact, rounded


@numba.njit(cache=True, error_model="numpy", nogil=True)
def mark_busy(
    times: Floats, codes: Floats, exact: Floats, zero_slot: NDArray[np.bool_], zero_cell: NDArray[np.bool_]
) -> None:
    """Clear the marks of slots at which, and cells in which, a waveform is not zero.

    A piece of the waveform makes its cells busy from the slot at or before its start on; a corner that is a slot makes the
    slot busy when it is not zero.
    """
    n, behind = len(exact), 0  # slots up to ``behind`` lie at or before the point
    for j in range(len(times)):
        while behind < n and exact[behind] <= times[j] + 0.5:
            behind += 1
        if codes[j] != 0.0 and behind and abs(exact[behind - 1] - times[j]) < 0.5:
            zero_slot[behind - 1] = False
        if j + 1 == len(times) or (codes[j] == 0.0 and codes[j + 1] == 0.0):
            continue
        k = max(behind - 1, 0)
        while k < n and exact[k] < times[j + 1] - 0.5:
            zero_cell[k] = False
            if k >= behind:
                zero_slot[k] = False
            k += 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def last_rests(
    slot_is_zero: NDArray[np.bool_], cell_is_zero: NDArray[np.bool_], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Last slot at or before each of ``rows`` (increasing) that is at rest, -1 for none, and where that rest begins.

    Cells at rest that lead up to the slot belong to it: a slice gradient may rise before the gate does.
    """
    found, begins = np.full(len(rows), -1, dtype=np.int64), np.full(len(rows), -1, dtype=np.int64)
    i, rest, begin, first_zero = 0, -1, -1, 0  # cells from ``first_zero`` up to slot i are all at rest
    for k in range(len(rows)):
        while i <= rows[k]:
            if slot_is_zero[i] or cell_is_zero[i]:
                rest, begin = i, first_zero
            if not cell_is_zero[i]:
                first_zero = i + 1
            i += 1
        found[k], begins[k] = rest, begin
    return found, begins
