# SPDX-License-Identifier: MIT
"""The hot loops of the Bloch engine: blocks of spins walk through a simulation table, in single precision.

A block of ``BLOCK`` spins of one tissue stays in the first-level cache while the sequence streams past. All angles are
turns, reduced to half a turn before the polynomial, since the compiler vectorises that and not the library's sine.
Polynomials are Chebyshev fits; largest errors 1.3e-8 (sine), 2e-10 (cosine), 4e-9 (quaternion).

The kernels release the interpreter lock, so that plain threads run them side by side.
"""

from typing import NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.spins import BLOCK

F32 = np.float32
Float: TypeAlias = np.float32
Float32: TypeAlias = NDArray[np.float32]


class SpinArrays(NamedTuple):
    """Fields of ``spins.BlockedSpins`` that the kernels read.

    ``weight_*`` have one row a receive channel. ``extra`` has one row for each further function of space that a phase may
    be proportional to; usually none.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    offset: NDArray[np.float32]
    b1: NDArray[np.float32]
    weight_re: NDArray[np.float32]
    weight_im: NDArray[np.float32]
    tissue: NDArray[np.int64]
    extra: NDArray[np.float32]


class TableArrays(NamedTuple):
    """A simulation table in the form that the kernels read. Rows of ``move`` are (kx, ky, kz, phase, time).

    k in cycles/m of the three channels, phase in turns (the same for all spins), time in seconds. ``gap_*`` has one row
    for each stretch between two pulses, ``row_*`` what the pieces of the readouts point to. ``*_extra`` are the moments that
    go with the extra functions of space. ``gap_wander`` is how far spins diffuse in a gap [m], one column a tissue, and
    ``gap_lever`` the mean of k at the end of a gap minus k in it [1/m]; both have no rows when nothing diffuses.
    """

    gap_move: NDArray[np.float32]
    gap_e1: NDArray[np.float32]
    gap_recovery: NDArray[np.float32]
    gap_e2: NDArray[np.float32]
    gap_pulse: NDArray[np.int64]
    gap_first_piece: NDArray[np.int64]
    piece_first_row: NDArray[np.int64]
    piece_n: NDArray[np.int64]
    piece_uniform: NDArray[np.bool_]
    piece_out: NDArray[np.int64]
    row_move: NDArray[np.float32]
    row_e2: NDArray[np.float32]
    gap_extra: NDArray[np.float32]
    row_extra: NDArray[np.float32]
    gap_wander: NDArray[np.float32]
    gap_lever: NDArray[np.float32]
    gap_key: NDArray[np.uint32]


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _cos_sin(turns: Float) -> tuple[Float, Float]:
    """Cosine and sine of an angle in turns."""
    p = turns - F32(np.int32(turns + (F32(0.5) if turns >= F32(0) else F32(-0.5))))
    q = p * p
    s = p * (
        F32(3.141592641)
        + q * (F32(-5.167710083) + q * (F32(2.550077525) + q * (F32(-0.5982913088) + q * F32(0.07765765635))))
    )
    c = F32(1.0) + q * (
        F32(-4.934802144) + q * (F32(4.058709156) + q * (F32(-1.335212012) + q * (F32(0.2349373172) + q * F32(-0.02439632))))
    )
    return F32(1.0) - F32(2.0) * s * s, F32(2.0) * s * c


@numba.njit(cache=True, nogil=True, fastmath=True)
def turns_of(lo: int, spins: SpinArrays, move: Float32, extra: Float32, turns: Float32) -> None:
    """Phase of each spin of a block after a move, in turns."""
    kx, ky, kz, phase, time = move[0], move[1], move[2], move[3], move[4]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset = spins.offset[lo : lo + BLOCK]
    for i in range(BLOCK):
        turns[i] = x[i] * kx + y[i] * ky + z[i] * kz + offset[i] * time + phase
    for j in range(len(extra)):
        factor, place = extra[j], spins.extra[j, lo : lo + BLOCK]
        for i in range(BLOCK):
            turns[i] += factor * place[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _free(lo: int, magnetisation: Float32, turns: Float32, e1: float, recovery: float, e2: float) -> None:
    """Precession and relaxation of one block over a whole gap."""
    mx, my, mz = magnetisation[0, lo : lo + BLOCK], magnetisation[1, lo : lo + BLOCK], magnetisation[2, lo : lo + BLOCK]
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        re = e2 * (c * mx[i] - s * my[i])
        my[i] = e2 * (s * mx[i] + c * my[i])
        mx[i] = re
        mz[i] = e1 * mz[i] + recovery


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(value: np.uint32) -> np.uint32:
    """Spread the bits of a number over all bits."""
    value = np.uint32(value ^ (value >> np.uint32(16))) * np.uint32(0x7FEB352D)
    value = np.uint32(value ^ (value >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.uint32(value ^ (value >> np.uint32(16)))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _wander(
    lo: int, place: Float32, wander: float, lever: float, key: NDArray[np.uint32], quantiles: Float32, turns: Float32
) -> None:
    """Let a block diffuse along one axis.

    Displacement and phase over a gap are jointly normal. The mean phase that goes with a displacement is added here; what
    is left of it is a loss of signal that the table already holds.
    """
    for i in range(BLOCK):
        number = _mix(_mix(np.uint32(lo + i) + key[0]) ^ key[1])
        step = wander * quantiles[number >> np.uint32(20)]
        turns[i] += lever * step
        place[i] += step


@numba.njit(cache=True, nogil=True, fastmath=True)
def _rotate(lo: int, magnetisation: Float32, rotation: Float32) -> None:
    """One pulse on one block; rotation has shape (9, BLOCK), row-major 3x3 matrices."""
    mx, my, mz = magnetisation[0, lo : lo + BLOCK], magnetisation[1, lo : lo + BLOCK], magnetisation[2, lo : lo + BLOCK]
    for i in range(BLOCK):
        x, y, z = mx[i], my[i], mz[i]
        mx[i] = rotation[0, i] * x + rotation[1, i] * y + rotation[2, i] * z
        my[i] = rotation[3, i] * x + rotation[4, i] * y + rotation[5, i] * z
        mz[i] = rotation[6, i] * x + rotation[7, i] * y + rotation[8, i] * z


@numba.njit(cache=True, nogil=True, fastmath=True)
def _weigh(lo: int, channel: int, spins: SpinArrays, magnetisation: Float32, weighted: Float32) -> None:
    """Weighted transverse magnetisation at the start of the gap."""
    mx, my = magnetisation[0, lo : lo + BLOCK], magnetisation[1, lo : lo + BLOCK]
    weight_re, weight_im = spins.weight_re[channel, lo : lo + BLOCK], spins.weight_im[channel, lo : lo + BLOCK]
    re, im = weighted[0], weighted[1]
    for i in range(BLOCK):
        re[i] = weight_re[i] * mx[i] - weight_im[i] * my[i]
        im[i] = weight_re[i] * my[i] + weight_im[i] * mx[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _start(weighted: Float32, turns: Float32, e2: float, state: Float32) -> None:
    """Weighted transverse magnetisation after a move from the start of the gap, into state[0], state[1]."""
    from_re, from_im = weighted[0], weighted[1]
    re, im = state[0], state[1]
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        re[i] = e2 * (c * from_re[i] - s * from_im[i])
        im[i] = e2 * (s * from_re[i] + c * from_im[i])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _step(turns: Float32, e2: float, state: Float32) -> None:
    """Factor from one sample to the next, into state[2], state[3]."""
    re, im = state[2], state[3]
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        re[i] = e2 * c
        im[i] = e2 * s


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum_uniform(n: int, state: Float32, signal: NDArray[np.complex128], out: int) -> None:
    """Sum the state at n samples, one factor apart, four at a time since loads and stores are what it costs."""
    re, im, zr, zi = state[0], state[1], state[2], state[3]
    for first in range(0, n, 4):
        s0r = s0i = s1r = s1i = s2r = s2i = s3r = s3i = F32(0.0)
        for i in range(BLOCK):
            c, s = zr[i], zi[i]
            r0, i0 = re[i], im[i]
            r1, i1 = r0 * c - i0 * s, r0 * s + i0 * c
            r2, i2 = r1 * c - i1 * s, r1 * s + i1 * c
            r3, i3 = r2 * c - i2 * s, r2 * s + i2 * c
            s0r += r0
            s0i += i0
            s1r += r1
            s1i += i1
            s2r += r2
            s2i += i2
            s3r += r3
            s3i += i3
            re[i] = r3 * c - i3 * s
            im[i] = r3 * s + i3 * c
        sums = (complex(s0r, s0i), complex(s1r, s1i), complex(s2r, s2i), complex(s3r, s3i))
        for k in range(min(4, n - first)):
            signal[out + first + k] += sums[k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum_once(weighted: Float32, turns: Float32) -> complex:
    """Sum of the weighted transverse magnetisation after one move from the start of the gap, without its relaxation."""
    re, im = weighted[0], weighted[1]
    total_re = total_im = F32(0.0)
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        total_re += c * re[i] - s * im[i]
        total_im += s * re[i] + c * im[i]
    return complex(total_re, total_im)


@numba.njit(cache=True, nogil=True)
def _readout(
    lo: int,
    tissue: int,
    piece: int,
    spins: SpinArrays,
    table: TableArrays,
    weighted: Float32,
    state: Float32,
    signal: NDArray[np.complex128],
) -> None:
    """One piece of a readout for one block and one channel."""
    row, n, out, turns = table.piece_first_row[piece], table.piece_n[piece], table.piece_out[piece], state[4]
    if table.piece_uniform[piece]:
        turns_of(lo, spins, table.row_move[row], table.row_extra[row], turns)
        _start(weighted, turns, table.row_e2[row, tissue], state)
        turns_of(lo, spins, table.row_move[row + 1], table.row_extra[row + 1], turns)
        _step(turns, table.row_e2[row + 1, tissue], state)
        _sum_uniform(n, state, signal, out)
    else:
        for k in range(row, row + n):
            turns_of(lo, spins, table.row_move[k], table.row_extra[k], turns)
            signal[out + k - row] += table.row_e2[k, tissue] * _sum_once(weighted, turns)


@numba.njit(cache=True, nogil=True)
def play_blocks(
    blocks: tuple[int, int],
    gaps: tuple[int, int],
    spins: SpinArrays,
    table: TableArrays,
    rotations: Float32,
    magnetisation: Float32,
    quantiles: Float32,
    signal: NDArray[np.complex128],
) -> None:
    """Play some gaps of a table on some blocks of spins.

    Parameters
    ----------
    blocks, gaps
        First, and one behind the last.
    rotations
        One per pulse and spin, shape ``(n_pulses, n_blocks, 9, BLOCK)``, float32.
    magnetisation
        Rows x, y, z, shape ``(3, n_blocks * BLOCK)``, float32; changed in place. So are the spins' places if they diffuse.
    quantiles
        Of the normal distribution, float32, shape (4096,).
    signal
        complex128, shape ``(n_channels, n_simulated)``; added to.
    """
    state = np.empty((5, BLOCK), dtype=np.float32)
    weighted = np.empty((2, BLOCK), dtype=np.float32)
    for block in range(blocks[0], blocks[1]):
        lo, tissue, turns = block * BLOCK, spins.tissue[block], state[4]
        for gap in range(gaps[0], gaps[1]):
            first_piece, last_piece = table.gap_first_piece[gap], table.gap_first_piece[gap + 1]
            if last_piece > first_piece:
                for channel in range(len(signal)):
                    _weigh(lo, channel, spins, magnetisation, weighted)
                    for piece in range(first_piece, last_piece):
                        _readout(lo, tissue, piece, spins, table, weighted, state, signal[channel])
            turns_of(lo, spins, table.gap_move[gap], table.gap_extra[gap], turns)
            if len(table.gap_wander):
                wander, lever, key = table.gap_wander[gap, tissue], table.gap_lever[gap], table.gap_key[gap]
                _wander(lo, spins.x[lo : lo + BLOCK], wander, lever[0], key[0:2], quantiles, turns)
                _wander(lo, spins.y[lo : lo + BLOCK], wander, lever[1], key[2:4], quantiles, turns)
                _wander(lo, spins.z[lo : lo + BLOCK], wander, lever[2], key[4:6], quantiles, turns)
            _free(
                lo,
                magnetisation,
                turns,
                table.gap_e1[gap, tissue],
                table.gap_recovery[gap, tissue],
                table.gap_e2[gap, tissue],
            )
            pulse = table.gap_pulse[gap]
            if pulse >= 0:
                _rotate(lo, magnetisation, rotations[pulse, block])
