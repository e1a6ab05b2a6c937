# SPDX-License-Identifier: MIT
"""The hot loops of the Bloch engine: blocks of spins walk through a simulation table, in single precision.

A block of ``BLOCK`` neighbours of one tissue stays in the first-level cache while the sequence streams past. What the middle
of a block does is computed once, in double precision; its spins differ from it by a few turns at most. That is also why a
few samples of a readout say all about a block: the others follow from a matrix that ``sampling`` has found.

All angles are turns, reduced to half a turn before the polynomial, since the compiler vectorises that and not the library's
sine. Polynomials are Chebyshev fits; largest errors 1.3e-8 (sine), 2e-10 (cosine), 4e-9 (quaternion). Several rows of a
block lie in one flat array, since only then the compiler knows that they do not overlap.

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
Float64: TypeAlias = NDArray[np.float64]

N_FIXED = 4
"""Coordinates of a spin that there always are: three places [m] and its frequency [Hz]; extra functions of space follow."""


class SpinArrays(NamedTuple):
    """Spins in blocks.

    ``place`` are coordinates less those of the block's middle, shape (n_blocks, n_coordinates * BLOCK); ``middle`` has shape
    (n_blocks, n_coordinates). ``weight`` holds real, then imaginary parts, shape (n_channels, n_blocks, 2 * BLOCK).
    """

    place: Float32
    middle: Float64
    b1: Float32
    weight: Float32
    tissue: NDArray[np.int64]


class TableArrays(NamedTuple):
    """A simulation table in the form that the kernels read.

    A move is what the phase is proportional to: k in cycles/m of three channels, time in seconds, extra moments; its phase
    in turns is the same for all spins. ``gap_*`` has one row for each stretch between two pulses; ``row_*`` belongs to the
    raw samples, ``row_move`` has shape (n_coordinates, n_rows). ``gap_wander`` is how far spins diffuse in a gap [m], one
    column a tissue, and ``gap_lever`` the mean of k at the end of a gap minus k in it [1/m]; no rows when nothing diffuses.
    """

    gap_move: Float64
    gap_phase: Float64
    gap_e1: Float32
    gap_recovery: Float32
    gap_e2: Float32
    gap_pulse: NDArray[np.int64]
    gap_first_piece: NDArray[np.int64]
    piece_row: NDArray[np.int64]
    piece_n: NDArray[np.int64]
    piece_shape: NDArray[np.int64]
    row_move: Float64
    row_phase: Float64
    row_e2: Float32
    gap_wander: Float32
    gap_lever: Float32
    gap_key: NDArray[np.uint32]


class SkeletonArrays(NamedTuple):
    """Samples that say all, for each shape of a piece and each block.

    ``of_block[shape, block]`` is the number of a skeleton, -1: every sample is computed. A skeleton has ``n`` samples,
    ``node[first : first + n]``, and a matrix of shape (n, n_samples), flat in ``matrix`` from ``offset`` on.
    """

    of_block: NDArray[np.int64]
    n: NDArray[np.int64]
    first: NDArray[np.int64]
    offset: NDArray[np.int64]
    node: NDArray[np.int64]
    matrix: Float32


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


@numba.njit(cache=True, nogil=True)
def middle_turns(middle: Float64, move: Float64, phase: float) -> Float:
    """Phase of a block's middle after a move, reduced to a turn."""
    turns = phase
    for j in range(len(move)):
        turns += middle[j] * move[j]
    return F32(turns - np.floor(turns + 0.5))


@numba.njit(cache=True, nogil=True, fastmath=True)
def turns_of(place: Float32, move: Float64, phase: Float, turns: Float32) -> None:
    """Phase of each spin of a block after a move, in turns."""
    kx, ky, kz, time = F32(move[0]), F32(move[1]), F32(move[2]), F32(move[3])
    for i in range(BLOCK):
        turns[i] = place[i] * kx + place[BLOCK + i] * ky + place[2 * BLOCK + i] * kz + place[3 * BLOCK + i] * time + phase
    for j in range(N_FIXED, len(move)):
        factor, more = F32(move[j]), place[j * BLOCK : (j + 1) * BLOCK]
        for i in range(BLOCK):
            turns[i] += factor * more[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _free(magnetisation: Float32, turns: Float32, e1: Float, recovery: Float, e2: Float) -> None:
    """Precession and relaxation of one block over a whole gap."""
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        x, y = magnetisation[i], magnetisation[BLOCK + i]
        magnetisation[i] = e2 * (c * x - s * y)
        magnetisation[BLOCK + i] = e2 * (s * x + c * y)
        magnetisation[2 * BLOCK + i] = e1 * magnetisation[2 * BLOCK + i] + recovery


@numba.njit(cache=True, nogil=True, fastmath=True)
def _rotate(magnetisation: Float32, rotation: Float32) -> None:
    """One pulse on one block; rotation holds row-major 3x3 matrices, flat."""
    for i in range(BLOCK):
        x, y, z = magnetisation[i], magnetisation[BLOCK + i], magnetisation[2 * BLOCK + i]
        magnetisation[i] = rotation[i] * x + rotation[BLOCK + i] * y + rotation[2 * BLOCK + i] * z
        magnetisation[BLOCK + i] = rotation[3 * BLOCK + i] * x + rotation[4 * BLOCK + i] * y + rotation[5 * BLOCK + i] * z
        magnetisation[2 * BLOCK + i] = (
            rotation[6 * BLOCK + i] * x + rotation[7 * BLOCK + i] * y + rotation[8 * BLOCK + i] * z
        )


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(value: np.uint32) -> np.uint32:
    """Spread the bits of a number over all bits."""
    value = np.uint32(value ^ (value >> np.uint32(16))) * np.uint32(0x7FEB352D)
    value = np.uint32(value ^ (value >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.uint32(value ^ (value >> np.uint32(16)))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _wander(
    lo: int, place: Float32, wander: Float, lever: Float, key: NDArray[np.uint32], quantiles: Float32, turns: Float32
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
def _weigh(weight: Float32, magnetisation: Float32, weighted: Float32) -> None:
    """Weighted transverse magnetisation at the start of the gap."""
    for i in range(BLOCK):
        weighted[i] = weight[i] * magnetisation[i] - weight[BLOCK + i] * magnetisation[BLOCK + i]
        weighted[BLOCK + i] = weight[i] * magnetisation[BLOCK + i] + weight[BLOCK + i] * magnetisation[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(weighted: Float32, turns: Float32) -> tuple[Float, Float]:
    """Sum of the weighted transverse magnetisation, turned."""
    total_re = total_im = F32(0.0)
    for i in range(BLOCK):
        c, s = _cos_sin(turns[i])
        total_re += c * weighted[i] - s * weighted[BLOCK + i]
        total_im += s * weighted[i] + c * weighted[BLOCK + i]
    return total_re, total_im


@numba.njit(cache=True, nogil=True, fastmath=True)
def _carrier(middle: Float64, table: TableArrays, row: int, n: int, turns: Float64, carrier: Float32) -> None:
    """Phase of the block's middle at each sample of a piece, in turns."""
    phase = table.row_phase[row : row + n]
    for k in range(n):
        turns[k] = phase[k]
    for j in range(len(middle)):
        factor, move = middle[j], table.row_move[j, row : row + n]
        for k in range(n):
            turns[k] += factor * move[k]
    for k in range(n):
        carrier[k] = F32(turns[k] - np.floor(turns[k] + 0.5))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _expand(matrix: Float32, nodes: Float32, n_nodes: int, n: int, sums: Float32) -> None:
    """Samples of a piece from those at its nodes; sums holds n real, then n imaginary parts."""
    re, im = sums[:n], sums[n : 2 * n]
    for k in range(n):
        re[k] = F32(0.0)
    for k in range(n):
        im[k] = F32(0.0)
    last = n_nodes - n_nodes % 4
    for p in range(0, last, 4):  # four at a time, since loads and stores are what it costs
        c0, c1 = matrix[p * n : (p + 1) * n], matrix[(p + 1) * n : (p + 2) * n]
        c2, c3 = matrix[(p + 2) * n : (p + 3) * n], matrix[(p + 3) * n : (p + 4) * n]
        a0, a1, a2, a3 = nodes[2 * p], nodes[2 * p + 2], nodes[2 * p + 4], nodes[2 * p + 6]
        for k in range(n):
            re[k] += a0 * c0[k] + a1 * c1[k] + a2 * c2[k] + a3 * c3[k]
        a0, a1, a2, a3 = nodes[2 * p + 1], nodes[2 * p + 3], nodes[2 * p + 5], nodes[2 * p + 7]
        for k in range(n):
            im[k] += a0 * c0[k] + a1 * c1[k] + a2 * c2[k] + a3 * c3[k]
    for p in range(last, n_nodes):
        c0, a0, a1 = matrix[p * n : (p + 1) * n], nodes[2 * p], nodes[2 * p + 1]
        for k in range(n):
            re[k] += a0 * c0[k]
        for k in range(n):
            im[k] += a1 * c0[k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add(sums: Float32, carrier: Float32, e2: Float32, n: int, signal: NDArray[np.complex128]) -> None:
    """Put samples of a block on the carrier of its middle and add them to the signal."""
    for k in range(n):
        c, s = _cos_sin(carrier[k])
        re, im = e2[k] * (c * sums[k] - s * sums[n + k]), e2[k] * (s * sums[k] + c * sums[n + k])
        signal[k] += complex(re, im)


@numba.njit(cache=True, nogil=True)
def _readout(
    at: tuple[int, int],
    spins: SpinArrays,
    table: TableArrays,
    skeletons: SkeletonArrays,
    weighted: Float32,
    turns: Float32,
    scratch: tuple[Float64, Float32, Float32, Float64],
    signal: NDArray[np.complex128],
) -> None:
    """One piece of a readout for one block (both in ``at``) and one channel; the carrier is there already."""
    block, piece = at
    row, n, shape = table.piece_row[piece], table.piece_n[piece], table.piece_shape[piece]
    _, carrier, sums, move = scratch
    skeleton = skeletons.of_block[shape, block] if shape >= 0 else -1
    n_nodes = n if skeleton < 0 else skeletons.n[skeleton]
    nodes = sums[2 * n :]
    for p in range(n_nodes):
        k = p if skeleton < 0 else skeletons.node[skeletons.first[skeleton] + p]
        for j in range(len(move)):
            move[j] = table.row_move[j, row + k]
        turns_of(spins.place[block], move, F32(0.0), turns)
        re, im = _sum(weighted, turns)
        if skeleton < 0:
            sums[p], sums[n + p] = re, im
        else:
            nodes[2 * p], nodes[2 * p + 1] = re, im
    if skeleton >= 0:
        offset = skeletons.offset[skeleton]
        _expand(skeletons.matrix[offset : offset + n_nodes * n], nodes, n_nodes, n, sums)
    _add(sums, carrier, table.row_e2[spins.tissue[block], row : row + n], n, signal[row : row + n])


@numba.njit(cache=True, nogil=True)
def play_blocks(
    blocks: tuple[int, int],
    gaps: tuple[int, int],
    spins: SpinArrays,
    tables: tuple[TableArrays, SkeletonArrays],
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
        One per pulse and spin, shape ``(n_pulses, n_blocks, 9 * BLOCK)``, float32.
    magnetisation
        Rows x, y, z, shape ``(n_blocks, 3 * BLOCK)``, float32; changed in place. So are the spins' places if they diffuse.
    quantiles
        Of the normal distribution, float32, shape (4096,).
    signal
        complex128, shape ``(n_channels, n_rows)``; added to.
    """
    table, skeletons = tables
    turns, weighted = np.empty(BLOCK, dtype=np.float32), np.empty(2 * BLOCK, dtype=np.float32)
    longest = max(table.piece_n.max(), 1) if len(table.piece_n) else 1
    scratch = (
        np.empty(longest, dtype=np.float64),
        np.empty(longest, dtype=np.float32),
        np.empty(4 * longest, dtype=np.float32),
        np.empty(spins.middle.shape[1], dtype=np.float64),
    )
    for block in range(blocks[0], blocks[1]):
        tissue, place, middle, state = spins.tissue[block], spins.place[block], spins.middle[block], magnetisation[block]
        for gap in range(gaps[0], gaps[1]):
            for piece in range(table.gap_first_piece[gap], table.gap_first_piece[gap + 1]):
                _carrier(middle, table, table.piece_row[piece], table.piece_n[piece], scratch[0], scratch[1])
                for channel in range(len(signal)):
                    _weigh(spins.weight[channel, block], state, weighted)
                    _readout((block, piece), spins, table, skeletons, weighted, turns, scratch, signal[channel])
            phase = middle_turns(middle, table.gap_move[gap], table.gap_phase[gap])
            turns_of(place, table.gap_move[gap], phase, turns)
            if len(table.gap_wander):
                wander, lever, key = table.gap_wander[gap, tissue], table.gap_lever[gap], table.gap_key[gap]
                for axis in range(3):
                    along = place[axis * BLOCK : (axis + 1) * BLOCK]
                    _wander(block * BLOCK, along, wander, lever[axis], key[2 * axis : 2 * axis + 2], quantiles, turns)
            _free(state, turns, table.gap_e1[gap, tissue], table.gap_recovery[gap, tissue], table.gap_e2[gap, tissue])
            pulse = table.gap_pulse[gap]
            if pulse >= 0:
                _rotate(state, rotations[pulse, block])
