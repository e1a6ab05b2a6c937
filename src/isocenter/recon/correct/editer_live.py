# SPDX-License-Identifier: MIT
"""Interference taken out while the scan runs, batch by batch, with what has been learnt so far."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.correct.record import MOST_CONTRAST, Complex, Record, Sums, check_lines, object_positions

_MEMORY_LINES: Final = 512.0
"""Lines after which an old one counts 1/e."""
_SURE: Final = 4.0
_RIDGE: Final = 1e-3


class LiveRemoval:
    """A fit that learns with each batch of lines. Not for use by several threads at once.

    Before a batch is learnt from, the fit so far must predict it: only while that has worked is anything subtracted. So the
    first batch is judged by its own two halves.
    """

    def __init__(self, *, taps: int = 7) -> None:
        self._taps = taps
        self._gram: Sums = np.zeros(0, dtype=np.complex128)
        self._cross: Sums = np.zeros(0, dtype=np.complex128)
        self._weight = 0.0
        self._score = (0.0, 0.0, 0)
        self._profiles: tuple[NDArray[np.float64], ...] = ()
        self._loud: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    @property
    def is_active(self) -> bool:
        """Whether the sensors have explained enough so far to be used."""
        total, squares, n = self._score
        return bool(n > 3 and total > _SURE * np.sqrt(squares))

    def add(self, coil: Complex, sensors: Complex) -> Complex:
        """Lines without interference.

        Parameters
        ----------
        coil
            complex64, shape ``(n_lines, n_coils, n_samples)`` or ``(n_lines, n_samples)``, the lines that follow.
        sensors
            complex64, shape ``(n_lines, n_sensors, n_samples)``.

        Returns
        -------
            Of the shape of ``coil``; ``coil`` itself as long as the sensors explain nothing.

        Raises
        ------
        ReconError
            Shapes that do not belong together, or samples that are no numbers.
        """
        lines = coil if coil.ndim == 3 else coil[:, None]
        check_lines(lines, sensors)
        if lines.size == 0 or sensors.shape[1] == 0 or not lines.any():
            return coil
        self._listen(lines, sensors)
        record = self._scaled(lines, sensors)
        folds = np.arange(len(lines), dtype=np.int64) % 2
        gram, cross = record.sums(folds, 2, record.weights)
        if self._weight == 0:
            if len(lines) > 1:
                self._judge(record, self._solve(gram, cross)[::-1], folds)
        else:
            self._judge(record, np.tile(self._solve(self._gram[None], self._cross[None]), (2, 1, 1)), folds)
        self._learn(gram.sum(axis=0), cross.sum(axis=0), len(lines))
        if not self.is_active:
            return coil
        record.predict(self._solve(self._gram[None], self._cross[None]), np.zeros(len(lines), dtype=np.int64))
        record.subtract(np.ones(len(lines), dtype=bool))
        return record.cleaned().reshape(coil.shape)

    def _scaled(self, lines: Complex, sensors: Complex) -> Record:
        """Scaled and weighed as the first batch was, so that sums of several may be added."""
        if self._weight == 0:
            self._loud = np.sqrt(np.mean(np.abs(sensors) ** 2, axis=(0, 2)))
            self._loud[self._loud == 0] = 1
        record = Record(lines, sensors, self._taps, loud=self._loud, scale=1.0)
        record.weigh(record.coil)
        return record

    def _judge(self, record: Record, fits: Sums, folds: NDArray[np.int64]) -> None:
        power = record.power(record.coil) * np.diff(record.starts) * record.weights
        gains = record.gains(fits, folds, record.edge).sum(axis=1) / max(float(power.mean()), 1e-30)
        total, squares, n = self._score
        keep = float(np.exp(-len(gains) / _MEMORY_LINES))
        self._score = keep * total + float(gains.sum()), keep**2 * squares + float((gains**2).sum()), n + len(gains)

    def _learn(self, gram: Sums, cross: Sums, n_lines: int) -> None:
        if self._weight == 0:
            self._gram, self._cross = gram, cross
        else:
            keep = np.exp(-n_lines / _MEMORY_LINES)
            self._gram, self._cross = keep * self._gram + gram, keep * self._cross + cross
        self._weight += n_lines

    def _listen(self, lines: Complex, sensors: Complex) -> None:
        """Learn where in a line the object is strong, and how loud the sensors are there."""
        power = (np.abs(lines) ** 2).sum(axis=(0, 1), dtype=np.float64), (np.abs(sensors) ** 2).sum(axis=0, dtype=np.float64)
        self._profiles = tuple(a + b for a, b in zip(self._profiles, power, strict=True)) if self._profiles else power

    def _solve(self, gram: Sums, cross: Sums) -> Sums:
        """Fits without sensors that hear the object."""
        from isocenter.recon.correct import stiff

        strong, weak = object_positions(self._profiles[0])
        heard = self._profiles[1]
        deaf = heard[:, strong].mean(axis=1) <= MOST_CONTRAST * heard[:, weak].mean(axis=1)
        used = np.repeat(deaf, 2 * self._taps + 1)
        solution: Sums = stiff.solve_stiff(
            gram * np.outer(used, used), cross * used[:, None], np.full((len(gram), 1), _RIDGE)
        )[0]
        return solution
