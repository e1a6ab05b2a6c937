# SPDX-License-Identifier: MIT
"""The hot loop that makes one rotation a spin of all the steps of a pulse, as quaternions in single precision."""

from typing import TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.kernels import SpinArrays, turns_of
from isocenter.virtual.physics.spins import BLOCK

F32 = np.float32
Float32: TypeAlias = NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _compose_step(lo: int, spins: SpinArrays, step: Float32, offset_hz: Float32, quaternion: Float32) -> None:
    """Multiply one step's rotation on the left; step is (time, bx, by) in s and Hz."""
    half, bx, by = F32(np.pi) * step[0], step[1], step[2]
    b1 = spins.b1[lo : lo + BLOCK]
    q0, q1, q2, q3 = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    for i in range(BLOCK):
        hx, hy = half * bx * b1[i], half * by * b1[i]
        hz = half * offset_hz[i]
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
        Rows (time, bx, by, gx, gy, gz, frequency, 1, extra ...) [s, Hz, Hz/m], float32, shape (n_steps, 8 + n_extra).
    repeats
        How often each row is played, int64; long steps come divided so that each turns by at most 4 rad.
    rotation
        Shape ``(n_blocks, 9, BLOCK)``, float32; written.
    """
    quaternion = np.empty((4, BLOCK), dtype=np.float32)
    offset_hz = np.empty(BLOCK, dtype=np.float32)
    for block in range(first_block, last_block):
        quaternion[0, :] = F32(1.0)
        quaternion[1:, :] = F32(0.0)
        for k in range(len(steps)):
            turns_of(block * BLOCK, spins, steps[k, 3:8], steps[k, 8:], offset_hz)
            for _ in range(repeats[k]):
                _compose_step(block * BLOCK, spins, steps[k], offset_hz, quaternion)
        _matrices(quaternion, rotation[block])
