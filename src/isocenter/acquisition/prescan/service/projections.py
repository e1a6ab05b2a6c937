# SPDX-License-Identifier: MIT
"""A ball's projections: how strong each gradient is, where it points, and how late it comes. Arrays in, values out."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import AcquisitionError

MIN_SNR: Final = 20.0
"""Of the projection's peak; below that its edge cannot be told to a hundredth."""
MAX_RESIDUAL: Final = 0.06
"""Largest rms deviation from a ball's projection, of its peak."""
MIN_WIDTH: Final = 2.0
"""Standard deviation of an object's projection, in points of its resolution; what is narrower may be a tone."""
_FINE: Final = 16
_QUIETEST: Final = 3.55  # rms of complex noise over that of its quietest 15 %
_MIN_MARGIN_M: Final = 4e-3

Floats = NDArray[np.float64]
Complex = NDArray[np.complexfloating]


@dataclass(frozen=True, slots=True, kw_only=True)
class BallEdges:
    """One projection of a ball on the axis of frequency.

    Attributes
    ----------
    centre_hz, radius_hz
        Of the ball as it shows [Hz].
    sd_hz
        Of both [Hz].
    frequency_hz, magnitude, fitted
        Of the projection, for the plot; shape ``(n,)``.
    """

    centre_hz: float
    radius_hz: float
    sd_hz: float
    frequency_hz: Floats
    magnitude: Floats
    fitted: Floats


def projection(line: Complex, dwell_s: float) -> tuple[Floats, Complex]:
    """Frequencies [Hz] and Hann-filtered spectrum of a line whose middle sample is k = 0, each of twice its length."""
    n = line.shape[-1]
    size = 2 * n
    padded = np.zeros(size, dtype=np.complex128)
    padded[size // 2 - n // 2 : size // 2 - n // 2 + n] = line * np.hanning(n + 2)[1:-1]
    spectrum = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(padded)))
    return np.fft.fftshift(np.fft.fftfreq(size, dwell_s)), spectrum


def require_object(line: Complex, dwell_s: float) -> tuple[Floats, Floats]:
    """Frequencies [Hz] and magnitude of a projection in which there is something that has a width.

    Raises
    ------
    AcquisitionError
        It is noise, or a tone.
    """
    frequency_hz, spectrum = projection(line, dwell_s)
    magnitude = np.abs(spectrum)
    noise, peak = _noise(magnitude), float(magnitude.max())
    if not peak > MIN_SNR * noise:
        raise AcquisitionError(
            f"There is too little signal of a phantom: {peak / max(noise, 1e-30):.1f} times the noise, needed {MIN_SNR:g}.",
            "Put the service phantom into the coil, find the frequency, then repeat with more averages.",
        )
    strong = np.where(magnitude > 0.1 * peak, magnitude, 0.0)
    middle_hz = np.average(frequency_hz, weights=strong)
    width_hz = float(np.sqrt(np.average((frequency_hz - middle_hz) ** 2, weights=strong)))
    points = width_hz * len(line) * dwell_s
    if points < MIN_WIDTH:
        raise AcquisitionError(
            f"What is seen is {points:.1f} points wide, which is no phantom; {MIN_WIDTH:g} are needed.",
            "Use the service phantom, and switch off chargers, lamps and supplies near the scanner; then repeat.",
        )
    return frequency_hz, magnitude


def fit_ball(line: Complex, dwell_s: float) -> BallEdges:
    """Fit a ball's projection, blurred as the line blurs it.

    Parameters
    ----------
    line
        complex, shape ``(n,)``; middle sample at k = 0.
    dwell_s
        Sample spacing [s].

    Raises
    ------
    AcquisitionError
        It is noise, or no ball.

    Source
    ------
    A ball of radius a projects to ``1 - (x / a)^2``; a slow change of the coil's sensitivity multiplies it.
    """
    from scipy.optimize import least_squares

    frequency_hz, magnitude = require_object(line, dwell_s)
    peak = float(magnitude.max())
    inside = frequency_hz[magnitude > peak / 2]
    centre, radius = float(inside.mean()), float(np.ptp(inside)) / np.sqrt(2)
    start = np.array([centre, max(radius, 2 / (len(line) * dwell_s)), peak, 0.0, 0.0])
    scale = np.array([start[1], start[1], peak, 1.0, 1.0])

    def left(x: Floats) -> Floats:
        return np.asarray((_ball(x * scale, frequency_hz, len(line), dwell_s) - magnitude) / peak)

    found = least_squares(left, start / scale, method="lm", max_nfev=200)
    residual = float(np.sqrt(np.mean(found.fun**2)))
    values = found.x * scale
    if not (residual < MAX_RESIDUAL and 0.3 * start[1] < values[1] < 3 * start[1]):
        raise AcquisitionError(
            f"What is seen is no ball: it differs from one by {residual * 100:.1f} % of its strength; at most "
            f"{MAX_RESIDUAL * 100:g} % is accepted.",
            "Use the ball, without anything else in the coil; make sure that the whole of it lies in the coil.",
        )
    near_singular = found.jac.T @ found.jac + 1e-12 * np.eye(len(values))
    spread = np.sqrt(np.diag(np.linalg.inv(near_singular))) * residual * scale
    return BallEdges(
        centre_hz=float(values[0]),
        radius_hz=float(values[1]),
        sd_hz=float(max(spread[0], spread[1])),
        frequency_hz=frequency_hz,
        magnitude=magnitude,
        fitted=_ball(values, frequency_hz, len(line), dwell_s),
    )


def _ball(x: Floats, frequency_hz: Floats, n: int, dwell_s: float) -> Floats:
    """Magnitude of the blurred projection for centre, radius, height, slope and bend of the sensitivity."""
    size = len(frequency_hz)
    fine_hz = np.fft.fftshift(np.fft.fftfreq(size * _FINE // 2, dwell_s / (_FINE // 2))) / (_FINE // 2)
    u = (fine_hz - x[0]) / max(x[1], 1e-9)
    profile = np.clip(1 - u**2, 0, None) * (1 + x[3] * u + x[4] * u**2)
    signal = np.fft.ifft(np.fft.ifftshift(profile))
    index = np.fft.fftfreq(len(profile), 1 / len(profile))
    window = np.zeros(len(profile))
    middle = np.abs(index) <= n // 2
    window[middle] = 0.5 + 0.5 * np.cos(2 * np.pi * index[middle] / (n + 1))
    blurred = np.abs(np.fft.fftshift(np.fft.fft(signal * window)))
    return np.asarray(x[2] * np.interp(frequency_hz, fine_hz, blurred))


def _noise(magnitude: Floats) -> float:
    """Root mean square of the noise, from the quietest part of the band without its falling edges; an upper bound."""
    n = len(magnitude)
    quiet = np.sort(magnitude[n // 16 : n - n // 16])[: round(0.15 * n)]
    return float(np.sqrt(np.mean(quiet**2))) * _QUIETEST


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisScale:
    """One gradient from two projections of opposite polarity.

    Attributes
    ----------
    scale, scale_sd
        True over nominal gradient, without sign.
    shift_m
        Where the ball's centre shows along the nominal direction, at the true scale [m].
    background_share
        Gradient of the main field over that of the readout.
    offset_hz
        Of the frequency at the ball's centre [Hz].
    """

    scale: float
    scale_sd: float
    shift_m: float
    background_share: float
    offset_hz: float


def axis_scale(forward: BallEdges, backward: BallEdges, gradient_hz_per_m: float, radius_m: float) -> AxisScale:
    """Strength of a gradient: the mean of both polarities, since the main field adds to one and takes from the other."""
    radius_hz = (forward.radius_hz + backward.radius_hz) / 2
    true_hz_per_m = radius_hz / radius_m
    return AxisScale(
        scale=true_hz_per_m / gradient_hz_per_m,
        scale_sd=float(np.hypot(forward.sd_hz, backward.sd_hz)) / 2 / radius_hz * true_hz_per_m / gradient_hz_per_m,
        shift_m=(forward.centre_hz - backward.centre_hz) / 2 / true_hz_per_m,
        background_share=(forward.radius_hz - backward.radius_hz) / 2 / radius_hz,
        offset_hz=(forward.centre_hz + backward.centre_hz) / 2,
    )


def wiring(shift_m: Floats, centre_device_m: Floats) -> tuple[NDArray[np.float64] | None, float]:
    """Which device axis each channel drives, from where a phantom off the centre shows.

    Parameters
    ----------
    shift_m
        Where it shows along channels x, y, z [m], shape (3,).
    centre_device_m
        Where it lies, device axes [m], shape (3,).

    Returns
    -------
        ``channel_from_device``, a signed permutation of shape (3, 3), and how far it is away from what was seen [m];
        None when another one explains it nearly as well, because the phantom lies too much in the middle or on a diagonal.
    """
    candidates = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            candidates.append((float(np.linalg.norm(matrix @ centre_device_m - shift_m)), matrix))
    candidates.sort(key=lambda one: one[0])
    away_m, best = candidates[0]
    margin_m = candidates[1][0] - away_m
    return (best if margin_m > max(_MIN_MARGIN_M, away_m) else None), away_m


def echo_centre(line: Complex) -> float:
    """Sample about which a line's power is even: where k is zero, as a ball's signal is the same on both sides of it."""
    power = np.abs(np.asarray(line, dtype=np.complex128)) ** 2
    power = power - np.median(power)
    n, finer = len(power), 8
    size = 2 * n
    mirrored = np.fft.fft(power, size) ** 2
    wide = np.zeros(size * finer, dtype=np.complex128)
    wide[: size // 2], wide[-(size // 2) :] = mirrored[: size // 2], mirrored[-(size // 2) :]
    score = np.fft.ifft(wide).real
    at = int(np.argmax(score))
    low, middle, high = score[at - 1], score[at], score[(at + 1) % len(score)]
    bend = low - 2 * middle + high
    return float((at + (0.5 * (low - high) / bend if bend < 0 else 0.0)) / finer / 2)
