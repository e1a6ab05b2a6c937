# SPDX-License-Identifier: MIT
"""A head scan in a ward full of interference, made from continuous formulas: nothing here knows how it will be removed."""

from dataclasses import dataclass

import numpy as np

ELLIPSES = (  # amplitude, centre x, y, half axes a, b as parts of the field of view
    (1.0, 0.0, 0.0, 0.30, 0.38),
    (-0.7, 0.0, 0.0, 0.27, 0.35),
    (0.4, -0.08, 0.05, 0.07, 0.16),
    (0.5, 0.1, -0.1, 0.05, 0.05),
    (0.9, 0.05, 0.2, 0.02, 0.03),
)


def head_kspace(n_lines: int, n_samples: int, ellipses=ELLIPSES) -> np.ndarray:
    """Exact Fourier transform of ellipses, s(k) = int rho exp(+2 pi i k r), k in cycles per field of view."""
    from scipy.special import j1

    ky, kx = np.meshgrid(np.arange(n_lines) - n_lines // 2, np.arange(n_samples) - n_samples // 2, indexing="ij")
    total = np.zeros(kx.shape, dtype=complex)
    for amplitude, x, y, a, b in ellipses:
        radius = 2 * np.pi * np.hypot(a * kx, b * ky)
        jinc = np.where(radius > 1e-9, j1(radius) / np.maximum(radius, 1e-9), 0.5)
        total += amplitude * 2 * np.pi * a * b * jinc * np.exp(2j * np.pi * (kx * x + ky * y))
    return total


@dataclass
class Ward:
    coil: np.ndarray
    sensors: np.ndarray
    clean: np.ndarray


def make_ward(
    n_lines=128,
    n_samples=128,
    n_sensors=5,
    n_sources=7,
    *,
    level=1.0,
    drift=0.3,
    bursts=4,
    noise=0.02,
    sensor_noise=0.03,
    seed=1,
    leak=0.0,
) -> Ward:
    """Broadband, tonal and bursting sources through short filters that differ per channel and change from line to line.

    ``level``: interference over the rms of the k-space of the head; the other figures are over it too, or over 1.
    """
    rng = np.random.default_rng(seed)
    clean = head_kspace(n_lines, n_samples)
    clean = clean / np.sqrt(np.mean(np.abs(clean) ** 2))

    def white(*shape):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)

    margin, n_filter = 16, 9
    n_long = n_samples + 2 * margin
    sources = np.empty((n_sources, n_lines, n_long), dtype=complex)
    for s in range(n_sources):
        one = white(n_lines, n_long)
        if s % 3 == 1:  # a band
            spectrum = np.fft.fft(one, axis=1)
            f = np.fft.fftfreq(n_long)
            spectrum *= np.exp(-0.5 * ((f - rng.uniform(-0.4, 0.4)) / 0.05) ** 2)
            one = np.fft.ifft(spectrum, axis=1)
        elif s % 3 == 2:  # a tone that wanders
            f = rng.uniform(-0.45, 0.45) + 0.002 * rng.standard_normal((n_lines, 1))
            one = white(n_lines, 1) * np.exp(2j * np.pi * f * np.arange(n_long))
        one /= np.sqrt(np.mean(np.abs(one) ** 2))
        strength = 1 + 0.5 * np.sin(2 * np.pi * np.arange(n_lines) / n_lines * rng.uniform(1, 4) + rng.uniform(0, 6))
        sources[s] = one * strength[:, None]
    for _ in range(bursts):  # a source of its own for single lines
        line = rng.integers(n_lines)
        sources[rng.integers(n_sources), line] *= 8

    def through_filters():
        # gain of the channel times a short filter, both turning slowly with the line
        decay = np.exp(-np.abs(np.arange(n_filter) - n_filter // 2) / 1.0)
        h = white(n_sources, 1, n_filter) * decay + white(n_sources, 1, 1) * (np.arange(n_filter) == n_filter // 2)
        turn = drift * np.cumsum(white(n_sources, n_lines), axis=1) / np.sqrt(n_lines)
        heard = np.zeros((n_lines, n_long), dtype=complex)
        for s in range(n_sources):
            for i in range(n_filter):
                heard += h[s, 0, i] * np.exp(1j * turn[s].real)[:, None] * np.roll(sources[s], i - n_filter // 2, axis=1)
        heard = heard[:, margin:-margin]
        return heard / np.sqrt(np.mean(np.abs(heard) ** 2))

    noisy = clean + noise * white(n_lines, n_samples)
    coil = noisy + (level * through_filters() if level else 0)
    sensors = np.stack([through_filters() if level else 0 * clean for _ in range(n_sensors)], axis=1)
    sensors = sensors + sensor_noise * white(*sensors.shape) + leak * clean[:, None]
    return Ward(coil.astype(np.complex64), sensors.astype(np.complex64), noisy.astype(np.complex64))


def background_rms(kspace: np.ndarray) -> float:
    """Root mean square of an image outside the head: the outer eighth on either side along phase."""
    image = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(kspace)))
    edge = len(image) // 16
    rows = np.r_[:edge, len(image) - edge : len(image)]
    return float(np.sqrt(np.mean(np.abs(image[rows]) ** 2)))
