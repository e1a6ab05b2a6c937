# SPDX-License-Identifier: MIT
"""Gradients that come late: measured with readouts of both polarities, corrected in lines and trajectories."""

from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError

Complex: TypeAlias = NDArray[np.complex64]
_LEAST_AGREEMENT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PolarityDifference:
    """What differs between a readout and one that runs backwards through the same line.

    Attributes
    ----------
    delay_s
        By how much the gradient is late [s].
    frequency_hz
        How far the frequency is off; it moves the two images apart [Hz].
    phase_rad
        Phase of the forward readout minus that of the backward one at the centre [rad].
    agreement
        How well the two then agree, 0 ... 1.
    """

    delay_s: float
    frequency_hz: float
    phase_rad: float
    agreement: tuple[float]


def compare_polarities(
    forward: Complex, backward: Complex, dwell_s: float, centre_sample: float, *, largest_delay: float = 8.0
) -> PolarityDifference:
    """Delay of a gradient from one line read in both directions.

    Parameters
    ----------
    forward, backward
        complex64, shape ``(n_channels, n_samples)``, each in the order of time, with the same nominal centre.
    dwell_s
        Sample spacing [s].
    centre_sample
        Sample at which k should be zero in both.
    largest_delay
        That is looked for [samples].

    Raises
    ------
    ReconError
        The two readouts do not belong together.

    Source
    ------
    A late gradient moves both echoes later, reference domain.md 2, row 10. Turned round, the backward line is the forward
    one with twice the delay and twice the frequency: the peak of their cross-ambiguity function.
    """
    from scipy.optimize import minimize

    n = forward.shape[-1]
    time = np.arange(n) - centre_sample
    spectrum_f, frequency = _spectrum(forward, centre_sample)
    mirror, _ = _spectrum(backward, centre_sample)
    size = len(frequency)
    mirror = np.roll(mirror[:, ::-1], 1, axis=1)  # of the line turned round about its centre
    t = np.fft.fftfreq(size, 1 / size)
    norm = float(np.linalg.norm(forward) * np.linalg.norm(backward))
    if not norm > 0:
        raise _no_match(0.0)

    def correlate(delay: float, turn: float) -> complex:
        later = np.fft.ifft(spectrum_f * np.exp(2j * np.pi * frequency * delay), axis=1)
        earlier = np.fft.ifft(mirror * np.exp(-2j * np.pi * frequency * delay), axis=1)
        return complex((later * earlier.conj() * np.exp(-4j * np.pi * turn * t)).sum()) / norm

    best, start = -1.0, np.zeros(2)
    for delay in np.arange(-largest_delay, largest_delay + 0.25, 0.5):
        later = np.fft.ifft(spectrum_f * np.exp(2j * np.pi * frequency * delay), axis=1)
        earlier = np.fft.ifft(mirror * np.exp(-2j * np.pi * frequency * delay), axis=1)
        heights = np.abs(np.fft.fft((later * earlier.conj()).sum(axis=0)))
        at = int(np.argmax(heights))
        if heights[at] > best:
            best, start = float(heights[at]), np.array([delay, frequency[at] / 2])
    step = np.array([0.25, 0.25 / len(time)])
    limits = {"initial_simplex": start + step * np.array([[0, 0], [1, 0], [0, 1]]), "xatol": 1e-5, "fatol": 1e-9}
    found = minimize(lambda x: -abs(correlate(x[0], x[1])), start, method="Nelder-Mead", options=limits)
    delay, turn = (float(value) for value in found.x)
    if (agreement := -float(found.fun)) < _LEAST_AGREEMENT:
        raise _no_match(agreement)
    return PolarityDifference(
        delay_s=delay * dwell_s,
        frequency_hz=turn / dwell_s,
        phase_rad=float(np.angle(correlate(delay, turn))),
        agreement=(agreement,),
    )


def remove_delay(samples: Complex, delay_s: float, dwell_s: float) -> Complex:
    """Lines as if the gradient had been in time, for any polarity.

    Parameters
    ----------
    samples
        complex64, shape ``(..., n_samples)``, in the order of time.
    delay_s
        By how much the gradient is late [s].
    dwell_s
        Sample spacing [s].
    """
    from scipy import fft

    n = samples.shape[-1]
    size = 2 * n  # so that an end does not run into the other
    turns = np.fft.fftfreq(size) * (delay_s / dwell_s)
    moved = fft.ifft(fft.fft(samples, size, axis=-1) * np.exp(2j * np.pi * turns).astype(np.complex64), axis=-1)
    return cast(Complex, np.ascontiguousarray(moved[..., :n]).astype(np.complex64, copy=False))


def remove_polarity_difference(
    samples: Complex, is_backward: NDArray[np.bool_], difference: PolarityDifference, dwell_s: float, centre_sample: float
) -> Complex:
    """Lines of an echo-planar scan as if forward and backward readouts were alike: no ghost at half the field of view.

    Parameters
    ----------
    samples
        complex64, shape ``(n_readouts, n_channels, n_samples)``, in the order of time.
    is_backward
        Which run backwards (label REV), shape ``(n_readouts,)``.
    difference
        From ``compare_polarities`` of two reference readouts.
    dwell_s, centre_sample
        As there.
    """
    time_s = (np.arange(samples.shape[-1]) - centre_sample) * dwell_s
    steady = np.exp(-2j * np.pi * difference.frequency_hz * time_s)
    sign = np.where(is_backward, 1.0, -1.0)
    phase = np.exp(0.5j * sign * difference.phase_rad)
    moved = remove_delay(samples, difference.delay_s, dwell_s)
    return cast(Complex, (moved * steady * phase[:, None, None]).astype(np.complex64))


def delay_trajectory(
    trajectory_per_m: NDArray[np.floating], delays_s: tuple[float, float, float], dwell_s: float, axes: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Where samples really lay when each gradient channel was late.

    Parameters
    ----------
    trajectory_per_m
        Nominal, device axes [1/m], shape ``(n_readouts, n_samples, 3)``.
    delays_s
        Of the channels x, y, z [s].
    dwell_s
        Sample spacing [s].
    axes
        ``channel_from_device``, shape (3, 3).

    Returns
    -------
        float32, of the same shape: nominal place of a moment earlier, by cubic interpolation between samples, straight on
        before the first one.
    """
    from scipy.interpolate import CubicSpline

    path = np.asarray(trajectory_per_m, dtype=np.float64) @ np.asarray(axes, dtype=np.float64).T
    n = path.shape[1]
    out = np.empty_like(path)
    for channel, delay_s in enumerate(delays_s):
        late = np.arange(n) - delay_s / dwell_s
        inside = np.clip(late, 0, n - 1)
        out[..., channel] = CubicSpline(np.arange(n), path[..., channel], axis=1)(inside)
        ends = path[:, 1, channel] - path[:, 0, channel], path[:, -1, channel] - path[:, -2, channel]
        out[..., channel] += np.outer(ends[0], np.minimum(late, 0)) + np.outer(ends[1], np.maximum(late - (n - 1), 0))
    return (out @ np.asarray(axes, dtype=np.float64)).astype(np.float32)


def _spectrum(line: Complex, centre: float) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Spectrum with time counted from the centre, zero-filled to twice the length, and its frequencies per sample."""
    size = 2 * line.shape[-1]
    frequency = np.asarray(np.fft.fftfreq(size), dtype=np.float64)
    return np.fft.fft(line, size, axis=-1) * np.exp(2j * np.pi * frequency * centre), frequency


def _no_match(agreement: float) -> ReconError:
    return ReconError(
        f"The two readouts of opposite polarity agree to {agreement:.0%} only; the delay cannot be measured.",
        "Check that both measure the same line without phase encoding, and that the signal is well above the noise.",
    )
