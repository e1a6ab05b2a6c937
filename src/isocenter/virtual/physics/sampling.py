# SPDX-License-Identifier: MIT
"""Which samples of a readout say all about a block of spins, and the matrix from them to the others.

The spins of a block are neighbours. On the carrier of its middle their phases differ by few turns over a whole readout,
whatever the gradients do in it: constant, on a ramp, with eddy currents. So their sum is one of few functions of time, and
an interpolative decomposition picks as many samples as there are such functions. It is made once for readouts of one *shape*
(the path through k-space and time from its first sample) and blocks of about one size, over spins from the corners and the
inside of such a block, and its largest error there is below ``TOLERANCE``.

Source of the decomposition: Cheng, Gimbutas, Martinsson, Rokhlin, SIAM J. Sci. Comput. 26 (2005) 1389, by pivoted QR of a
random sketch, as in Halko, Martinsson, Tropp, SIAM Review 53 (2011) 217.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from isocenter.virtual.physics.kernels import SkeletonArrays

TOLERANCE: Final = 1e-4
"""Largest error of an interpolated sample of a new skeleton relative to the sum of its spins' magnitudes."""
ACCEPTED: Final = 2e-4
"""The same for a skeleton that was made for a slightly different path."""
SHORTEST: Final = 12
"""Pieces of fewer samples are computed sample by sample."""
LONGEST: Final = 600
"""Longer stretches are cut [samples]."""
FEWEST_BLOCKS: Final = 16
"""For fewer blocks than this a skeleton costs more than it saves."""
MOST_SHAPES: Final = 256
"""Shapes that are kept from run to run."""
_TRIED: Final = 4
_WORTH: Final = 0.6  # of the samples; more nodes than that save nothing
_CUT: Final = 2e-5  # of the largest singular value, about
_SMALLEST_TURNS: Final = 0.05
_STEP: Final = 1.35
_INSIDE: Final = 56


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Samples that say all about blocks up to a size.

    Attributes
    ----------
    half
        Largest half width of a block in each coordinate, shape (n_coordinates,).
    node
        The samples, int64, shape (m,); none: every sample has to be computed.
    matrix
        From them to all, float32, shape (m, n).
    """

    half: NDArray[np.float64]
    node: NDArray[np.int64]
    matrix: NDArray[np.float32]

    def error(self, path: NDArray[np.float64], *, is_quick: bool = False) -> float:
        """Largest error on spins of such a block for a path, shape (n, n_coordinates); on a few of them if quick."""
        waves = _corner_waves(path, self.half) if is_quick else _waves(path, self.half)
        return float(np.abs(waves[:, self.node] @ self.matrix - waves).max())


@dataclass(frozen=True, slots=True)
class _Shape:
    path: NDArray[np.float64]
    skeletons: tuple[Skeleton, ...]


@dataclass(slots=True)
class Shapes:
    """Shapes of readouts that were met, and their skeletons.

    Attributes
    ----------
    factor
        How much larger than now blocks may become before a new skeleton is needed.
    """

    factor: float = 1.02
    _shapes: list[_Shape] = field(default_factory=list)
    _by_length: dict[int, list[int]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all."""
        self._shapes.clear()
        self._by_length.clear()

    def forget_if_many(self) -> None:
        """Forget all when there are too many; call it between runs."""
        if len(self._shapes) > MOST_SHAPES:
            self.clear()

    def find(self, path: NDArray[np.float64], half: NDArray[np.float64]) -> int:
        """Number of the shape of a path (counted from its first sample), shape (n, n_coordinates); -1 if it is too short.

        ``half`` are half widths of all blocks, shape (n_blocks, n_coordinates).
        """
        n = len(path)
        if n < SHORTEST or len(half) < FEWEST_BLOCKS:
            return -1
        largest = half.max(axis=0)
        numbers = self._by_length.setdefault(n, [])
        for number in numbers:
            if np.abs((self._shapes[number].path - path) @ largest).max() < TOLERANCE / (2 * np.pi):
                return number
        for number in numbers[-_TRIED:]:
            if all(
                skeleton.error(path, is_quick=True) < ACCEPTED
                for skeleton in self._shapes[number].skeletons
                if len(skeleton.node)
            ):
                return number
        self._shapes.append(_Shape(path, _skeletons(path, half, self.factor)))
        numbers.append(len(self._shapes) - 1)
        return len(self._shapes) - 1

    def arrays(self, used: NDArray[np.int64], half: NDArray[np.float64]) -> SkeletonArrays:
        """Skeletons of some shapes in the form that the kernels read; shapes are counted as in ``used``."""
        of_block = np.full((len(used), len(half)), -1, dtype=np.int64)
        found: list[Skeleton] = []
        for row, number in enumerate(used.tolist()):
            for skeleton in sorted(self._shapes[number].skeletons, key=lambda s: -len(s.node)):
                if len(skeleton.node):
                    of_block[row, (half <= skeleton.half).all(axis=1)] = len(found)
                    found.append(skeleton)
        n = np.array([len(skeleton.node) for skeleton in found], dtype=np.int64)
        size = np.array([skeleton.matrix.size for skeleton in found], dtype=np.int64)
        nothing = np.zeros(0)
        return SkeletonArrays(
            of_block=of_block,
            n=n,
            first=np.cumsum(n) - n,
            offset=np.cumsum(size) - size,
            node=np.concatenate([nothing.astype(np.int64), *(skeleton.node for skeleton in found)]),
            matrix=np.concatenate([nothing.astype(np.float32), *(skeleton.matrix.ravel() for skeleton in found)]),
        )


def _skeletons(path: NDArray[np.float64], half: NDArray[np.float64], factor: float) -> tuple[Skeleton, ...]:
    """A skeleton for each class of blocks of about the same spread of phases."""
    swing = half @ np.ptp(path, axis=0)
    level = np.ceil(np.log(np.maximum(swing, _SMALLEST_TURNS) / _SMALLEST_TURNS) / np.log(_STEP)).astype(np.int64)
    classes = [half[level == each].max(axis=0) * factor for each in np.unique(level)]
    return tuple(_skeleton(path, largest) for largest in classes)


def _skeleton(path: NDArray[np.float64], half: NDArray[np.float64]) -> Skeleton:
    waves = _waves(path, half)
    n = len(path)
    rows = int(2.2 * float(half @ np.ptp(path, axis=0))) + 36
    rng = np.random.default_rng(2)
    while True:
        sketch = rng.normal(size=(rows, len(waves))) @ waves if rows < len(waves) else waves
        _, triangle, order = qr(sketch, mode="economic", pivoting=True)
        size = np.abs(np.diag(triangle))
        rank = int(np.count_nonzero(size > _CUT * size[0]))
        if rank < len(size) or rows >= n:
            matrix = np.zeros((rank, n))
            matrix[:, order[:rank]] = np.eye(rank)
            matrix[:, order[rank:]] = solve_triangular(triangle[:rank, :rank], triangle[:rank, rank:])
            found = Skeleton(half, order[:rank].astype(np.int64), matrix.astype(np.float32))
            if rank < _WORTH * n and found.error(path) < TOLERANCE:
                return found
        if rows >= min(len(waves), n):
            break
        rows *= 2
    return Skeleton(half, np.zeros(0, dtype=np.int64), np.zeros((0, n), dtype=np.float32))


def _waves(path: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Real and imaginary parts of the signals of spins all over a block, shape (2 n_spins, n)."""
    swing = half * np.ptp(path, axis=0)
    places = [np.random.default_rng(1).uniform(-1, 1, (_INSIDE, len(half))) * half]
    for axis in np.flatnonzero(swing > 1e-6):
        n = 2 * int(np.ceil(swing[axis])) + 8
        along = np.zeros((n, len(half)))
        along[:, axis] = half[axis] * np.cos(np.pi * np.arange(n) / (n - 1))
        places.append(along)
    turns = 2 * np.pi * np.concatenate(places) @ path.T
    return np.concatenate([np.cos(turns), np.sin(turns), _corner_waves(path, half)])


_CORNERS: Final = np.random.default_rng(3).choice([-1.0, 1.0], (12, 16))


def _corner_waves(path: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for spins in corners of a block, where errors are largest."""
    turns = 2 * np.pi * (_CORNERS[:, : len(half)] * half) @ path.T
    return np.concatenate([np.cos(turns), np.sin(turns)])
