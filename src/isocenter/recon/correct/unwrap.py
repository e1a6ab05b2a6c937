# SPDX-License-Identifier: MIT
"""Phases without their jumps by full turns: from the surest voxel outwards, always by the surest neighbour next (numba)."""

import heapq

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def unwrap(  # noqa: C901  one flood
    phase_rad: NDArray[np.float32], quality: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Phase [rad] in three dimensions; voxels of quality 0 keep theirs, and parts that do not touch are unwrapped apart.

    A neighbour follows the voxel that it is reached from. Each part is then turned so that its median is nearest to zero
    turns; between parts whole turns remain unknown.
    """
    out = phase_rad.copy()
    shape = phase_rad.shape
    part = np.zeros(shape, dtype=np.int32)
    flat = np.argsort(-quality.ravel())
    n_parts = 0
    for seed in flat:
        s0, rest = seed // (shape[1] * shape[2]), seed % (shape[1] * shape[2])
        s1, s2 = rest // shape[2], rest % shape[2]
        if not quality[s0, s1, s2] > 0:
            break
        if part[s0, s1, s2] > 0:
            continue
        n_parts += 1
        part[s0, s1, s2] = n_parts
        heap = [(np.float32(0.0), s0, s1, s2)]
        while len(heap) > 0:
            _, a, b, c = heapq.heappop(heap)
            for step in range(6):
                d = 1 if step % 2 else -1
                i = a + (d if step // 2 == 0 else 0)
                j = b + (d if step // 2 == 1 else 0)
                k = c + (d if step // 2 == 2 else 0)
                if i < 0 or j < 0 or k < 0 or i >= shape[0] or j >= shape[1] or k >= shape[2]:
                    continue
                if part[i, j, k] > 0 or not quality[i, j, k] > 0:
                    continue
                part[i, j, k] = n_parts
                turns = np.round((out[a, b, c] - phase_rad[i, j, k]) / (2 * np.pi))
                out[i, j, k] = phase_rad[i, j, k] + np.float32(2 * np.pi * turns)
                heapq.heappush(heap, (-quality[i, j, k], i, j, k))
    for number in range(1, n_parts + 1):
        values = out.ravel()[part.ravel() == number]
        turns = np.round(np.median(values) / (2 * np.pi))
        for i in range(shape[0]):
            for j in range(shape[1]):
                for k in range(shape[2]):
                    if part[i, j, k] == number:
                        out[i, j, k] -= np.float32(2 * np.pi * turns)
    return out
