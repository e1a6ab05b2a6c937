# SPDX-License-Identifier: MIT
"""How a magnet's frequency follows its temperature, learnt from its own history: the first guess of a warm start.

The frequency is taken to be a level and a slope times the temperature. The level belongs to a coil (what is in it, and where
it lies) and to a stretch of the history: a magnet that was moved, shimmed or exchanged starts a new one. The slope belongs
to the magnet, so all stretches tell of it together. Single wrong values have no weight.

Source
------
Reference domain.md 2, step 13 and warm start: slope by linear regression of (temperature, frequency). The slope that starts
the fit is the weighted median of the slopes of pairs (Theil 1950, Sen 1968), of near neighbours only, since few of those lie
on two sides of a jump.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.scanner import Magnet
from isocenter.domain.units import signed

Floats: TypeAlias = NDArray[np.float64]

LEAST_SPREAD_C: Final = 0.2
"""Standard deviation of the temperatures, below which a slope is not learnt [K]."""
LEAST_VALUES: Final = 5
_NEWEST: Final = 300  # values of a history that count
_NEIGHBOURS: Final = 8
_LEAST_PAIR_C: Final = 0.05
_OUTLIER: Final = 4.0  # standard deviations
_FLOOR_HZ: Final = 5.0  # no frequency is measured better
_JUMP_PPM: Final = 400.0  # no coil or patient shifts the frequency so much
_JUMP_SIGMAS: Final = 8.0
_SIDE: Final = 3  # so many values must agree that a jump was one
_ASSUMED: Final = 0.3  # how wrong the hardware file's slope may be, as a part of it
_BEST: Final = 0.15  # a slope is learnt when it is known better than that
_PLAUSIBLE: Final = (0.2, 3.0)  # times the hardware file's
_OTHER_COIL_HZ: Final = 300.0
_SIGMAS: Final = 4.0
_LEAST_SPAN_HZ: Final = 3000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyGuess:
    """Where to look for the frequency first.

    Attributes
    ----------
    larmor_hz, sd_hz
        Most likely frequency, and how uncertain it is; NaN for not known.
    span_hz
        It is worth to look so far to either side before the whole range of the magnet is searched.
    text
        For the operator: what it is based on.
    """

    larmor_hz: float
    sd_hz: float
    span_hz: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Frequency of one coil at one temperature, from its newest stretch."""

    coil: str
    temperature_c: float
    larmor_hz: float
    sd_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftModel:
    """What the history tells.

    Attributes
    ----------
    slope_hz_per_c, slope_sd_hz_per_c
        Change of frequency with temperature.
    is_learnt
        False when the slope is the hardware file's.
    text
        For people: what the slope is based on, and why it was not learnt.
    scatter_hz
        How far measured values lie from the model, robust standard deviation; NaN when there are too few.
    n_used, n_left_out
        Values that count, and those that do not agree with the others.
    levels
        Newest last; empty without a history.
    magnet
        Of the hardware file.
    """

    slope_hz_per_c: float
    slope_sd_hz_per_c: float
    is_learnt: bool
    text: str
    scatter_hz: float
    n_used: int
    n_left_out: int
    levels: tuple[_Level, ...]
    magnet: Magnet

    def guess(self, temperature_c: float, coil: str = "") -> FrequencyGuess:
        """First guess at a temperature, NaN for not known."""
        magnet = self.magnet
        if not self.levels:
            text = "The frequency was never measured; the search starts at the hardware file's."
            return FrequencyGuess(larmor_hz=magnet.larmor_hz, sd_hz=float("nan"), span_hz=magnet.search_span_hz, text=text)
        level = next((level for level in reversed(self.levels) if level.coil == coil or not coil), self.levels[-1])
        elsewhere_hz = 0.0 if level.coil == coil or not coil else _OTHER_COIL_HZ
        change_c = temperature_c - level.temperature_c
        if np.isnan(change_c):
            text = "There is no temperature to go by; the search starts at the last measured frequency."
            return FrequencyGuess(larmor_hz=level.larmor_hz, sd_hz=float("nan"), span_hz=magnet.search_span_hz, text=text)
        larmor_hz = level.larmor_hz + self.slope_hz_per_c * change_c
        sd_hz = float(np.hypot(np.hypot(level.sd_hz, self.slope_sd_hz_per_c * change_c), elsewhere_hz))
        low_hz, high_hz = magnet.larmor_hz - magnet.search_span_hz, magnet.larmor_hz + magnet.search_span_hz
        larmor_hz = min(max(larmor_hz, low_hz), high_hz)
        return FrequencyGuess(
            larmor_hz=larmor_hz,
            sd_hz=sd_hz,
            span_hz=min(max(_SIGMAS * sd_hz, _LEAST_SPAN_HZ), magnet.search_span_hz),
            text=f"Expected at {larmor_hz / 1e6:.4f} MHz ± {sd_hz:.0f} Hz, {signed(change_c, 2)} degrees from the last one. "
            f"{self.text}",
        )


def learn_drift(values: Sequence[CalibrationValue], magnet: Magnet) -> DriftModel:
    """Slope and levels of a magnet from all frequencies that were ever accepted.

    Parameters
    ----------
    values
        In the order in which they were accepted, of any quantity.
    magnet
        Of the hardware file, whose slope stands where the history does not tell.
    """
    usable = [value for value in values if value.quantity is Quantity.LARMOR and len(value.value) == 1]
    usable = [v for v in usable if abs(v.value[0] - magnet.larmor_hz) <= magnet.search_span_hz][-_NEWEST:]
    warm = [value for value in usable if np.isfinite(value.temperature_c)]
    if not warm:
        levels = tuple(
            _Level(coil=v.coil, temperature_c=float("nan"), larmor_hz=v.value[0], sd_hz=float("nan")) for v in usable[-1:]
        )
        return _assumed(magnet, levels, "no temperatures were measured with the frequency", float("nan"), (0, 0))
    f_hz = np.array([value.value[0] for value in warm])
    t_c = np.array([value.temperature_c for value in warm])
    coils = np.array([value.coil for value in warm])
    start = _median_slope(t_c, f_hz, coils, magnet.drift_hz_per_c)
    stretch, is_new = _stretches(f_hz - start * t_c, coils, _JUMP_PPM * 1e-6 * magnet.larmor_hz)
    fit = _refine(t_c, f_hz, stretch, start)
    counts = (int(fit.is_good.sum()), int((~fit.is_good).sum()))
    if why := _why_not_learnt(fit, magnet):
        left = _centred(f_hz - magnet.drift_hz_per_c * t_c, stretch)
        is_good = np.abs(left) <= _OUTLIER * max(_sigma(left), _FLOOR_HZ)
        levels = _levels(t_c, f_hz, coils, is_new, is_good, magnet.drift_hz_per_c)
        return _assumed(magnet, levels, why, fit.scatter_hz, counts)
    slope, sd = fit.slope_hz_per_c, fit.slope_sd_hz_per_c
    text = f"The slope of {slope:.0f} ± {sd:.0f} Hz per degree was learnt from {counts[0]} measurements."
    return DriftModel(
        slope_hz_per_c=fit.slope_hz_per_c,
        slope_sd_hz_per_c=fit.slope_sd_hz_per_c,
        is_learnt=True,
        text=text,
        scatter_hz=fit.scatter_hz,
        n_used=counts[0],
        n_left_out=counts[1],
        levels=_levels(t_c, f_hz, coils, is_new, fit.is_good, fit.slope_hz_per_c),
        magnet=magnet,
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Slope over the values that agree with it."""

    slope_hz_per_c: float
    slope_sd_hz_per_c: float
    scatter_hz: float
    spread_c: float
    is_good: NDArray[np.bool_]


def _assumed(magnet: Magnet, levels: tuple[_Level, ...], why: str, scatter_hz: float, counts: tuple[int, int]) -> DriftModel:
    slope = magnet.drift_hz_per_c
    return DriftModel(
        slope_hz_per_c=slope,
        slope_sd_hz_per_c=_ASSUMED * abs(slope),
        is_learnt=False,
        text=f"The slope of {slope:.0f} Hz per degree is the hardware file's: {why}.",
        scatter_hz=scatter_hz,
        n_used=counts[0],
        n_left_out=counts[1],
        levels=levels,
        magnet=magnet,
    )


def _why_not_learnt(fit: _Fit, magnet: Magnet) -> str:
    n_good = int(fit.is_good.sum())
    if n_good < LEAST_VALUES:
        return f"only {n_good} measurements to learn from, {LEAST_VALUES} are needed"
    if fit.spread_c < LEAST_SPREAD_C:
        return f"the temperature differed by only {fit.spread_c:.2f} degrees, {LEAST_SPREAD_C:g} are needed"
    if not fit.slope_sd_hz_per_c <= _BEST * max(abs(magnet.drift_hz_per_c), abs(fit.slope_hz_per_c)):
        return f"the measurements scatter too much ({fit.slope_hz_per_c:.0f} ± {fit.slope_sd_hz_per_c:.0f} Hz per degree)"
    ratio = fit.slope_hz_per_c / magnet.drift_hz_per_c if magnet.drift_hz_per_c else 1.0
    if not _PLAUSIBLE[0] <= ratio <= _PLAUSIBLE[1]:
        said = f"the measurements say {fit.slope_hz_per_c:.0f}, which no such magnet has"
        return f"{said}; check where the temperature sensor sits"
    return ""


def _median_slope(t_c: Floats, f_hz: Floats, coils: NDArray[np.str_], otherwise: float) -> float:
    """Weighted median of the slopes between near neighbours with the same coil."""
    slopes: list[float] = []
    weights: list[float] = []
    for coil in np.unique(coils):
        t, f = t_c[coils == coil], f_hz[coils == coil]
        for step in range(1, min(_NEIGHBOURS, len(t) - 1) + 1):
            dt, df = t[step:] - t[:-step], f[step:] - f[:-step]
            far = np.abs(dt) >= _LEAST_PAIR_C
            slopes += (df[far] / dt[far]).tolist()
            weights += np.abs(dt[far]).tolist()
    if not slopes:
        return otherwise
    order = np.argsort(slopes)
    summed = np.cumsum(np.array(weights)[order])
    return float(np.array(slopes)[order][np.searchsorted(summed, summed[-1] / 2)])


def _stretches(level_hz: Floats, coils: NDArray[np.str_], least_hz: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number of the stretch that each value belongs to, and whether it lies behind the last jump.

    Every coil has its own stretches, and a jump that one coil saw ends those of all: it was the magnet's.
    """
    stretch = np.zeros(len(level_hz), dtype=np.int64)
    jumps: list[int] = []
    for coil in np.unique(coils):
        rows = np.flatnonzero(coils == coil)
        jumps += [int(rows[cut]) for cut in _jumps(level_hz[rows], least_hz)]
    names: dict[tuple[str, int], int] = {}
    for row, coil in enumerate(coils):
        era = sum(row >= jump for jump in jumps)
        stretch[row] = names.setdefault((str(coil), era), len(names))
    return stretch, np.arange(len(coils)) >= max(jumps, default=0)


def _jumps(level_hz: Floats, least_hz: float) -> list[int]:
    """Where a level changes for good: several values on either side agree among themselves and not with the others."""
    steps = np.abs(np.diff(level_hz))
    sigma = 1.4826 * float(np.median(steps)) / np.sqrt(2) if len(steps) else 0.0
    limit = max(least_hz, _JUMP_SIGMAS * sigma)
    found: list[int] = []
    for row in range(_SIDE, len(level_hz) - _SIDE + 1):
        before, behind = level_hz[row - _SIDE : row], level_hz[row : row + _SIDE]
        is_cut = abs(np.median(behind) - np.median(before)) > limit and steps[row - 1] > limit / 2
        is_steady = max(np.ptp(before), np.ptp(behind)) < limit
        if is_cut and is_steady and (not found or row - found[-1] >= _SIDE):
            found.append(row)
    return found


def _centred(values: Floats, stretch: NDArray[np.int64]) -> Floats:
    """Values minus the median of their stretch."""
    medians = np.array([np.median(values[stretch == number]) for number in range(int(stretch.max()) + 1)])
    return np.asarray(values - medians[stretch], dtype=np.float64)


def _sigma(left_hz: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(left_hz)))


def _refine(t_c: Floats, f_hz: Floats, stretch: NDArray[np.int64], slope: float) -> _Fit:
    """Least squares with a level for each stretch, over the values that agree with the slope found so far."""
    is_good = np.ones(len(t_c), dtype=np.bool_)
    scatter, slope_sd, spread = float("nan"), float("inf"), 0.0
    for _ in range(4):
        left = _centred(f_hz - slope * t_c, stretch)
        scatter = max(_sigma(left), _FLOOR_HZ)
        is_good = np.abs(left) <= _OUTLIER * scatter
        t, f, numbers = t_c[is_good], f_hz[is_good], stretch[is_good]
        _, which = np.unique(numbers, return_inverse=True)
        n_each = np.bincount(which)
        dt, df = t - (np.bincount(which, t) / n_each)[which], f - (np.bincount(which, f) / n_each)[which]
        square, n_free = float(dt @ dt), len(t) - len(n_each) - 1
        if square <= 0 or n_free < 1:
            break
        slope = float(dt @ df) / square
        spread = float(np.sqrt(square / len(t)))
        slope_sd = float(np.sqrt(np.sum((df - slope * dt) ** 2) / n_free + _FLOOR_HZ**2) / np.sqrt(square))
    return _Fit(slope, slope_sd, scatter, spread, is_good)


def _levels(
    t_c: Floats,
    f_hz: Floats,
    coils: NDArray[np.str_],
    is_new: NDArray[np.bool_],
    is_good: NDArray[np.bool_],
    slope: float,
) -> tuple[_Level, ...]:
    """For each coil since the last jump, from its newest values: a level wanders slowly. Newest last."""
    levels: list[tuple[int, _Level]] = []
    for coil in np.unique(coils):
        rows = np.flatnonzero((coils == coil) & is_new)
        if len(rows) == 0:
            continue
        base = f_hz - slope * t_c
        scatter = max(_sigma(base[rows] - np.median(base[rows])), _FLOOR_HZ)
        good = rows[is_good[rows]]
        last = (good if len(good) else rows)[-3:]
        newest, level = int(rows[-1]), float(np.median(base[last]))
        doubt_hz = abs(float(base[newest]) - level)  # the newest may be wrong, or the first behind a jump
        at_c = float(t_c[newest])
        levels.append(
            (
                newest,
                _Level(
                    coil=str(coil),
                    temperature_c=at_c,
                    larmor_hz=level + slope * at_c,
                    sd_hz=float(np.hypot(scatter, doubt_hz)),
                ),
            )
        )
    return tuple(level for _, level in sorted(levels, key=lambda item: item[0]))
