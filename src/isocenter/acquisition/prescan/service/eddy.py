# SPDX-License-Identifier: MIT
"""Eddy currents as sums of exponentials, from the phase that they leave on projections. Arrays in, values out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import AcquisitionError

MAX_TERMS: Final = 3
NEEDED_SPAN: Final = 900.0
"""Longest over shortest delay: three decades, less the rounding of the shortest. Source: reference domain.md 2, row 11."""
MIN_SNR: Final = 20.0
SIGNIFICANT: Final = 5.0
"""An amplitude below so many times its uncertainty is none."""
MAX_SHARE: Final = 0.3
"""Of a gradient, or in metres of a shift: what is more is no eddy current."""
_SHORTEST_TAU_S: Final = 3e-5
_APART: Final = 1.5
_MAX_ODD: Final = 0.25
_MAX_MISFIT: Final = 0.15
_START_TAUS_S: Final = ((0.01,), (0.001, 0.03), (0.0003, 0.005, 0.08))

Floats = NDArray[np.float64]
Complex = NDArray[np.complexfloating]


@dataclass(frozen=True, slots=True, kw_only=True)
class EddyTiming:
    """When things happened.

    Attributes
    ----------
    delays_s
        From the end of the gradient to the middle of the excitation [s], shape ``(n,)``.
    te_s
        From there to the echo [s].
    pulse_s, ramp_s
        Length of the gradient with its ramps, and of one ramp [s].
    """

    delays_s: Floats
    te_s: float
    pulse_s: float
    ramp_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EddyFit:
    """Exponentials.

    Attributes
    ----------
    shares
        Field left just after a step, over the step; negative opposes it. Of a field shift: in metres, field over gradient.
    time_constants_s
        With which they die out [s], ascending.
    shares_sd, time_constants_sd_s
        Of both.
    fitted
        What was measured, as the fit has it; shape of the delays.
    """

    shares: Floats
    time_constants_s: Floats
    shares_sd: Floats
    time_constants_sd_s: Floats
    fitted: Floats


def phase_between(plus: Complex, none: Complex, minus: Complex, place_m: Floats, noise: float) -> tuple[float, float, float]:
    """What a gradient left between excitation and echo, from projections after +G, nothing and -G.

    Parameters
    ----------
    plus, none, minus
        complex, shape ``(n,)``.
    place_m
        Of each point [m].
    noise
        Root mean square of a point's noise.

    Returns
    -------
        Gradient moment after +G [1/m], turns of the whole field, and the uncertainty of the turns.

    Raises
    ------
    AcquisitionError
        There is too little signal, or what is left does not change its sign with the gradient.
    """
    from scipy.optimize import minimize_scalar

    peak = float(np.abs(none).max())
    if not peak > MIN_SNR * noise:
        raise AcquisitionError(
            f"There is too little signal: {peak / max(noise, 1e-30):.1f} times the noise, needed {MIN_SNR:g}.",
            "Put the service phantom into the coil, find the frequency, shim, then repeat with more averages.",
        )

    def moment(first: Complex, second: Complex) -> tuple[float, float]:
        product = first * second.conj()
        trial = np.arange(-128, 129) / (4 * np.ptp(place_m))
        score = np.abs(np.exp(-2j * np.pi * np.outer(trial, place_m)) @ product)
        near, step = trial[int(np.argmax(score))], trial[1] - trial[0]
        found = minimize_scalar(
            lambda k: -abs(np.sum(product * np.exp(-2j * np.pi * k * place_m))),
            bounds=(near - step, near + step),
            method="bounded",
            options={"xatol": 1e-6 * step},
        )
        return float(found.x), float(np.angle(np.sum(product * np.exp(-2j * np.pi * found.x * place_m)))) / (2 * np.pi)

    both, up, down = moment(plus, minus), moment(plus, none), moment(none, minus)
    sd = noise / float(np.linalg.norm(none)) / (2 * np.pi)
    size_m = float(np.sqrt(np.average(place_m**2, weights=np.abs(none) ** 2)))
    odd = abs(up[0] - down[0]) * size_m, abs((up[1] - down[1] + 0.5) % 1 - 0.5)
    allowed = _MAX_ODD * (abs(both[0]) * size_m + abs(both[1])) + 8 * sd + 0.004
    if max(odd) > allowed:
        raise AcquisitionError(
            f"What is left of a gradient does not change its sign with it: {max(odd):.3f} turns differ, {allowed:.3f} are "
            "accepted.",
            "See that the phantom and the liquid in it do not move and the frequency is steady; then repeat.",
        )
    return both[0] / 2, both[1] / 2, sd


def unwrapped_from_end(turns: Floats) -> Floats:
    """Turns from two polarities, which wrap at half a turn; at the latest delay hardly anything is left."""
    return np.asarray(np.unwrap(turns[::-1], period=0.5)[::-1])


def fit_eddy(left: Floats, sd: float, per_share: float, timing: EddyTiming, *, least: float = 0.0) -> EddyFit:
    """Exponentials behind what was left.

    Parameters
    ----------
    left
        Integrals from each excitation to its echo: turns per metre, or turns.
    sd
        Uncertainty of each.
    per_share
        What a share of one of the gradient makes [turns per metre and second, or turns per metre and second times metres].
    timing
        When it was measured.
    least
        Shares that do not matter.

    Returns
    -------
        As few exponentials as explain it; none when nothing is left.

    Raises
    ------
    AcquisitionError
        The delays do not span three decades, or no three exponentials explain what was measured.

    Source
    ------
    reference domain.md 2, row 11: sum of exponentials over delays of 0.1 to 100 ms. Each ramp excites every exponential on
    its way, and the one that goes up has died out in part when the other comes down.
    """
    delays_s = timing.delays_s
    if len(delays_s) < 2 * MAX_TERMS + 2 or delays_s.max() < NEEDED_SPAN * delays_s.min():
        raise AcquisitionError(
            f"{len(delays_s)} delays from {delays_s.min() * 1e3:.3g} to {delays_s.max() * 1e3:.3g} ms do not span three "
            "decades.",
            "Measure at least 8 delays from 0.15 to 150 ms.",
        )
    scaled, unit = left / per_share, sd / abs(per_share)
    if np.sqrt(np.mean(scaled**2)) < 2 * unit or np.abs(scaled).max() < least * timing.te_s:
        return _nothing(len(left))
    best: EddyFit | None = None
    best_score = len(scaled) * np.log(np.mean(scaled**2) + unit**2)
    for n_terms in range(1, MAX_TERMS + 1):
        one, square = _fit(scaled, unit, timing, n_terms)
        score = len(scaled) * np.log(square + unit**2) + 2 * n_terms * np.log(len(scaled))
        if score < best_score and _is_plausible(one, timing):
            best, best_score = one, score
    if best is None or np.sqrt(np.mean((best.fitted - scaled) ** 2)) > _MAX_MISFIT * np.sqrt(np.mean(scaled**2)) + 2 * unit:
        raise AcquisitionError(
            f"No sum of up to {MAX_TERMS} exponentials explains what is left of the gradient: {1e5 * scaled[0]:.3g} % ms "
            f"after {1e3 * delays_s[0]:.3g} ms, {1e5 * scaled[-1]:.3g} % ms after {1e3 * delays_s[-1]:.3g} ms.",
            "Repeat with more averages; if it stays, look for an amplifier that rings or a loose coil.",
        )
    if np.abs(best.shares).max() < least:
        return _nothing(len(left))
    return EddyFit(
        shares=best.shares,
        time_constants_s=best.time_constants_s,
        shares_sd=best.shares_sd,
        time_constants_sd_s=best.time_constants_sd_s,
        fitted=best.fitted * per_share,
    )


def _nothing(n: int) -> EddyFit:
    none = np.zeros(0)
    return EddyFit(shares=none, time_constants_s=none, shares_sd=none, time_constants_sd_s=none, fitted=np.zeros(n))


def _is_plausible(fit: EddyFit, timing: EddyTiming) -> bool:
    """False for terms that fight each other, lie beyond what was measured, or are no stronger than their errors."""
    taus = fit.time_constants_s
    return bool(
        np.all(np.abs(fit.shares) > SIGNIFICANT * fit.shares_sd)
        and np.all(np.abs(fit.shares) < MAX_SHARE)
        and np.all(taus[1:] > _APART * taus[:-1])
        and np.all((taus > 1.05 * _SHORTEST_TAU_S) & (taus < 0.95 * _longest_s(timing)))
    )


def _longest_s(timing: EddyTiming) -> float:
    """Longest time constant that can be told from a constant [s]."""
    return 2 * float(timing.delays_s.max())


def response_s(timing: EddyTiming, time_constants_s: Floats) -> Floats:
    """Integral from each excitation to its echo for a share and gradient of one [s], shape ``(n_delays, n_terms)``."""
    tau = time_constants_s[np.newaxis]
    ramp, held_s = timing.ramp_s, timing.pulse_s - timing.ramp_s
    start = tau / ramp * -np.expm1(-ramp / tau) * np.expm1(-held_s / tau)
    delays_s = timing.delays_s[:, np.newaxis]
    return np.asarray(start * tau * np.exp(-delays_s / tau) * -np.expm1(-timing.te_s / tau))


def _fit(scaled: Floats, unit: float, timing: EddyTiming, n_terms: int) -> tuple[EddyFit, float]:
    from scipy.optimize import least_squares

    low, high = np.log(_SHORTEST_TAU_S), np.log(_longest_s(timing))
    sigma = np.sqrt(unit**2 + (0.002 * np.abs(scaled)) ** 2)

    def shares_at(log_tau: Floats) -> tuple[Floats, Floats]:
        table = response_s(timing, np.exp(log_tau))
        shares, *_ = np.linalg.lstsq(table / sigma[:, np.newaxis], scaled / sigma, rcond=1e-10)
        return np.asarray(shares, dtype=np.float64), table

    def left(log_tau: Floats) -> Floats:
        shares, table = shares_at(log_tau)
        return np.asarray((table @ shares - scaled) / sigma)

    starts = [np.log(np.array(_START_TAUS_S[n_terms - 1]) * factor) for factor in (0.2, 0.5, 1.0, 2.0)]
    found = min((least_squares(left, start, bounds=(low, high)) for start in starts), key=lambda one: float(one.cost))
    order = np.argsort(found.x)
    log_tau = found.x[order]
    shares, table = shares_at(log_tau)
    step = 1e-4
    slopes = np.stack(
        [(response_s(timing, np.exp(log_tau + step * unit_k)) - table) @ shares / step for unit_k in np.eye(n_terms)], axis=1
    )
    jacobian = np.concatenate([table, slopes], axis=1) / sigma[:, np.newaxis]
    chi = float(np.sum(((table @ shares - scaled) / sigma) ** 2)) / max(len(scaled) - 2 * n_terms, 1)
    variance = np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * max(chi, 1.0)
    spread = np.sqrt(np.maximum(variance, 0.0))  # rounding may leave less than nothing of one that is not determined
    fit = EddyFit(
        shares=shares,
        time_constants_s=np.exp(log_tau),
        shares_sd=spread[:n_terms],
        time_constants_sd_s=np.exp(log_tau) * spread[n_terms:],
        fitted=table @ shares,
    )
    return fit, float(np.mean((table @ shares - scaled) ** 2))
