# SPDX-License-Identifier: MIT
"""Like blocks of a volume, filtered together (numba).

For each reference block of 4 x 4 x 4 voxels the most alike ones nearby are found and stacked; the stack is transformed along
its four axes; what is small there is noise. Every voxel then is the weighted mean of all the filtered blocks that hold it.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SIDE = 4
SIZE = SIDE**3
STACK = 32
"""Most blocks in a stack."""


@numba.njit(cache=True, nogil=True, fastmath=True)
def find_alike(  # noqa: C901  the innermost loop
    volume: Floats, at: tuple[int, int, int], reach: int, limit: float, where: NDArray[np.int32], far: Floats, row: Floats
) -> int:
    """Places of the blocks most like the one at a place, nearest first; how many: 1, 2, 4 ... STACK.

    ``where`` (STACK, 3) and ``far`` (STACK,) take the places and their mean squared differences, none above ``limit``.
    """
    z0, y0, x0 = at
    n_z, n_y, n_x = volume.shape
    first = max(x0 - reach, 0)
    n_row = min(x0 + reach, n_x - SIDE) - first + 1
    found = 0
    far[:] = np.float32(np.inf)
    for z in range(max(z0 - reach, 0), min(z0 + reach, n_z - SIDE) + 1):
        for y in range(max(y0 - reach, 0), min(y0 + reach, n_y - SIDE) + 1):
            row[:n_row] = 0
            for i in range(SIDE):
                for j in range(SIDE):
                    line = volume[z + i, y + j]
                    own = volume[z0 + i, y0 + j]
                    for k in range(SIDE):
                        value = own[x0 + k]
                        for x in range(n_row):
                            d = line[first + x + k] - value
                            row[x] += d * d
            for x in range(n_row):
                distance = row[x] / SIZE
                if distance > limit or distance >= far[STACK - 1]:
                    continue
                place = min(found, STACK - 1)
                while place > 0 and far[place - 1] > distance:
                    far[place] = far[place - 1]
                    where[place] = where[place - 1]
                    place -= 1
                far[place] = distance
                where[place, 0], where[place, 1], where[place, 2] = z, y, first + x
                found = min(found + 1, STACK)
    n = 1
    while 2 * n <= found:
        n *= 2
    return n


@numba.njit(cache=True, nogil=True, fastmath=True)
def transform_block(block: Floats, matrix: Floats, room: Floats) -> None:
    """Apply a 4 x 4 matrix along the three axes of a block of 64 values, in place."""
    for _ in range(3):  # each pass transforms the last axis and turns the axes round
        for r in range(SIZE // SIDE):
            for i in range(SIDE):
                total = np.float32(0.0)
                for k in range(SIDE):
                    total += matrix[i, k] * block[r * SIDE + k]
                room[i * (SIZE // SIDE) + r] = total
        block[:] = room


@numba.njit(cache=True, nogil=True, fastmath=True)
def transform_stack(stack: Floats, n: int) -> None:
    """Orthonormal Walsh-Hadamard transform across n blocks (its own inverse), in place."""
    half = 1
    while half < n:
        for start in range(0, n, 2 * half):
            for i in range(start, start + half):
                for k in range(SIZE):
                    a, b = stack[i, k], stack[i + half, k]
                    stack[i, k] = (a + b) * np.float32(0.70710678)
                    stack[i + half, k] = (a - b) * np.float32(0.70710678)
        half *= 2


@numba.njit(cache=True, nogil=True, fastmath=True)
def _gather(volume: Floats, where: NDArray[np.int32], n: int, matrix: Floats, stack: Floats, room: Floats) -> None:
    for b in range(n):
        z, y, x = where[b]
        for i in range(SIDE):
            for j in range(SIDE):
                for k in range(SIDE):
                    stack[b, (i * SIDE + j) * SIDE + k] = volume[z + i, y + j, x + k]
        transform_block(stack[b], matrix, room)
    transform_stack(stack, n)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _scatter(
    stack: Floats,
    where: NDArray[np.int32],
    n: int,
    inverse: Floats,
    weight: float,
    total: Floats,
    weights: Floats,
    room: Floats,
) -> None:
    transform_stack(stack, n)
    for b in range(n):
        transform_block(stack[b], inverse, room)
        z, y, x = where[b]
        for i in range(SIDE):
            for j in range(SIDE):
                for k in range(SIDE):
                    total[z + i, y + j, x + k] += np.float32(weight) * stack[b, (i * SIDE + j) * SIDE + k]
                    weights[z + i, y + j, x + k] += np.float32(weight)


@numba.njit(cache=True, nogil=True, fastmath=True)
def filter_blocks(  # noqa: PLR0913, PLR0917  a kernel takes no objects
    noisy: Floats,
    guide: Floats,
    references: NDArray[np.int32],
    reach: int,
    limit: float,
    threshold: float,
    is_final: bool,
    matrix: Floats,
    total: Floats,
    weights: Floats,
) -> None:
    """Add the filtered stacks of some reference blocks to a weighted sum; noise has standard deviation 1.

    Parameters
    ----------
    noisy, guide
        Volume; volume in which alike blocks are looked for, and whose spectrum is taken for the truth when ``is_final``.
    references
        Corners of the reference blocks, shape ``(n, 3)``.
    reach, limit
        How far from a reference blocks may lie [voxels]; largest mean squared difference.
    threshold
        What is taken for noise, in standard deviations; not used when ``is_final``.
    is_final
        False: small coefficients become 0. True: each is weighted by the guide's power over power and noise (Wiener).
    matrix
        Orthonormal 4 x 4 transform.
    total, weights
        Sums, of the shape of the volume.
    """
    where = np.empty((STACK, 3), dtype=np.int32)
    far = np.empty(STACK, dtype=np.float32)
    row = np.empty(2 * reach + 1, dtype=np.float32)
    room = np.empty(SIZE, dtype=np.float32)
    stack = np.empty((STACK, SIZE), dtype=np.float32)
    truth = np.empty((STACK, SIZE), dtype=np.float32)
    inverse = np.ascontiguousarray(matrix.T)
    for r in range(len(references)):
        at = (references[r, 0], references[r, 1], references[r, 2])
        n = find_alike(guide, at, reach, limit, where, far, row)
        _gather(noisy, where, n, matrix, stack, room)
        kept = np.float32(0.0)
        if is_final:
            _gather(guide, where, n, matrix, truth, room)
            for b in range(n):
                for k in range(SIZE):
                    power = truth[b, k] * truth[b, k]
                    share = power / (power + np.float32(1.0))
                    stack[b, k] *= share
                    kept += share * share
        else:
            for b in range(n):
                for k in range(SIZE):
                    if abs(stack[b, k]) < threshold and b + k > 0:
                        stack[b, k] = 0
                    else:
                        kept += 1
        _scatter(stack, where, n, inverse, 1.0 / max(kept, np.float32(0.1)), total, weights, room)
