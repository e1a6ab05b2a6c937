# SPDX-License-Identifier: MIT
"""RF envelopes turned by their phase and frequency, as transmitter codes (numba)."""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]

_FULL = 32767


@numba.njit(cache=True, nogil=True)
def put(out: tuple[Ints, Codes], m: int, tick: int, code: int) -> int:
    """One change, unless it is none; a second one at a tick replaces the first."""
    ticks, codes = out
    if m and ticks[m - 1] >= tick:
        m -= 1
        tick = ticks[m]
    if code == (codes[m - 1] if m else 0):
        return m
    ticks[m] = tick
    codes[m] = code
    return m + 1


@numba.njit(cache=True, nogil=True)
def to_codes(value: complex) -> tuple[int, int]:
    """Nearest codes whose magnitude does not exceed full scale."""
    i, q = int(np.round(value.real)), int(np.round(value.imag))
    while i * i + q * q > _FULL * _FULL:
        if abs(i) >= abs(q):
            i -= 1 if i > 0 else -1
        else:
            q -= 1 if q > 0 else -1
    return i, q


@numba.njit(cache=True, nogil=True)
def modulate(
    edges: tuple[Floats, Floats],
    centres: Floats,
    values: NDArray[np.complex128],
    shapes: tuple[Ints, Ints, Ints],
    pulses: tuple[Floats, Floats, Floats, NDArray[np.complex128]],
) -> tuple[Ints, Codes, Ints, Codes]:
    """Changes of both parts over all pulses.

    Parameters
    ----------
    edges
        Start of every step of every shape, and the end of each shape [ticks after the pulse's start].
    centres, values
        Time [s] and complex value of every step.
    shapes
        First step and number of steps of each shape; the shape of each pulse.
    pulses
        Start [ticks], phase [rad], frequency [Hz], factor to codes.
    """
    starts, ends = edges
    first, counts, variant = shapes
    start_tick, phase, frequency, factor = pulses
    total = 0
    for u in range(len(variant)):
        total += counts[variant[u]] + 1
    out_i = (np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int32))
    out_q = (np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int32))
    m_i, m_q = 0, 0
    for u in range(len(variant)):
        shape = variant[u]
        for step in range(first[shape], first[shape] + counts[shape]):
            angle = phase[u] + 2 * np.pi * frequency[u] * centres[step]
            i, q = to_codes(factor[u] * values[step] * complex(np.cos(angle), np.sin(angle)))
            tick = int(np.round(start_tick[u] + starts[step]))
            m_i = put(out_i, m_i, tick, i)
            m_q = put(out_q, m_q, tick, q)
        tick = int(np.round(start_tick[u] + ends[shape]))
        m_i = put(out_i, m_i, tick, 0)
        m_q = put(out_q, m_q, tick, 0)
    return out_i[0][:m_i].copy(), out_i[1][:m_i].copy(), out_q[0][:m_q].copy(), out_q[1][:m_q].copy()


@numba.njit(cache=True, nogil=True)
def magnitude_load(real: tuple[Ints, Codes], imaginary: tuple[Ints, Codes]) -> tuple[float, float, float]:
    """Peak magnitude [codes], integral of its square [codes² ticks] and ticks with RF of two parts."""
    i, q, now = 0, 0, 0
    value_i, value_q = 0.0, 0.0
    peak, square, on = 0.0, 0.0, 0.0
    never = np.iinfo(np.int64).max
    while i < len(real[0]) or q < len(imaginary[0]):
        next_i = real[0][i] if i < len(real[0]) else never
        next_q = imaginary[0][q] if q < len(imaginary[0]) else never
        then = min(next_i, next_q)
        power = value_i * value_i + value_q * value_q
        if power > 0.0:
            square += power * (then - now)
            on += then - now
            peak = max(peak, power)
        if next_i == then:
            value_i = float(real[1][i])
            i += 1
        if next_q == then:
            value_q = float(imaginary[1][q])
            q += 1
        now = then
    return np.sqrt(peak), square, on
