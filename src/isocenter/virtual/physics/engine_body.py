# SPDX-License-Identifier: MIT
"""The spins where they are now: placed in magnet and coils, moved with the patient, wandering."""

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import Scanner
from isocenter.virtual.physics.engine_faults import EngineFaults, Surroundings
from isocenter.virtual.physics.engine_fields import along_device, effective_position_m
from isocenter.virtual.physics.kernels import SpinArrays
from isocenter.virtual.physics.motion import Pose
from isocenter.virtual.physics.sampling import Extent, extent_of
from isocenter.virtual.physics.spins import SpinSet, block_layout

FIRST_PLACE = Pose(np.eye(3), np.zeros(3))


class Body:
    """Spins in blocks, and what the kernels read of them.

    Attributes
    ----------
    arrays
        For the kernels.
    n_blocks
        Number of blocks.
    pose
        Where the body lies.
    extent
        Of the object with all that it may move.
    reach_m, reach_hz, largest_b1, reach_extra
        How far spins are off in each way, for the length of a step in a pulse.
    """

    def __init__(self, spins: SpinSet, scanner: Scanner, faults: EngineFaults) -> None:
        self._scanner, self._faults = scanner, faults
        self._layout = block_layout(spins.tissue, len(spins.t1_s))
        self.n_blocks = self._layout.n_blocks
        self._nonlinearity = along_device(faults.gradients.nonlinearity, scanner.gradients.channel_from_device)
        place, around, extra = self._at(spins.position_m, spins)
        offset = spins.offset_hz + around.offset_hz
        weight = np.atleast_2d(spins.weight * around.sensitivity)
        self.arrays = SpinArrays(
            self._layout.spread(place[:, 0]),
            self._layout.spread(place[:, 1]),
            self._layout.spread(place[:, 2]),
            self._layout.spread(offset),
            self._layout.spread(spins.b1_scale * around.b1_scale),
            self._layout.spread(weight.real),
            self._layout.spread(weight.imag),
            self._layout.block_tissue,
            self._layout.spread(extra),
        )
        self.pose = FIRST_PLACE
        size_m = float(np.linalg.norm(spins.position_m, axis=1).max()) or 1.0
        moves = faults.motion.reach_m(size_m) / size_m if faults.motion else 0.0
        stretch = 1.0 + moves + (0.02 if faults.has_diffusion else 0.0)
        self.extent: Extent = extent_of(
            place.astype(np.float32), offset, float(spins.t2_s.min()), extra=extra, stretch=stretch
        )
        self.radius_m = size_m
        # A step of a pulse may turn the outermost spin by no more than this, whatever the direction of its gradient.
        self.reach_m = np.abs(place).max(axis=0) * stretch
        self.reach_hz = float(np.abs(offset).max()) * stretch
        self.reach_extra = np.abs(extra).max(axis=1, initial=0.0) * stretch**2
        self.largest_b1 = float(np.abs(self.arrays.b1).max()) * stretch
        self._own = spins if faults.motion else None
        self._still = self._copy() if faults.has_diffusion else ()
        self._first = self._copy() if faults.has_diffusion else ()

    def _copy(self) -> tuple[NDArray[np.float32], ...]:
        return tuple(part.copy() for part in (self.arrays.x, self.arrays.y, self.arrays.z))

    def _at(
        self, position_m: NDArray[np.floating], spins: SpinSet
    ) -> tuple[NDArray[np.floating], Surroundings, NDArray[np.float32]]:
        """Places as the gradients see them, fields there, and extra functions of space."""
        position_m = np.asarray(position_m, dtype=np.float64)  # so that a place gives the same however it was reached
        channel_from_device = self._scanner.gradients.channel_from_device
        radius_m = self._scanner.magnet.imaging_diameter_m / 2
        effective = effective_position_m(position_m, self._nonlinearity, radius_m)
        place = effective @ channel_from_device.T
        if self._faults.surroundings is None:
            one = np.ones(1, dtype=np.float32)
            around = Surroundings(0 * one, one, one)
        else:
            around = self._faults.surroundings(position_m)
        extra = np.zeros((0, len(spins)), dtype=np.float32)
        if self._faults.concomitant is not None:
            extra = self._faults.concomitant.functions_m2(position_m @ channel_from_device.T)
        return place, around, extra

    def reset(self) -> None:
        """Back to the first place."""
        if self.pose is not FIRST_PLACE:
            self.move(FIRST_PLACE)
        for part, first in zip((self.arrays.x, self.arrays.y, self.arrays.z), self._first, strict=False):
            part[:] = first
        self._still = self._first

    def move(self, pose: Pose) -> None:
        """Lay the body elsewhere: fields of magnet and coils are those of the new place."""
        spins = self._own
        if spins is None:
            raise ValueError("a body that was made without motion cannot move")
        wandered = [
            now - still for now, still in zip((self.arrays.x, self.arrays.y, self.arrays.z), self._still, strict=False)
        ]
        found, around, extra = self._at(pose.apply(spins.position_m), spins)
        spread, arrays = self._layout.spread, self.arrays
        weight = np.atleast_2d(spins.weight * around.sensitivity)
        for into, values in (
            (arrays.x, found[:, 0]),
            (arrays.y, found[:, 1]),
            (arrays.z, found[:, 2]),
            (arrays.offset, spins.offset_hz + around.offset_hz),
            (arrays.b1, spins.b1_scale * around.b1_scale),
            (arrays.weight_re, weight.real),
            (arrays.weight_im, weight.imag),
            (arrays.extra, extra),
        ):
            into[:] = spread(values)
        self.pose = pose
        if self._still:
            self._still = self._copy()
            for place, step in zip((arrays.x, arrays.y, arrays.z), wandered, strict=True):
                place[:] += step
