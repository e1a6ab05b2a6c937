# SPDX-License-Identifier: MIT
"""An event table as the entries of the sequencer's output buffers, in loops compiled by numba.

Channels come one after the other in the order of ``domain.events.CHANNELS``. A refusal is a code here; words are found for
it in ``queues``. The compiled code is cached with the constants of ``isa`` in it: after changing those, touch this file.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos.isa import (
    CIC_SHIFT_ADDRESS,
    GATE_RX_BIT,
    GATE_TX_BIT,
    LEDS_SHIFT,
    LO_HOLD_BIT,
    LO_RESET_TICK,
    PIN_CYCLE_OFFSET,
    RX0_ENABLE_BIT,
    RX0_RATE_VALID_BIT,
    RX0_RESET_N_BIT,
    RX1_SHIFT,
    RX_RESET_SETTLE_TICKS,
    TRIGGER_BIT,
)

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Values = NDArray[np.uint16]
Queues = tuple[Ints, Values, Ints, Ints]

TX0_I, TX0_Q, GRAD_X, RX_RATE, RX_ENABLE, TX_GATE, RX_GATE, TRIGGER, LEDS, RX1_RATE, RX1_ENABLE = (
    0,
    1,
    2,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
)

BUFFERS = (1, 2, 3, 5, 6, 9, 10, 15, 16, 4)
"""The buffers that are filled, in this order: see ``isa.Buffer``."""
_LSB, _MSB, _RATE, _TX, _LO_LSB, _LO_MSB, _GATES, _RX_CTRL, _RATE1 = 0, 1, 2, 3, 5, 6, 7, 8, 9

FINE, TOO_CLOSE, RATE_TWICE, TOO_EARLY = 0, 1, 2, 3

_TX_REGISTER = 1  # TX outputs pass one register more than all others
_NEVER = 1 << 62


@numba.njit(cache=True, nogil=True)
def is_sound(ticks: Ints, values: Codes, bounds: Ints, end_tick: int, limits: Ints) -> bool:
    """Whether every channel is in order, in range, within the segment and zero at its end; ``limits`` has a row for each."""
    for channel in range(len(bounds) - 1):
        low, high = limits[channel, 0], limits[channel, 1]
        first, stop = bounds[channel], bounds[channel + 1]
        for i in range(first, stop):
            if values[i] < low or values[i] > high or (i > first and ticks[i] <= ticks[i - 1]):
                return False
        is_setting = channel in (RX_RATE, RX1_RATE)
        if stop > first and (ticks[stop - 1] >= end_tick or (not is_setting and values[stop - 1] != 0)):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _merge_bits(
    ticks: Ints, values: NDArray[np.int64], spans: Ints, factors: Ints, out: tuple[Ints, Values], at: int
) -> int:
    """Several signals that share the bits of one buffer: where their sum changes. Returns the end of what is written."""
    heads, current = spans[:, 0].copy(), np.zeros(len(spans), dtype=np.int64)
    held = 0
    while True:
        now = _NEVER
        for part in range(len(spans)):
            if heads[part] < spans[part, 1]:
                now = min(now, ticks[heads[part]])
        if now == _NEVER:
            return at
        total = 0
        for part in range(len(spans)):
            if heads[part] < spans[part, 1] and ticks[heads[part]] == now:
                current[part] = values[heads[part]]
                heads[part] += 1
            total += current[part] * factors[part]
        if total != held:
            out[0][at], out[1][at] = now + PIN_CYCLE_OFFSET, np.uint16(total)
            at, held = at + 1, total


@numba.njit(cache=True, nogil=True)
def _frame(is_ocra: bool, channel: int, code: int, is_last: bool) -> int:
    """Gradient word for a signed DAC code: AD5781 frame with channel and broadcast, or DAC80504 frame (marcos.md 11)."""
    if is_ocra:
        return (code & 0x3FFFF) << 2 | 0x0010_0000 | channel << 25 | (0x0100_0000 if is_last else 0)
    return (code + 0x8000) | 0x0008_0000 | channel << 16 | channel << 25


@numba.njit(cache=True, nogil=True)
def _gradients(  # noqa: C901, PLR0912  one pass over three channels
    ticks: Ints, values: Codes, bounds: Ints, board: tuple[bool, int, int], queues: Queues
) -> tuple[int, int, int]:
    """Merge the three gradient channels into transfers on the board's serial line.

    ``board`` is (is an OCRA1, least ticks between two transfers, ticks from a word's output to the DAC's). On an OCRA1,
    channels that change together are stored one and two ticks early and sent by the broadcast of the last. Halves of words
    that stay the same are left out: a write to the other half is enough to send the word.
    """
    is_ocra, spacing, latency = board
    cycles, out, first, stop = queues
    heads, ends = bounds[GRAD_X : GRAD_X + 3].copy(), bounds[GRAD_X + 1 : GRAD_X + 4]
    held = np.zeros(3, dtype=np.int32)
    low, high = first[_LSB], first[_MSB]
    last, held_low, held_high = -_NEVER, 0, 0
    while True:
        tick, n = _NEVER, 0
        for channel in range(3):
            k = heads[channel]
            while k < ends[channel] and values[k] == held[channel]:
                k += 1
            heads[channel] = k
            if k < ends[channel]:
                if ticks[k] < tick:
                    tick, n = ticks[k], 1
                elif ticks[k] == tick:
                    n += 1
        if n == 0:
            stop[_LSB], stop[_MSB] = low, high
            return FINE, 0, 0
        if n > 1 and not is_ocra:
            return TOO_CLOSE, tick, 0
        if tick - (n - 1) - last < spacing:  # also a word that is only stored must find the line free
            return TOO_CLOSE, tick, tick - last
        for channel in range(2, -1, -1):  # the first channel last: it carries the broadcast
            k = heads[channel]
            if k < ends[channel] and ticks[k] == tick:
                n -= 1
                held[channel] = values[k]
                heads[channel] = k + 1
                frame = _frame(is_ocra, channel, values[k], n == 0)
                cycle = tick - n + PIN_CYCLE_OFFSET - latency
                if frame & 0xFFFF != held_low:
                    held_low = frame & 0xFFFF
                    cycles[low], out[low] = cycle, np.uint16(held_low)
                    low += 1
                if frame >> 16 != held_high:
                    held_high = frame >> 16
                    cycles[high], out[high] = cycle, np.uint16(held_high)
                    high += 1
        last = tick


@numba.njit(cache=True, nogil=True)
def _rates(ticks: Ints, values: Codes, span: tuple[int, int], cic_shift: bool, queues: Queues, queue: int) -> int:
    """Every rate is written anew, also one that stays: the strobe clears the filter. -1, or where two are too close.

    ``span`` is the rate's part of the table, ``queue`` the place of its buffer.
    """
    cycles, out, first, stop = queues
    at, length, before = first[queue], 2 if cic_shift else 1, -_NEVER
    for k in range(span[0], span[1]):
        if values[k] <= 0:
            continue
        if ticks[k] - before <= length:
            return int(ticks[k])
        before = ticks[k]
        if cic_shift:
            gain_bits = 6.0 * math.log2(4096.0 / values[k])  # reference marcos.md 10
            cycles[at], out[at] = ticks[k] + PIN_CYCLE_OFFSET, np.uint16(CIC_SHIFT_ADDRESS | math.floor(gain_bits))
            at += 1
        cycles[at], out[at] = ticks[k] + length - 1 + PIN_CYCLE_OFFSET, np.uint16(values[k])
        at += 1
    stop[queue] = at
    return -1


@numba.njit(cache=True, nogil=True)
def _one_receiver(
    ticks: Ints, values: Codes, span: tuple[int, int], step: int, queues: Queues, queue: int, out: tuple[Ints, Ints], at: int
) -> int:
    """Ticks and levels of one receiver's three signals, one after the other; returns the end of what is written."""
    cycles, _, first, stop = queues
    tick, level = out
    tick[at], level[at] = LO_RESET_TICK, 1
    at += 1
    for k in range(first[queue], stop[queue], step):
        rate = cycles[k] - PIN_CYCLE_OFFSET
        tick[at], level[at], tick[at + 1], level[at + 1] = rate, 1, rate + step, 0
        at += 2
    for k in range(span[0], span[1]):
        tick[at], level[at] = ticks[k], values[k]
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _receiver_control(ticks: Ints, values: Codes, bounds: Ints, cic_shift: bool, queues: Queues) -> None:
    """Reset released, rates taken over, receiver on; the same for the second receiver where the table uses it."""
    cycles, out, first, stop = queues
    step = 2 if cic_shift else 1
    room = 2 + 2 * (stop[_RATE] - first[_RATE] + stop[_RATE1] - first[_RATE1])
    room += bounds[RX_ENABLE + 1] - bounds[RX_ENABLE] + bounds[RX1_ENABLE + 1] - bounds[RX1_ENABLE]
    at, level = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    n_receivers = 1 if bounds[RX1_RATE] == bounds[RX1_ENABLE + 1] else 2
    spans, factors = np.empty((3 * n_receivers, 2), dtype=np.int64), np.empty(3 * n_receivers, dtype=np.int64)
    end = 0
    for receiver in range(n_receivers):
        queue, channel = (_RATE, RX_ENABLE) if receiver == 0 else (_RATE1, RX1_ENABLE)
        span = (bounds[channel], bounds[channel + 1])
        n_rates = (stop[queue] - first[queue]) // step
        # Element by element: a slice or a literal array here would take numba seconds to compile.
        row, shift = 3 * receiver, receiver * RX1_SHIFT
        spans[row, 0], spans[row, 1], factors[row] = end, end + 1, RX0_RESET_N_BIT << shift
        spans[row + 1, 0], spans[row + 1, 1] = end + 1, end + 1 + 2 * n_rates
        end = _one_receiver(ticks, values, span, step, queues, queue, (at, level), end)
        spans[row + 2, 0], spans[row + 2, 1] = spans[row + 1, 1], end
        factors[row + 1], factors[row + 2] = RX0_RATE_VALID_BIT << shift, RX0_ENABLE_BIT << shift
    stop[_RX_CTRL] = _merge_bits(at, level, spans, factors, (cycles, out), first[_RX_CTRL])


@numba.njit(cache=True, nogil=True)
def places(bounds: Ints, first: Ints) -> int:
    """Where each queue may start, so that none runs into the next; returns the room for all."""
    n = bounds[1:] - bounds[:-1]
    n_gradient = n[GRAD_X] + n[GRAD_X + 1] + n[GRAD_X + 2]
    n_gates = n[TX_GATE] + n[RX_GATE] + n[TRIGGER] + n[LEDS]
    n_control = 2 + 2 * n[RX_RATE] + n[RX_ENABLE] + 2 * n[RX1_RATE] + n[RX1_ENABLE]
    room = 0
    sizes = (n_gradient, n_gradient, 2 * n[RX_RATE], n[TX0_I], n[TX0_Q], 1, 2, n_gates, n_control, 2 * n[RX1_RATE])
    for queue in range(len(sizes)):
        first[queue] = room
        room += sizes[queue]
    return int(room)


@numba.njit(cache=True, nogil=True)
def fill(
    table: tuple[Ints, Codes, Ints],
    board: tuple[bool, int, int],
    oscillator: tuple[int, bool],
    cic_shift: bool,
    queues: Queues,
) -> tuple[int, int, int]:
    """Fill the queues of all buffers.

    Parameters
    ----------
    table
        Ticks and values of all channels, sound, and where each channel starts and the last ends.
    board
        See ``_gradients``.
    oscillator
        Its step; True to set its phase to zero, False to let it run on.
    queues
        Out: output cycles and values of all entries; first and last-but-one entry of each of ``BUFFERS``. ``first`` is as
        ``places`` made it.

    Returns
    -------
        ``FINE``; or ``TOO_CLOSE`` with tick and distance of a gradient update; ``RATE_TWICE`` with a tick and the receiver;
        ``TOO_EARLY``
        with the place of a buffer in ``BUFFERS`` and the missing ticks.
    """
    ticks, values, bounds = table
    cycles, out, first, stop = queues
    code, a, b = _gradients(ticks, values, bounds, board, queues)
    if code != FINE:
        return code, a, b
    for receiver in range(2):
        queue, channel = (_RATE, RX_RATE) if receiver == 0 else (_RATE1, RX1_RATE)
        where = _rates(ticks, values, (bounds[channel], bounds[channel + 1]), cic_shift, queues, queue)
        if where >= 0:
            return RATE_TWICE, where, receiver
    for channel in (TX0_I, TX0_Q):
        at, held = first[_TX + channel], np.int32(0)
        for k in range(bounds[channel], bounds[channel + 1]):
            if values[k] != held:
                held = values[k]
                cycles[at], out[at] = ticks[k] + PIN_CYCLE_OFFSET - _TX_REGISTER, np.uint16(held & 0xFFFF)
                at += 1
        stop[_TX + channel] = at
    lo_step, sets_phase = oscillator
    start, low, high = LO_RESET_TICK + PIN_CYCLE_OFFSET, first[_LO_LSB], first[_LO_MSB]
    cycles[low], out[low], stop[_LO_LSB] = start, np.uint16(lo_step & 0xFFFF), low + 1
    cycles[high], out[high] = start, np.uint16(lo_step >> 16 | (LO_HOLD_BIT if sets_phase else 0))
    cycles[high + 1], out[high + 1], stop[_LO_MSB] = start + 1, np.uint16(lo_step >> 16), high + 2
    offset = bounds[TX_GATE]
    spans, factors = np.empty((4, 2), dtype=np.int64), np.empty(4, dtype=np.int64)
    for k in range(4):
        spans[k, 0], spans[k, 1] = bounds[TX_GATE + k] - offset, bounds[TX_GATE + k + 1] - offset
    factors[0], factors[1], factors[2], factors[3] = GATE_TX_BIT, GATE_RX_BIT, TRIGGER_BIT, 1 << LEDS_SHIFT
    gates = values[bounds[TX_GATE] : bounds[LEDS + 1]].astype(np.int64)
    stop[_GATES] = _merge_bits(ticks[offset:], gates, spans, factors, (cycles, out), first[_GATES])
    _receiver_control(ticks, values, bounds, cic_shift, queues)
    for queue in range(len(first)):
        earliest = start + (2 * RX_RESET_SETTLE_TICKS if queue in (_RATE, _RATE1) else 0)
        if stop[queue] > first[queue] and cycles[first[queue]] < earliest:
            return TOO_EARLY, queue, earliest - cycles[first[queue]]
    return FINE, 0, 0


@numba.njit(cache=True, nogil=True)
def windows_agree(
    table: tuple[Ints, Codes, Ints],
    starts: Ints,
    decimation: Codes,
    n_raw: Codes,
    least: int,
    fifo: tuple[float, float],
) -> bool:
    """Whether the receiver's windows, rates and readouts agree and its FIFO holds; ``receive`` says what does not.

    Parameters
    ----------
    starts, decimation, n_raw
        Of the readouts.
    least
        Smallest decimation.
    fifo
        Samples that may wait, ticks in which one is read.
    """
    ticks, values, bounds = table
    rate, rate_end, row, opened = bounds[RX_RATE], bounds[RX_RATE + 1], 0, np.int64(-1)
    held, level, now = np.int32(0), 0.0, 0.0
    limit, per_sample = fifo
    for k in range(bounds[RX_ENABLE], bounds[RX_ENABLE + 1]):
        if values[k] == held:
            continue
        held = values[k]
        if held:
            opened = ticks[k]
            continue
        if row >= len(starts):
            return False
        while rate < rate_end and ticks[rate] < opened:
            rate += 1
        length = np.int64(n_raw[row]) * decimation[row]
        if opened != starts[row] or ticks[k] - opened != length or decimation[row] < least:
            return False
        if rate == bounds[RX_RATE] or values[rate - 1] != decimation[row]:
            return False
        if row:
            level = max(0.0, level - (opened - now) / per_sample)
        level += n_raw[row] * max(0.0, 1.0 - decimation[row] / per_sample)
        now = float(opened + length)
        if level > limit:
            return False
        row += 1
    return row == len(starts)
