# SPDX-License-Identifier: MIT
"""Models of a nutation series, and the one that explains a series best without asking for more than the data say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Series = NDArray[np.inexact]

_GRID: Final = 500
_BETTER: Final = 8.0  # by so much must the Bayesian criterion fall for one more parameter
_OUTLIER: Final = 6.0  # residual over the spread of the others
_RIDGE: Final = 1e-12
_SMALL: Final = 0.05  # of the largest magnitude: below, the noise of a square does not get smaller any more
_MANY: Final = 9  # points from which a magnitude's constant may have any phase
_CAUTION: Final = 0.5  # of what the criterion says, since none of the models is quite true
_PRICE: Final = 6.0  # by so much is a model less likely beforehand for each parameter, in the unit of the criterion
_USUAL_SPREAD: Final = 0.15  # of B1 over an object
_USUAL_COMPRESSION: Final = 0.05  # of an amplifier at its end
_UNEVEN: Final = 0.05  # of the spread of B1, what the mean of B1 is off by when its distribution leans to one side
_EXTREME: Final = 0.9  # of the way to a bound: a parameter out there says that the model does not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted series; amplitudes as they were given.

    Attributes
    ----------
    a90, a90_sd, ratio, ratio_sd
        What makes 90°; what makes 180° over that.
    peak, floor
        Signal at 90°; constant part of the signal, or of its noise.
    sigma, rms, r2
        Standard deviation of what is left; over the peak; share of the variation that is explained.
    largest_rad
        Angle of the largest amplitude.
    b1_spread, saturation
        Of the model.
    is_extreme
        The model needs values that no coil and no amplifier has.
    outliers
        Places that were left out.
    curve
        Magnitude of the signal against amplitude.
    """

    a90: float
    a90_sd: float
    ratio: float
    ratio_sd: float
    peak: float
    floor: float
    sigma: float
    rms: float
    r2: float
    largest_rad: float
    b1_spread: float
    saturation: float
    is_extreme: bool
    outliers: tuple[int, ...]
    curve: Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which of the parameters beyond ``a90`` a model has: spread of B1, compression, saturation."""

    has_spread: bool = False
    has_compression: bool = False
    saturation: str = ""  # "steady" or "progressive"

    @property
    def n(self) -> int:
        return self.has_spread + self.has_compression + bool(self.saturation)

    def unpack(self, extra: Floats) -> tuple[float, float, float]:
        values = iter(extra.tolist())
        return (
            next(values) if self.has_spread else 0.0,
            next(values) if self.has_compression else 0.0,
            next(values) if self.saturation else 0.0,
        )

    def bounds(self) -> tuple[list[float], list[float]]:
        low = [0.0] * self.has_spread + [-0.3] * self.has_compression + [0.0] * bool(self.saturation)
        high = [0.5] * self.has_spread + [0.2] * self.has_compression + [0.97] * bool(self.saturation)
        return low, high

    def start(self) -> list[float]:
        return [0.05] * self.has_spread + [0.01] * self.has_compression + [0.3] * bool(self.saturation)


PLAIN: Final = _Shape()


def flip_rad(x: Floats, a90: float, compression: float) -> Floats:
    """Flip angle of an amplitude: 90° at ``a90``, from where on a compressing amplifier falls behind."""
    u = x / a90
    return np.asarray(np.pi / 2 * u * (1 - compression * u**2) / (1 - compression), dtype=np.float64)


def a180_over_a90(compression: float) -> float:
    """Smallest amplitude that makes 180°, over that of 90°; infinite when there is none."""
    u = np.linspace(1.5, 4.0, 2501)
    beyond = np.flatnonzero(flip_rad(u, 1.0, compression) >= np.pi)
    return float(u[beyond[0]]) if len(beyond) else float("inf")


def _response(shape: _Shape, x: Floats, a90: float, extra: Floats) -> Floats:
    spread, compression, e = shape.unpack(extra)
    theta = flip_rad(x, a90, compression)
    wave = np.sin(theta) * np.exp(-0.5 * (spread * theta) ** 2)
    if shape.saturation == "steady":
        wave = wave * (1 - e) / (1 - e * np.cos(theta))
    elif shape.saturation == "progressive":
        mz, before = 1.0, np.empty(len(x))
        for index, cosine in enumerate(np.cos(theta).tolist()):
            before[index] = mz
            mz = 1 - e + e * mz * cosine
        wave = wave * before
    return np.asarray(wave, dtype=np.float64)


class _Problem:
    """One series with its nuisance parameters, which are found by linear least squares for any curve.

    Complex and signed signals are ``A f + c``. Magnitudes are squared: ``A² f² + B f + C`` holds for noise that was
    rectified as well as for a constant of any phase.
    """

    def __init__(self, x: Floats, y: Series) -> None:
        self.x, self.n = x, len(x)
        self.is_magnitude = not np.iscomplexobj(y) and not np.any(y < 0)
        self.is_complex = np.iscomplexobj(y)
        self.parts = 2 if self.is_complex else 1
        self.y = np.asarray(y, dtype=np.complex128 if self.is_complex else np.float64)
        self.target = self.y**2 if self.is_magnitude else self.y
        size = np.abs(self.y)
        self.precision = 1 / (4 * size**2 + (_SMALL * size.max()) ** 2) if self.is_magnitude else np.ones(self.n)
        self.n_nuisance = (3 if self.n >= _MANY else 2) if self.is_magnitude else 2

    def columns(self, wave: Floats) -> Floats:
        """Shape ``(..., K, n)``."""
        powers = [wave**2, wave, np.ones_like(wave)] if self.is_magnitude else [wave, np.ones_like(wave)]
        if self.is_magnitude and self.n_nuisance == 2:
            del powers[1]
        return np.stack(powers, axis=-2)

    def nuisance(self, columns: Floats, weight: Floats) -> Series:
        """Shape ``(..., K)``."""
        weighted = columns * (weight * self.precision)[..., None, :]
        normal = weighted @ np.swapaxes(columns, -1, -2)
        normal = normal + _RIDGE * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(normal.shape[-1])
        return np.asarray(np.linalg.solve(normal, (weighted @ self.target)[..., None])[..., 0])

    def left(self, wave: Floats, weight: Floats) -> Series:
        """What a curve does not explain, in the unit of the signal, shape ``(..., n)``."""
        columns = self.columns(wave)
        model = (self.nuisance(columns, weight)[..., None, :] @ columns)[..., 0, :]
        return np.asarray((self.target - model) * np.sqrt(self.precision))

    def residual(self, wave: Floats, weight: Floats) -> Floats:
        left = self.left(wave, weight) * np.sqrt(weight)
        return left.view(np.float64) if self.is_complex else np.asarray(left, dtype=np.float64)

    def levels(self, wave: Floats, weight: Floats) -> tuple[float, float]:
        """Amplitude of the curve and size of the constant."""
        found = self.nuisance(self.columns(wave), weight)
        if self.is_magnitude:
            return float(np.sqrt(max(found[0].real, 0.0))), float(np.sqrt(max(found[-1].real, 0.0)))
        return float(abs(found[0])), float(abs(found[-1]))

    def magnitude(self, at: Floats, wave: Floats, weight: Floats) -> Floats:
        """Magnitude of the fitted curve where the wave is ``at``."""
        model = self.nuisance(self.columns(wave), weight) @ self.columns(at)
        return np.asarray(np.sqrt(np.maximum(model.real, 0)) if self.is_magnitude else np.abs(model), dtype=np.float64)


def fit_series(x: Floats, y: Series, *, is_recovered: bool) -> Fit:
    """The best model of a series whose largest amplitude is 1.

    A point that no model explains is left out, one in ten at most; further parameters are used where they are worth it.
    """
    problem = _Problem(x, y)
    a90 = _coarse(problem)
    weight = np.ones(len(x))
    shapes = _candidates(len(x), is_recovered=is_recovered)
    found, tried = _choose(problem, weight, a90, shapes)
    for _ in range(max(1, len(x) // 10)):
        dropped = _worst(problem, weight, found)
        if dropped is None:
            break
        weight[dropped] = 0.0
        found, tried = _choose(problem, weight, a90, shapes)
    return _describe(problem, weight, found, tried, is_recovered=is_recovered)


def _candidates(n: int, *, is_recovered: bool) -> list[_Shape]:
    shapes = [PLAIN]
    if n >= 8:
        shapes += [_Shape(has_spread=True), _Shape(has_compression=True)]
        if not is_recovered:
            shapes += [_Shape(saturation="steady"), _Shape(saturation="progressive")]
    if n >= 12:
        shapes += [_Shape(has_spread=True, has_compression=True)]
        if not is_recovered:
            shapes += [_Shape(has_spread=True, saturation="steady"), _Shape(has_spread=True, saturation="progressive")]
    return shapes


def _coarse(problem: _Problem) -> float:
    """The best plain curve over a wide range of periods, robust against a few bad points."""
    gaps = np.diff(np.unique(problem.x))
    shortest = max(1.1 * float(np.median(gaps)), 0.04)  # shorter ones alias
    trial = np.geomspace(shortest, 3.0, _GRID)
    wave = np.sin(np.pi / 2 * problem.x / trial[:, None])
    weight = np.ones(wave.shape)
    columns = problem.columns(wave)
    for _ in range(6):
        left = np.abs(problem.left(wave, weight))
        scale = np.median(left, axis=1, keepdims=True) + 1e-3 * np.abs(problem.y).max()
        weight = 1 / (1 + (left / (2.5 * scale)) ** 2)
    cost = np.log1p((left / (2.5 * scale)) ** 2).mean(axis=1) + 2 * np.log(scale[:, 0])
    if problem.is_magnitude:  # a curve upside down, or one that is mostly constant, is no nutation
        found = problem.nuisance(columns, weight)
        cost = cost + np.where((found[:, 0] <= 0) | (found[:, -1] > found[:, 0]), 10.0, 0.0)
    # Of two that are as good, the slower one: the faster needs angles between the points that nobody has seen.
    return float(trial[np.flatnonzero(cost <= cost.min() + 0.05)[-1]])


@dataclass(frozen=True, slots=True)
class _Found:
    shape: _Shape
    parameters: Floats  # log a90, extras
    cost: float  # sum of squares
    criterion: float
    covariance: Floats  # of the parameters

    @property
    def is_extreme(self) -> bool:
        """True when a parameter is where no coil, amplifier or sequence is."""
        low, high = (np.array(bound) for bound in self.shape.bounds())
        extra = self.parameters[1:]
        return bool(np.any((extra > _EXTREME * high) | (extra < _EXTREME * low - 1e-9)))

    @property
    def strangeness(self) -> float:
        """How unusual its parameters are, as minus twice the logarithm of how likely they are beforehand."""
        spread, compression, _ = self.shape.unpack(self.parameters[1:])
        return (spread / _USUAL_SPREAD) ** 2 + (compression / _USUAL_COMPRESSION) ** 2

    @property
    def is_idle(self) -> bool:
        """True when a parameter came out as nothing: a simpler model says the same."""
        return bool(np.any(np.abs(self.parameters[1:]) < 1e-4))


def _solve(problem: _Problem, weight: Floats, start: float, shape: _Shape) -> _Found:
    from scipy.optimize import least_squares

    def left(parameters: Floats) -> Floats:
        return problem.residual(_response(shape, problem.x, float(np.exp(parameters[0])), parameters[1:]), weight)

    low, high = shape.bounds()
    best = None
    shifts = (0.0, 0.12, -0.12) if shape == PLAIN or shape.has_compression else (0.0, 0.12) if shape.saturation else (0.0,)
    for log_a90 in np.log(start) + np.array(shifts):
        found = least_squares(
            left,
            np.array([log_a90, *shape.start()]),
            bounds=(np.array([np.log(start) - 0.7, *low]), np.array([np.log(start) + 0.7, *high])),
            x_scale=np.array([0.05, *([0.05] * shape.n)]),
            max_nfev=80,
        )
        best = found if best is None or found.cost < best.cost else best
    assert best is not None
    cost = 2 * float(best.cost)
    n = float(np.count_nonzero(weight)) * problem.parts
    floor = 1e-6 * float(np.sum(np.abs(problem.y) ** 2))  # what numbers are worth; no model is better than that
    criterion = n * float(np.log(max(cost, floor) / n)) + (1 + shape.n) * float(np.log(n))
    free = max(n - problem.parts * problem.n_nuisance - 1 - shape.n, 1.0)
    covariance = np.asarray(cost / free * np.linalg.pinv(best.jac.T @ best.jac), dtype=np.float64)
    return _Found(shape, best.x, cost, criterion, covariance)


def _choose(problem: _Problem, weight: Floats, start: float, shapes: list[_Shape]) -> tuple[_Found, list[_Found]]:
    """The best model, and all that were tried."""
    best = _solve(problem, weight, start, shapes[0])
    tried = [best]
    for shape in shapes[1:]:
        other = _solve(problem, weight, float(np.exp(best.parameters[0])), shape)
        tried.append(other)
        price = _BETTER * max(shape.n - best.shape.n, 0) + 1e-3
        if other.criterion < best.criterion - price:
            best = other
    return best, tried


def _average(best: _Found, tried: list[_Found]) -> tuple[float, float]:
    """``log a90`` over the models, each as likely as the data make it, and its standard deviation.

    A series of a few points cannot tell a little unevenness from a little compression, and each moves ``a90`` its own way.
    """
    held = [best, *(one for one in tried if one is not best and not one.is_extreme and not one.is_idle)]
    cost = np.array([_CAUTION * one.criterion + _PRICE * one.shape.n + one.strangeness for one in held])
    share = np.exp(-0.5 * (cost - cost.min()))
    share /= share.sum()
    each = np.array([one.parameters[0] for one in held])
    mean = float(share @ each)
    return mean, float(np.sqrt(share @ (np.array([one.covariance[0, 0] for one in held]) + (each - mean) ** 2)))


def _worst(problem: _Problem, weight: Floats, found: _Found) -> int | None:
    """A point that lies far from the curve through the others."""
    wave = _response(found.shape, problem.x, float(np.exp(found.parameters[0])), found.parameters[1:])
    left = np.abs(problem.left(wave, weight)) * weight
    place = int(np.argmax(left))
    others = np.delete(left, place)[np.delete(weight, place) > 0]
    spread = float(np.sqrt(np.mean(others**2)))
    limit = max(_OUTLIER * float(np.median(others)), 3 * spread, 0.02 * problem.levels(wave, weight)[0])
    return place if left[place] > limit else None


def _describe(problem: _Problem, weight: Floats, found: _Found, tried: list[_Found], *, is_recovered: bool) -> Fit:
    shape, parameters = found.shape, found.parameters
    log_a90, log_sd = _average(found, tried)
    a90 = float(np.exp(parameters[0]))
    wave = _response(shape, problem.x, a90, parameters[1:])
    n = float(weight.sum()) * problem.parts
    variance = found.cost / max(n - problem.parts * problem.n_nuisance - 1 - shape.n, 1.0)
    spread, compression, e = shape.unpack(parameters[1:])
    amplitude, constant = problem.levels(wave, weight)
    top = amplitude * float(np.exp(-0.5 * (spread * np.pi / 2) ** 2))
    mean = np.sum(weight * problem.y) / weight.sum()
    total = float(np.sum(weight * np.abs(problem.y - mean) ** 2))
    ratio, ratio_sd = _ratio(problem, weight, found, is_recovered=is_recovered)

    def curve(at: Floats) -> Floats:
        if shape.saturation == "progressive":  # depends on what was measured before
            order = np.argsort(problem.x)
            return np.interp(at, problem.x[order], problem.magnitude(wave, wave, weight)[order])
        return problem.magnitude(_response(shape, at, a90, parameters[1:]), wave, weight)

    return Fit(
        a90=float(np.exp(log_a90)),
        a90_sd=float(np.exp(log_a90) * np.hypot(log_sd * _memory(problem, wave, weight), _UNEVEN * spread)),
        ratio=ratio,
        ratio_sd=ratio_sd,
        peak=top,
        floor=constant,
        sigma=float(np.sqrt(variance)),
        rms=float(np.sqrt(found.cost / n) / max(top, 1e-12)),
        r2=1 - found.cost / total if total > 0 else 0.0,
        largest_rad=float(flip_rad(np.array([problem.x.max()]), a90, compression)[0]),
        b1_spread=spread,
        saturation=e,
        is_extreme=found.is_extreme,
        outliers=tuple(np.flatnonzero(weight == 0).tolist()),
        curve=curve,
    )


def _memory(problem: _Problem, wave: Floats, weight: Floats) -> float:
    """By how much a spread grows because neighbours are off alike, as they are when a model does not quite hold."""
    order = np.argsort(problem.x)
    left = problem.left(wave, weight)[order][weight[order] > 0]
    alike = float(np.sum(left[1:] * left[:-1].conj()).real / max(float(np.sum(np.abs(left) ** 2)), 1e-300))
    alike = min(max(alike, 0.0), 0.8)
    return float(np.sqrt((1 + alike) / (1 - alike)))


def _ratio(problem: _Problem, weight: Floats, found: _Found, *, is_recovered: bool) -> tuple[float, float]:
    """Amplitude of 180° over that of 90°, and its spread: compression is looked for even where the fit does without."""
    if (found.shape.saturation and not is_recovered) or problem.n < 8:
        return 2.0, float("nan")  # saturation bends the curve alike, so nothing can be told
    shape = _Shape(has_spread=found.shape.has_spread, has_compression=True)
    bent = found if found.shape.has_compression else _solve(problem, weight, float(np.exp(found.parameters[0])), shape)
    compression = bent.parameters[-1]
    slope = (a180_over_a90(0.01) - a180_over_a90(-0.01)) / 0.02
    sd = slope * float(np.sqrt(bent.covariance[-1, -1]))
    ratio = a180_over_a90(compression)
    if not found.shape.has_compression and abs(ratio - 2) < 3 * sd:
        return 2.0, sd
    return ratio, sd
