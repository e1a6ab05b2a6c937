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
    """Fields of ``spins.BlockedSpins`` that the kernels read."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    offset: NDArray[np.float32]
    b1: NDArray[np.float32]
    weight_re: NDArray[np.float32]
    weight_im: NDArray[np.float32]
    tissue: NDArray[np.int64]


class TableArrays(NamedTuple):
    """A simulation table in the form that the kernels read. Rows of ``move`` are (kx, ky, kz, phase, time).

    k in cycles/m of the three channels, phase in turns (the same for all spins), time in seconds. ``gap_*`` has one row
    for each stretch between two pulses, ``row_*`` what the pieces of the readouts point to.
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
def _free(lo: int, spins: SpinArrays, magnetisation: Float32, move: Float32, e1: float, recovery: float, e2: float) -> None:
    """Precession and relaxation of one block over a whole gap."""
    kx, ky, kz, phase, time = move[0], move[1], move[2], move[3], move[4]
    mx, my, mz = magnetisation[0, lo : lo + BLOCK], magnetisation[1, lo : lo + BLOCK], magnetisation[2, lo : lo + BLOCK]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset = spins.offset[lo : lo + BLOCK]
    for i in range(BLOCK):
        c, s = _cos_sin(x[i] * kx + y[i] * ky + z[i] * kz + offset[i] * time + phase)
        re = e2 * (c * mx[i] - s * my[i])
        my[i] = e2 * (s * mx[i] + c * my[i])
        mx[i] = re
        mz[i] = e1 * mz[i] + recovery


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
def _weigh(lo: int, spins: SpinArrays, magnetisation: Float32, weighted: Float32) -> None:
    """Weighted transverse magnetisation at the start of the gap."""
    mx, my = magnetisation[0, lo : lo + BLOCK], magnetisation[1, lo : lo + BLOCK]
    weight_re, weight_im = spins.weight_re[lo : lo + BLOCK], spins.weight_im[lo : lo + BLOCK]
    re, im = weighted[0], weighted[1]
    for i in range(BLOCK):
        re[i] = weight_re[i] * mx[i] - weight_im[i] * my[i]
        im[i] = weight_re[i] * my[i] + weight_im[i] * mx[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _start(lo: int, spins: SpinArrays, weighted: Float32, move: Float32, e2: float, state: Float32) -> None:
    """Weighted transverse magnetisation after a move from the start of the gap, into state[0], state[1]."""
    kx, ky, kz, phase, time = move[0], move[1], move[2], move[3], move[4]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset, from_re, from_im = spins.offset[lo : lo + BLOCK], weighted[0], weighted[1]
    re, im = state[0], state[1]
    for i in range(BLOCK):
        c, s = _cos_sin(x[i] * kx + y[i] * ky + z[i] * kz + offset[i] * time + phase)
        re[i] = e2 * (c * from_re[i] - s * from_im[i])
        im[i] = e2 * (s * from_re[i] + c * from_im[i])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _step(lo: int, spins: SpinArrays, move: Float32, e2: float, state: Float32) -> None:
    """Factor from one sample to the next, into state[2], state[3]."""
    kx, ky, kz, phase, time = move[0], move[1], move[2], move[3], move[4]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset = spins.offset[lo : lo + BLOCK]
    re, im = state[2], state[3]
    for i in range(BLOCK):
        c, s = _cos_sin(x[i] * kx + y[i] * ky + z[i] * kz + offset[i] * time + phase)
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
def _sum_once(lo: int, spins: SpinArrays, weighted: Float32, move: Float32) -> complex:
    """Sum of the weighted transverse magnetisation after one move from the start of the gap, without its relaxation."""
    kx, ky, kz, phase, time = move[0], move[1], move[2], move[3], move[4]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset, re, im = spins.offset[lo : lo + BLOCK], weighted[0], weighted[1]
    total_re = total_im = F32(0.0)
    for i in range(BLOCK):
        c, s = _cos_sin(x[i] * kx + y[i] * ky + z[i] * kz + offset[i] * time + phase)
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
    """One piece of a readout for one block."""
    row, n, out = table.piece_first_row[piece], table.piece_n[piece], table.piece_out[piece]
    if table.piece_uniform[piece]:
        _start(lo, spins, weighted, table.row_move[row], table.row_e2[row, tissue], state)
        _step(lo, spins, table.row_move[row + 1], table.row_e2[row + 1, tissue], state)
        _sum_uniform(n, state, signal, out)
    else:
        for k in range(n):
            signal[out + k] += table.row_e2[row + k, tissue] * _sum_once(lo, spins, weighted, table.row_move[row + k])


@numba.njit(cache=True, nogil=True)
def play_blocks(
    first_block: int,
    last_block: int,
    spins: SpinArrays,
    table: TableArrays,
    rotations: Float32,
    magnetisation: Float32,
    signal: NDArray[np.complex128],
) -> None:
    """Play a table on some blocks of spins.

    Parameters
    ----------
    first_block, last_block
        Blocks ``first_block`` to ``last_block - 1``.
    rotations
        One per pulse and spin, shape ``(n_pulses, n_blocks, 9, BLOCK)``, float32.
    magnetisation
        Rows x, y, z, shape ``(3, n_blocks * BLOCK)``, float32; changed in place.
    signal
        complex128, shape ``(n_simulated,)``; added to.
    """
    state = np.empty((4, BLOCK), dtype=np.float32)
    weighted = np.empty((2, BLOCK), dtype=np.float32)
    for block in range(first_block, last_block):
        lo, tissue = block * BLOCK, spins.tissue[block]
        for gap in range(len(table.gap_pulse)):
            first_piece, last_piece = table.gap_first_piece[gap], table.gap_first_piece[gap + 1]
            if last_piece > first_piece:
                _weigh(lo, spins, magnetisation, weighted)
            for piece in range(first_piece, last_piece):
                _readout(lo, tissue, piece, spins, table, weighted, state, signal)
            _free(
                lo,
                spins,
                magnetisation,
                table.gap_move[gap],
                table.gap_e1[gap, tissue],
                table.gap_recovery[gap, tissue],
                table.gap_e2[gap, tissue],
            )
            pulse = table.gap_pulse[gap]
            if pulse >= 0:
                _rotate(lo, magnetisation, rotations[pulse, block])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _compose_step(lo: int, spins: SpinArrays, step: Float32, quaternion: Float32) -> None:
    """Multiply one step's rotation on the left; step is (time, bx, by, gx, gy, gz, frequency) in s, Hz, Hz/m."""
    half, bx, by, gx, gy, gz, frequency = F32(np.pi) * step[0], step[1], step[2], step[3], step[4], step[5], step[6]
    x, y, z = spins.x[lo : lo + BLOCK], spins.y[lo : lo + BLOCK], spins.z[lo : lo + BLOCK]
    offset, b1 = spins.offset[lo : lo + BLOCK], spins.b1[lo : lo + BLOCK]
    q0, q1, q2, q3 = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    for i in range(BLOCK):
        hx, hy = half * bx * b1[i], half * by * b1[i]
        hz = half * (frequency + offset[i] + gx * x[i] + gy * y[i] + gz * z[i])
        w = hx * hx + hy * hy + hz * hz
        a = F32(0.9999999961) + w * (
            F32(-0.4999999299)
            + w * (F32(0.04166646166) + w * (F32(-0.001388669258) + w * (F32(2.46949406e-5) + w * F32(-2.5153863896e-7))))
        )
        s = F32(1.0) + w * (
            F32(-0.1666666612)
            + w * (F32(0.008333317422) + w * (F32(-0.0001983956617) + w * (F32(2.747467283e-6) + w * F32(-2.3193063e-8))))
        )
        b, c, d = s * hx, s * hy, s * hz
        p0, p1, p2, p3 = q0[i], q1[i], q2[i], q3[i]
        q0[i] = a * p0 - b * p1 - c * p2 - d * p3
        q1[i] = a * p1 + b * p0 + c * p3 - d * p2
        q2[i] = a * p2 - b * p3 + c * p0 + d * p1
        q3[i] = a * p3 + b * p2 - c * p1 + d * p0


@numba.njit(cache=True, nogil=True, fastmath=True)
def _matrices(quaternion: Float32, rotation: Float32) -> None:
    """Rotation matrices of quaternions, normalised first so that rounding over many steps does not change the length."""
    for i in range(BLOCK):
        a, b, c, d = quaternion[0, i], quaternion[1, i], quaternion[2, i], quaternion[3, i]
        two = F32(2.0) / (a * a + b * b + c * c + d * d)
        rotation[0, i] = F32(1.0) - two * (c * c + d * d)
        rotation[1, i] = two * (b * c - a * d)
        rotation[2, i] = two * (b * d + a * c)
        rotation[3, i] = two * (b * c + a * d)
        rotation[4, i] = F32(1.0) - two * (b * b + d * d)
        rotation[5, i] = two * (c * d - a * b)
        rotation[6, i] = two * (b * d - a * c)
        rotation[7, i] = two * (c * d + a * b)
        rotation[8, i] = F32(1.0) - two * (b * b + c * c)


@numba.njit(cache=True, nogil=True)
def compose_blocks(
    first_block: int, last_block: int, spins: SpinArrays, steps: Float32, repeats: NDArray[np.int64], rotation: Float32
) -> None:
    """Rotation of one pulse for some blocks.

    Parameters
    ----------
    steps
        Rows (time, bx, by, gx, gy, gz, frequency) [s, Hz, Hz/m], float32, shape (n_steps, 7).
    repeats
        How often each row is played, int64; long steps come divided so that each turns by at most 4 rad.
    rotation
        Shape ``(n_blocks, 9, BLOCK)``, float32; written.
    """
    quaternion = np.empty((4, BLOCK), dtype=np.float32)
    for block in range(first_block, last_block):
        quaternion[0, :] = F32(1.0)
        quaternion[1:, :] = F32(0.0)
        for k in range(len(steps)):
            for _ in range(repeats[k]):
                _compose_step(block * BLOCK, spins, steps[k], quaternion)
        _matrices(quaternion, rotation[block])
