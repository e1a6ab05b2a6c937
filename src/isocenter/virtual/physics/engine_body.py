# SPDX-License-Identifier: MIT
"""The spins where they are now: placed in magnet and coils, moved with the patient, wandering."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import Scanner
from isocenter.virtual.physics.engine_faults import EngineFaults, Surroundings
from isocenter.virtual.physics.engine_fields import along_device, effective_position_m
from isocenter.virtual.physics.kernels import SpinArrays
from isocenter.virtual.physics.motion import Pose
from isocenter.virtual.physics.spins import ALIKE, BLOCK, Layout, SpinSet, block_layout

FIRST_PLACE: Final = Pose(np.eye(3), np.zeros(3))
WANDER_M: Final = 2e-4
"""How much further spins may diffuse in one run than they have before it [m]."""


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
    weights
        By which spins were put into blocks.
    radius_m
        Distance of the furthest spin from the isocenter, in the first place [m].
    """

    def __init__(self, spins: SpinSet, scanner: Scanner, faults: EngineFaults) -> None:
        self._scanner, self._faults = scanner, faults
        self.weights: tuple[float, ...] = ALIKE
        self._nonlinearity = along_device(faults.gradients.nonlinearity, scanner.gradients.channel_from_device)
        self._own = spins
        coordinates, b1, weight = self._in_magnet(spins, spins.position_m)
        self._layout = block_layout(coordinates, spins.tissue, len(spins.t1_s))
        self.n_blocks = self._layout.n_blocks
        self._fill(coordinates, b1, weight)
        self.pose = FIRST_PLACE
        self.radius_m = float(np.linalg.norm(spins.position_m, axis=1).max())
        self._first = self.arrays.place[:, : 3 * BLOCK].copy() if faults.has_diffusion else None
        self._still = self._first

    def _in_magnet(
        self, spins: SpinSet, position_m: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.floating], NDArray[np.inexact]]:
        """Coordinates, transmit field and weights of spins at some places, in the order of the set."""
        coordinates, around = self._at(position_m)
        coordinates[3] = spins.offset_hz + around.offset_hz
        return coordinates, spins.b1_scale * around.b1_scale, np.atleast_2d(spins.weight * around.sensitivity)

    def _fill(self, coordinates: NDArray[np.float64], b1: NDArray[np.floating], weight: NDArray[np.inexact]) -> None:
        """Arrays of blocks from values in the order of the set."""
        n = len(coordinates)
        place = np.empty((self.n_blocks, n, BLOCK), dtype=np.float32)
        middle = np.empty((self.n_blocks, n))
        for row, values in enumerate(coordinates):
            middle[:, row], place[:, row] = self._about_middle(values)
        parts = [self._layout.spread(part) for part in (weight.real, weight.imag)]
        self.arrays = SpinArrays(
            place=place.reshape(self.n_blocks, n * BLOCK),
            middle=middle,
            b1=self._layout.spread(b1),
            weight=np.concatenate(parts, axis=-1),
            tissue=self._layout.block_tissue,
        )
        self._half = self._measured()

    def rearrange(self, weights: tuple[float, ...]) -> Layout | None:
        """Make blocks of spins that are alike by other weights; returns the layout before, None if nothing changed.

        Spins that wander stay in the blocks that they began in.
        """
        if weights == self.weights or self._faults.has_diffusion:
            return None
        before, spins = self._layout, self._own
        coordinates, b1, weight = self._in_magnet(spins, self.pose.apply(spins.position_m))
        self._layout = block_layout(coordinates, spins.tissue, len(spins.t1_s), weights)
        self.weights = weights
        self._fill(coordinates, b1, weight)
        return before

    @property
    def layout(self) -> Layout:
        """Where each spin of the set is."""
        return self._layout

    def _about_middle(self, values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Middle of each block, and how far its spins are from it; subtracted before digits are lost."""
        rough = self._layout.spread(values, is_padded=True)
        middle = (rough.min(axis=1).astype(np.float64) + rough.max(axis=1)) / 2
        return middle, self._layout.spread(values - middle[self._layout.slot // BLOCK], is_padded=True)

    def half_widths(self) -> NDArray[np.float64]:
        """Half width of each block in each coordinate, shape (n_blocks, n_coordinates)."""
        return self._half if self._still is None else self._measured()

    def _measured(self) -> NDArray[np.float64]:
        place = self.arrays.place.reshape(self.n_blocks, -1, BLOCK)
        wandering_m = WANDER_M if self._faults.has_diffusion else 0.0
        half = np.maximum(place.max(axis=2), -place.min(axis=2)).astype(np.float64)
        half[:, :3] += wandering_m
        return np.asarray(half, dtype=np.float64)

    def reach(self) -> NDArray[np.float64]:
        """How far the furthest spin is from zero in each coordinate, shape (n_coordinates,)."""
        return np.asarray((np.abs(self.arrays.middle) + self.half_widths()).max(axis=0))

    def _at(self, position_m: NDArray[np.floating]) -> tuple[NDArray[np.float64], Surroundings]:
        """Coordinates of spins (the fourth, frequency, is left open), shape (n_coordinates, n), and fields there."""
        position_m = np.asarray(position_m, dtype=np.float64)  # so that a place gives the same however it was reached
        channel_from_device = self._scanner.gradients.channel_from_device
        radius_m = self._scanner.magnet.imaging_diameter_m / 2
        place = effective_position_m(position_m, self._nonlinearity, radius_m) @ channel_from_device.T
        parts = [place.T, np.zeros((1, len(place)))]
        if self._faults.concomitant is not None:
            parts.append(self._faults.concomitant.functions_m2(position_m @ channel_from_device.T))
        if self._faults.surroundings is None:
            one = np.ones(1, dtype=np.float32)
            around = Surroundings(0 * one, one, one)
        else:
            around = self._faults.surroundings(position_m)
        return np.concatenate(parts), around

    def reset(self) -> None:
        """Back to the first place."""
        if self.pose is not FIRST_PLACE:
            self.move(FIRST_PLACE)
        if self._first is not None:
            self.arrays.place[:, : 3 * BLOCK] = self._first
            self._still = self._first

    def move(self, pose: Pose) -> None:
        """Lay the body elsewhere: fields of magnet and coils are those of the new place."""
        wandered = None if self._still is None else self.arrays.place[:, : 3 * BLOCK] - self._still
        self._fill(*self._in_magnet(self._own, pose.apply(self._own.position_m)))
        self.pose = pose
        if wandered is not None:
            self._still = self.arrays.place[:, : 3 * BLOCK].copy()
            self.arrays.place[:, : 3 * BLOCK] += wandered
