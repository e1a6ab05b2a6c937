# SPDX-License-Identifier: MIT
"""How the echoes of a train differ, from lines without phase encoding; what may be done about it without raising noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.fourier import Complex
from isocenter.recon.ghost import phase_between
from isocenter.recon.trains import TrainFit

_UNSURE_RAD: Final = 0.2  # an echo whose phase is known no better than this is left as it is
_STANDS_OUT: Final = 2.0  # times its error; less might as well be noise
_TINY_RAD: Final = 0.01  # what makes a ghost of less than half a percent is left alone
_LEAST_ECHOES: Final = 6  # that tell an oscillation from a parabola


def fit_reference(lines: Complex, echoes: NDArray[np.int32], central: int) -> TrainFit:
    """Differences between echoes from lines without phase encoding; 0 where they are lost in noise or too small to matter.

    What two lines differ by beyond phase and size is taken as noise, so that nothing else must be known of it.

    Parameters
    ----------
    lines
        Images along the readout of the reference lines, complex, shape ``(n_lines, n_channels, n_voxels)``.
    echoes
        Number of each, shape ``(n_lines,)``.
    central
        The echo to which all others are made alike.

    Raises
    ------
    ReconError
        An echo has no reference line, or noise hides the phase of half of them.
    """
    n_echoes = int(echoes.max()) + 1
    missing = sorted(set(range(n_echoes)) - set(echoes.tolist()))
    if missing or central >= n_echoes:
        raise ReconError(
            f"The reference train has no line of echo {missing[0] if missing else central}.", "Measure a whole train."
        )
    means = np.stack([lines[echoes == echo].mean(axis=0) for echo in range(n_echoes)])
    middle, spread = _extent(means[central])
    pairs = [_compare(means[central], mean, middle) for mean in means]
    sure = np.array([pair.error_rad < _UNSURE_RAD for pair in pairs])
    if not 2 * np.count_nonzero(sure) > n_echoes:
        raise ReconError(
            f"The reference train is too weak: noise hides the phase of {np.count_nonzero(~sure)} of {n_echoes} echoes.",
            "Measure more reference shots, or more signal.",
        )
    others = sure & (np.arange(n_echoes) != central)
    errors = np.array([pair.error_rad for pair in pairs])[others]
    turns, slopes = np.zeros(n_echoes), np.zeros(n_echoes)
    turns[others] = _beyond_noise(np.array([pair.turn_rad for pair in pairs])[others], errors)
    slopes[others] = _beyond_noise(np.array([pair.slope_rad for pair in pairs])[others] * spread, errors) / spread
    return TrainFit(
        constant_rad=turns - slopes * middle,
        slope_rad=slopes,
        amplitude=np.where(sure, [pair.gain for pair in pairs], np.nan),
        noise=float(np.median([pair.noise for pair, other in zip(pairs, others, strict=True) if other])),
        error_rad=float(np.sqrt(np.mean(errors**2))),
        n_unsure=int(np.count_nonzero(~sure)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One echo's image line over the central one's.

    Attributes
    ----------
    turn_rad, slope_rad, gain
        Phase in the middle of the signal and for each voxel; size over the central one's.
    error_rad
        To be expected of the phase; infinite when the two have nothing in common.
    noise
        In a voxel, over the central echo's signal.
    """

    turn_rad: float
    slope_rad: float
    gain: float
    error_rad: float
    noise: float


def _extent(line: Complex) -> tuple[float, float]:
    """Mean place of a line's signal from the centre, and its root mean square distance from there [voxels]."""
    power: NDArray[np.float64] = np.sum(np.abs(line) ** 2, axis=0, dtype=np.float64)
    voxel = np.arange(len(power)) - len(power) // 2
    total = max(float(power.sum()), 1e-300)
    middle = float(np.sum(power * voxel)) / total
    return middle, max(float(np.sqrt(np.sum(power * (voxel - middle) ** 2) / total)), 1e-3)


def _compare(central: Complex, other: Complex, middle: float) -> _Pair:
    """The other line by the central one, shape ``(n_channels, n_voxels)`` each."""
    total = float(np.sum(np.abs(central) ** 2, dtype=np.float64))
    try:
        phase = phase_between(central, other)
    except ReconError:
        return _Pair(turn_rad=0.0, slope_rad=0.0, gain=np.nan, error_rad=np.inf, noise=np.inf)
    product = central.conj() * other * phase.along(central.shape[-1])
    gain = float(np.sum(product.real, dtype=np.float64)) / total
    size = np.abs(central)
    # Across the signal there is only noise: tissues that decay differently change it along.
    across = np.divide(product.imag, size, out=np.zeros(size.shape, dtype=np.float32), where=size > 0)
    quadrature = float(np.sqrt(np.mean(across.astype(np.float64) ** 2)))
    return _Pair(
        turn_rad=phase.constant_rad + phase.slope_rad * middle,
        slope_rad=phase.slope_rad,
        gain=gain,
        error_rad=quadrature / max(abs(gain), 1e-6) / float(np.sqrt(total)),
        noise=quadrature * float(np.sqrt(2 * size.size / total)),
    )


def _beyond_noise(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phases, less those that noise may have made; all 0 where together they do not stand out, or make no ghost.

    Each shrinks by ``1 - (error / value)^2``, so that what is corrected is always more than what the correction adds.
    """
    errors = np.maximum(errors, 1e-6)
    stand_out = np.sqrt(np.mean((values / errors) ** 2)) > _STANDS_OUT and np.sqrt(np.mean(values**2)) > _TINY_RAD
    share = 1 - np.square(np.divide(errors, values, out=np.ones_like(values), where=values != 0))
    return values * np.maximum(share, 0.0) if stand_out else np.zeros_like(values)


def even_amplitude(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each echo's strength lies off a smooth decay, as a factor, shape ``(n_echoes,)``; 1 where it is not known.

    The decay is a parabola through the logarithms: one of several tissues bends. Ones for trains too short to tell one from
    the other.
    """
    known = np.flatnonzero(amplitude > 0)
    off = np.ones_like(amplitude)
    if len(known) >= _LEAST_ECHOES:
        size = np.log(amplitude[known])
        off[known] = np.exp(size - np.polyval(np.polyfit(known, size, 2), known))
    return off


def echo_gains(amplitude: NDArray[np.float64], noise: float, most: float) -> NDArray[np.float64]:
    """Wiener gains that make echoes as strong as the central one, shape ``(n_echoes,)``; 1 where strength is not known.

    Parameters
    ----------
    noise
        Level over the central echo's signal at which noise would be raised more than signal.
    most
        No gain is larger.
    """
    known = amplitude > 0
    size = np.where(known, amplitude, 1.0)
    return np.where(known, np.minimum(size * (1 + noise**2) / (size**2 + noise**2), most), 1.0)
