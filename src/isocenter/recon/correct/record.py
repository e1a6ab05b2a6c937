# SPDX-License-Identifier: MIT
"""A record of coil and sensors while interference is taken out of it."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError

Complex: TypeAlias = NDArray[np.complex64]
Sums: TypeAlias = NDArray[np.complex128]
Positions: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.bool_]]
Parts: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

MOST_CONTRAST: Final = 2.0
"""Power of a sensor at the centre of the lines over that at their ends, above which it hears the object."""
RIDGES: Final = np.array([1e-4, 1e-2, 0.3])
"""Stiffness of a fit over the mean power of a sensor; which one is used is decided on unseen lines."""
_STRETCH: Final = 32
"""Samples that are weighed together; twice as many in long lines."""


def check_lines(lines: Complex, sensors: Complex) -> None:
    """Refuse lines and sensors that cannot be used together."""
    if sensors.ndim != 3 or sensors.shape[0] != lines.shape[0] or sensors.shape[2] != lines.shape[2]:
        raise ReconError(
            f"The sensors have shape {sensors.shape}; the coil has {lines.shape[0]} lines of {lines.shape[2]} samples.",
            "Give sensor samples of shape (lines, sensors, samples) that were taken together with the coil's.",
        )
    if not np.isfinite(lines.sum() + sensors.sum()):  # one that is no number spoils the sum
        raise ReconError(
            "Some samples of the coil or of the sensors are no numbers.",
            "Leave out the interference removal, and check the receiver: samples were lost or damaged.",
        )


def deaf_to_object(sensors: Complex, positions: Positions) -> NDArray[np.bool_]:
    """Sensors that are no louder at the centre of the lines, where the object is, than at the ends."""
    strong, weak = positions
    power = np.mean(_power(sensors), axis=0)
    deaf: NDArray[np.bool_] = power[:, strong].mean(axis=1) <= MOST_CONTRAST * power[:, weak].mean(axis=1)
    return deaf


def positions_in(lines: Complex) -> Positions:
    """Samples of a line where the object is strong and where it is weak, told from the lines."""
    power = _power(lines[:: max(len(lines) // 64, 1)])
    middle = len(power) // 2
    sorted_ = np.partition(np.ascontiguousarray(power.transpose(1, 2, 0)), middle, axis=-1)
    return object_positions(sorted_[..., middle].sum(axis=0))


def _power(values: Complex) -> NDArray[np.float32]:
    return values.real**2 + values.imag**2


def object_positions(profile: NDArray[np.floating]) -> Positions:
    """Samples of a line where the object is strong and where it is weak."""
    return profile >= np.quantile(profile, 7 / 8), profile <= np.median(profile)


class Record:
    """A record on its way: sensors with margins, weights, and what is left of the coil. Not for several threads."""

    def __init__(
        self,
        lines: Complex,
        sensors: Complex,
        taps: int,
        *,
        loud: NDArray[np.float32] | None = None,
        scale: float = 0.0,
        positions: Positions | None = None,
    ) -> None:
        n_samples = lines.shape[2]
        self.scale = scale or float(np.sqrt(np.mean(_power(lines))))
        if loud is None:
            loud = np.sqrt(np.mean(_power(sensors), axis=(0, 2)))
        loudness = np.where(loud > 0, loud, 1)[:, None].astype(np.float32)
        padded = (len(lines), sensors.shape[1], n_samples + 2 * taps)
        self.sensors: Parts = np.zeros(padded, dtype=np.float32), np.zeros(padded, dtype=np.float32)
        inner = slice(taps, taps + n_samples)
        self.sensors[0][..., inner], self.sensors[1][..., inner] = sensors.real / loudness, sensors.imag / loudness
        self.coil: Parts = _parts(lines / np.float32(self.scale))
        self.residual: Parts = (self.coil[0].copy(), self.coil[1].copy())
        self._predicted: Parts = (np.zeros_like(self.coil[0]), np.zeros_like(self.coil[1]))
        stretch = 2 * _STRETCH if n_samples >= 8 * _STRETCH else _STRETCH
        self.starts = np.linspace(0, n_samples, max(round(n_samples / stretch), 2) + 1).astype(np.int64)
        self.n_taps = sensors.shape[1] * (2 * taps + 1)
        self.weights = np.ones((len(lines), len(self.starts) - 1), dtype=np.float32)
        self.edge = np.ones(self.weights.shape, dtype=bool)
        self._lines = lines
        self._strong, self._weak = positions or positions_in(lines)
        self.n_strong, self.n_weak = int(self._strong.sum()), int(self._weak.sum())

    def power(self, parts: Parts) -> NDArray[np.float32]:
        """Mean power of each stretch of each line."""
        from isocenter.recon.correct import taps

        power: NDArray[np.float32] = taps.stretch_power(parts, self.starts)
        return power

    def weigh(self, parts: Parts) -> None:
        """Give stretches where the object is strong little weight, and trust the weaker half of all to judge a fit."""
        power = self.power(parts)
        low = max(float(np.quantile(power, 0.3)), 1e-12)
        self.weights = (low / np.maximum(power, low)).astype(np.float32)
        self.edge = power <= np.median(power)

    def restart(self) -> None:
        """Forget all fits."""
        for left, whole in zip(self.residual, self.coil, strict=True):
            left[:] = whole

    def sums(self, bins: NDArray[np.int64], n_bins: int, weights: NDArray[np.float32]) -> tuple[Sums, Sums]:
        """Normal equations for what is left of the coil."""
        from isocenter.recon.correct import taps

        gram, cross = taps.sum_products(self.sensors, self.residual, self.starts, weights, bins, n_bins)
        return gram, cross

    def gains(self, fits: Sums, bins: NDArray[np.int64], where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """How much each stretch of each line would lose, weighted; zero where not asked for."""
        from isocenter.recon.correct import taps

        weights = self.weights if where is None else self.weights * where
        gains: NDArray[np.float64] = taps.stretch_gain(
            self.sensors, self.residual, fits.astype(np.complex64), bins, self.starts, weights
        )
        return gains

    def predict(self, fits: Sums, bins: NDArray[np.int64]) -> None:
        """Hold a prediction of what is left, for ``taken`` and ``subtract``."""
        from isocenter.recon.correct import taps

        taps.predict(self.sensors, fits.astype(np.complex64), bins, self._predicted)

    def taken(self, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Power that the prediction takes from each line where the object is strong, and where weak; then what there is."""
        from isocenter.recon.correct import taps

        taken: NDArray[np.float32] = taps.object_gain(self.residual, self._predicted, self._strong, self._weak, chosen)
        return taken

    def subtract(self, chosen: NDArray[np.bool_]) -> None:
        """Take the prediction out of the chosen lines."""
        for i in (0, 1):
            self.residual[i][chosen] -= self._predicted[i][chosen]

    def cleaned(self) -> Complex:
        """What is left, in the units of the coil; lines of which nothing was taken are those that were given."""
        left = np.empty(self.residual[0].shape, dtype=np.complex64)
        left.real, left.imag = self.residual
        same = (self.residual[0] == self.coil[0]).all(axis=(1, 2))
        left *= np.float32(self.scale)
        left[same] = self._lines[same]
        return left


def best_fits(
    gram: Sums, cross: Sums, judge: NDArray[np.intp], ridges: NDArray[np.float64] = RIDGES
) -> tuple[Sums, NDArray[np.float64]]:
    """Fit of each bin, as stiff as serves its judge best, and the stiffness.

    Parameters
    ----------
    gram, cross
        Normal equations of each bin.
    judge
        Which bin's lines say how good a fit is; a bin and its judge get the same stiffness.
    ridges
        Those to choose from.
    """
    from isocenter.recon.correct import stiff

    trials: Sums = stiff.solve_stiff(gram, cross, np.tile(ridges, (len(gram), 1)))
    gain = stiff.gains_of(gram, cross, trials, judge)
    best = np.argmax(gain + gain[:, judge], axis=0)
    return trials[best, np.arange(len(gram))], ridges[best]


def solve(gram: Sums, cross: Sums, ridge: NDArray[np.float64]) -> Sums:
    """Fit of each bin with the stiffness given."""
    from isocenter.recon.correct import stiff

    solution: Sums = stiff.solve_stiff(gram, cross, ridge[:, None])[0]
    return solution


def _parts(values: NDArray[np.complexfloating]) -> Parts:
    return np.ascontiguousarray(values.real, dtype=np.float32), np.ascontiguousarray(values.imag, dtype=np.float32)
