# SPDX-License-Identifier: MIT
"""Spectra and noise of readouts without encoding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import to_image


def spectrum(raw: RawScan, *, zero_fill: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Magnitude spectrum relative to the local oscillator: mean over readouts, root sum of squares over the coil's channels.

    Readouts are averaged as complex signals, so that what does not repeat averages away.

    Parameters
    ----------
    raw
        Readouts that measure the same thing.
    zero_fill
        Points of the spectrum per sample.

    Returns
    -------
        Frequency offset [Hz], increasing, zero at ``n // 2``, and magnitude, both of shape ``(n,)``. A signal of amplitude 1
        that fills the readout gives a peak of 1. A stronger field gives a positive offset (docs/conventions.md).

    Raises
    ------
    ReconError
        Nothing was measured.
    """
    if raw.samples.size == 0:
        raise ReconError("Not one readout was measured, so there is no spectrum.", "Run the scan again.")
    if zero_fill < 1:
        raise ValueError(f"zero_fill must be at least 1, not {zero_fill}")
    coil = np.delete(raw.samples, raw.sensor_channels, axis=1) if raw.sensor_channels else raw.samples
    mean = coil.mean(axis=0, dtype=np.complex128).astype(np.complex64)
    n_samples = mean.shape[-1]
    size = n_samples * zero_fill
    lines = to_image(mean, 1, size=size, centre=0.0, with_phase=False)
    frequency_hz = (np.arange(size) - size // 2) / (size * raw.dwell_s)
    magnitude = np.sqrt((np.abs(lines) ** 2).sum(axis=0)) / n_samples
    return frequency_hz, magnitude.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseStatistics:
    """What a readout without signal says of the receive chain, in the samples' own unit.

    Attributes
    ----------
    std
        Standard deviation of one part (real or imaginary), mean taken away, for each channel.
    mean
        Constant offset of each channel.
    covariance
        Between channels, complex, shape ``(n_channels, n_channels)``.
    iq_ratio
        Standard deviation of the real part over that of the imaginary part, for each channel; 1 is ideal.
    peak_over_mean
        Largest line of the averaged power spectrum over its mean, for each channel; large means interference.
    """

    std: NDArray[np.float64]
    mean: NDArray[np.complex128]
    covariance: NDArray[np.complex128]
    iq_ratio: NDArray[np.float64]
    peak_over_mean: NDArray[np.float64]


def noise_statistics(raw: RawScan) -> NoiseStatistics:
    """Noise of every channel over all readouts.

    Raises
    ------
    ReconError
        Fewer than two samples.
    """
    n_readouts, n_channels, n_samples = raw.samples.shape
    if n_readouts * n_samples < 2:
        raise ReconError(f"{n_readouts * n_samples} samples say nothing about noise.", "Measure a longer noise scan.")
    flat = raw.samples.transpose(1, 0, 2).reshape(n_channels, -1).astype(np.complex128)
    mean = flat.mean(axis=1)
    centred = flat - mean[:, np.newaxis]
    covariance = centred @ centred.conj().T / (flat.shape[1] - 1)
    real, imaginary = centred.real.std(axis=1, ddof=1), centred.imag.std(axis=1, ddof=1)
    power = np.abs(np.fft.fft(raw.samples - mean[:, np.newaxis], axis=2)) ** 2
    by_line = power.mean(axis=0)
    return NoiseStatistics(
        std=np.sqrt((real**2 + imaginary**2) / 2),
        mean=mean,
        covariance=covariance,
        iq_ratio=real / np.maximum(imaginary, np.finfo(np.float64).tiny),
        peak_over_mean=by_line.max(axis=1) / np.maximum(by_line.mean(axis=1), np.finfo(np.float64).tiny),
    )
