# SPDX-License-Identifier: MIT
"""The hot loop that makes one rotation a spin of all the steps of a pulse, as quaternions in single precision."""

from typing import TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.kernels import SpinArrays, turns_of
from isocenter.virtual.physics.spins import BLOCK

F32 = np.float32
Float: TypeAlias = np.float32
Float32: TypeAlias = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _compose_step(half: Float, bx: Float, by: Float, b1: Float32, offset_hz: Float32, quaternion: Float32) -> None:
    """Multiply one step's rotation on the left; half is pi times its length [s], bx and by its nutation [Hz]."""
    for i in range(BLOCK):
        hx, hy, hz = half * bx * b1[i], half * by * b1[i], half * offset_hz[i]
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
        p0, p1, p2, p3 = quaternion[i], quaternion[BLOCK + i], quaternion[2 * BLOCK + i], quaternion[3 * BLOCK + i]
        quaternion[i] = a * p0 - b * p1 - c * p2 - d * p3
        quaternion[BLOCK + i] = a * p1 + b * p0 + c * p3 - d * p2
        quaternion[2 * BLOCK + i] = a * p2 - b * p3 + c * p0 + d * p1
        quaternion[3 * BLOCK + i] = a * p3 + b * p2 - c * p1 + d * p0


@numba.njit(cache=True, nogil=True, fastmath=True)
def _matrices(quaternion: Float32, rotation: Float32) -> None:
    """Rotation matrices of quaternions, normalised first so that rounding over many steps does not change the length."""
    for i in range(BLOCK):
        a, b, c, d = quaternion[i], quaternion[BLOCK + i], quaternion[2 * BLOCK + i], quaternion[3 * BLOCK + i]
        two = F32(2.0) / (a * a + b * b + c * c + d * d)
        rotation[i] = F32(1.0) - two * (c * c + d * d)
        rotation[BLOCK + i] = two * (b * c - a * d)
        rotation[2 * BLOCK + i] = two * (b * d + a * c)
        rotation[3 * BLOCK + i] = two * (b * c + a * d)
        rotation[4 * BLOCK + i] = F32(1.0) - two * (b * b + d * d)
        rotation[5 * BLOCK + i] = two * (c * d - a * b)
        rotation[6 * BLOCK + i] = two * (b * d - a * c)
        rotation[7 * BLOCK + i] = two * (c * d + a * b)
        rotation[8 * BLOCK + i] = F32(1.0) - two * (b * b + c * c)


@numba.njit(cache=True, nogil=True)
def compose_blocks(
    blocks: tuple[int, int],
    spins: SpinArrays,
    steps: NDArray[np.float64],
    moves: NDArray[np.float64],
    repeats: NDArray[np.int64],
    rotation: Float32,
) -> None:
    """Rotation of one pulse for some blocks.

    Parameters
    ----------
    blocks
        First, and one behind the last.
    steps
        Rows (time, bx, by, frequency) [s, Hz], shape (n_steps, 4).
    moves
        What the frequency of a spin is proportional to in each step: gradients [Hz/m], 1, extra strengths; shape
        (n_steps, n_coordinates).
    repeats
        How often each row is played, int64; long steps come divided so that each turns by at most 4 rad.
    rotation
        Shape ``(n_blocks, 9 * BLOCK)``, float32; written.
    """
    quaternion, offset_hz = np.empty(4 * BLOCK, dtype=np.float32), np.empty(BLOCK, dtype=np.float32)
    for block in range(blocks[0], blocks[1]):
        quaternion[:BLOCK] = F32(1.0)
        quaternion[BLOCK:] = F32(0.0)
        b1, middle = spins.b1[block], spins.middle[block]
        for k in range(len(steps)):
            frequency = steps[k, 3]
            for j in range(len(middle)):
                frequency += middle[j] * moves[k, j]
            turns_of(spins.place[block], moves[k], F32(frequency), offset_hz)
            half, bx, by = F32(np.pi * steps[k, 0]), F32(steps[k, 1]), F32(steps[k, 2])
            for _ in range(repeats[k]):
                _compose_step(half, bx, by, b1, offset_hz, quaternion)
        _matrices(quaternion, rotation[block])
