# SPDX-License-Identifier: MIT
"""The amplitude of a 90° pulse from a nutation series, or a reason why it cannot be told.

The flip angle grows with the amplitude, or the length, of the pulse, and the signal follows its sine. What bends that curve
on real scanners is part of the model where the data ask for it: B1 that differs over the object damps it, an amplifier at
its end gives less than it should, and too short a TR leaves less magnetisation after large angles.

Source
------
Reference domain.md 2, step 6: 10 to 20 points, A |sin(pi/2 a/a90)| with an optional floor, R² above 0.98, rms below 5 %,
a180/a90 = 2 within 5 %. A normal spread s of B1 multiplies sin(theta) with exp(-s² theta² / 2). Steady state of a spoiled
signal: Ernst and Anderson, Rev. Sci. Instrum. 37 (1966) 93.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.acquisition.prescan.nutation_model import Fit, fit_series

MIN_POINTS: Final = 7
MIN_R2: Final = 0.98
MAX_RMS: Final = 0.05
MAX_SD: Final = 0.02
MAX_RATIO_ERROR: Final = 0.05
"""Of a180/a90 from 2, over 2."""
WARN_RATIO_ERROR: Final = 0.025

_MIN_SNR: Final = 5.0
_FEW: Final = 10  # points below which noise may look like a curve
_FEW_RMS: Final = 0.02
_REACHED: Final = 0.98  # of 90 degrees, the largest angle of the sweep
_COMPRESSION_SEEN: Final = 2.6  # angle up to which the series must go to tell anything about 180 degrees [rad]
_MODEL_ERROR: Final = 1e-3  # no coil and no amplifier is known better
_WANDERS: Final = 0.02  # rms of complex signals, above which the phase may be what does not fit
_SMOOTH: Final = 1.2
_FLAT: Final = 0.35  # spread of the magnitudes over their mean, below which nothing follows the pulses


@dataclass(frozen=True, slots=True, kw_only=True)
class Nutation:
    """A 90° pulse that may be used.

    Attributes
    ----------
    a90, a90_sd
        What makes 90°, in the unit of the series, and how well that is known.
    ratio, ratio_sd
        What makes 180° over what makes 90°, 2 for a linear transmitter; NaN when the series does not reach that far.
    r2, rms
        Share of the variation that is explained; what is not, over the signal at 90°.
    peak
        Signal at 90°, in the unit of the signal.
    b1_spread
        Standard deviation of B1 over the object, relative.
    saturation
        exp(-TR/T1) as it had to be assumed; 0 for full recovery.
    outliers
        Points that were left out.
    curve_x, curve_y
        The fitted curve for a plot, magnitudes, shape ``(n,)``.
    """

    a90: float
    a90_sd: float
    ratio: float
    ratio_sd: float
    r2: float
    rms: float
    peak: float
    b1_spread: float
    saturation: float
    outliers: tuple[int, ...]
    curve_x: NDArray[np.float64]
    curve_y: NDArray[np.float64]


def fit_nutation(
    amplitude: NDArray[np.floating],
    signal: NDArray[np.inexact],
    *,
    noise: float = float("nan"),
    is_recovered: bool = False,
) -> Nutation | Refusal:
    """Amplitude, or length, of a 90° pulse.

    Parameters
    ----------
    amplitude
        Of the pulses, or their lengths, in the order of measurement, in any unit, shape ``(n,)``; need not be evenly spaced.
    signal
        Complex signals, magnitudes, or signed numbers, shape ``(n,)``.
    noise
        Standard deviation of a signal's real part, if known.
    is_recovered
        The sequence sees to it that magnetisation is the same before every pulse.
    """
    x, y = np.asarray(amplitude, dtype=np.float64).ravel(), np.asarray(signal).ravel()
    if x.shape != y.shape:
        raise ValueError(f"{x.size} amplitudes for {y.size} signals")
    keep = np.isfinite(x) & np.isfinite(y) & (x >= 0)
    x, y = x[keep], y[keep].astype(np.complex128 if np.iscomplexobj(y) else np.float64)
    if len(x) < MIN_POINTS or np.unique(x).size < MIN_POINTS or not np.any(y):
        return _no_signal(0.0) if len(x) >= MIN_POINTS else _few(len(x))
    scale = float(np.abs(y).max())
    if np.isfinite(noise) and scale < _MIN_SNR * noise:
        return _no_signal(scale / noise)
    found = _judged(x, y, scale, noise, is_recovered=is_recovered)
    is_doubtful = isinstance(found, Refusal) or found.rms > _WANDERS
    if is_doubtful and np.iscomplexobj(y) and _is_smooth(x, np.abs(y)):
        # The receiver's phase may wander from pulse to pulse; how strong the signal is does not depend on it.
        steady = _judged(x, np.abs(y), scale, noise, is_recovered=is_recovered)
        if isinstance(steady, Nutation) and (isinstance(found, Refusal) or steady.a90_sd < found.a90_sd):
            return steady
    return found


def _judged(
    x: NDArray[np.float64], y: NDArray[np.inexact], scale: float, noise: float, *, is_recovered: bool
) -> Nutation | Refusal:
    fit = fit_series(x / x.max(), y / scale, is_recovered=is_recovered)
    return _refuse(fit, x, y / scale, noise / scale) or _result(fit, float(x.max()), scale)


def _refuse(fit: Fit, x: NDArray[np.float64], y: NDArray[np.inexact], noise: float) -> Refusal | None:
    snr = fit.peak / (noise if np.isfinite(noise) else max(fit.sigma, 1e-12))
    magnitude = np.abs(y)
    is_weak = snr < _MIN_SNR or fit.floor > 0.8 * fit.peak
    max_rms = MAX_RMS if len(x) - len(fit.outliers) >= _FEW else _FEW_RMS
    if fit.r2 < MIN_R2 or fit.rms > max_rms or is_weak:
        return _unlike(fit, x, magnitude, snr, max_rms)
    if fit.largest_rad < _REACHED * np.pi / 2 or fit.a90_sd > MAX_SD * fit.a90 or fit.is_extreme:
        return _range(fit)
    off = abs(fit.ratio / 2 - 1)
    is_seen = fit.largest_rad >= _COMPRESSION_SEEN
    if is_seen and off > MAX_RATIO_ERROR and off > 1.25 * fit.ratio_sd:
        return _compressing(fit.ratio)
    return None


def _unlike(fit: Fit, x: NDArray[np.float64], magnitude: NDArray[np.float64], snr: float, max_rms: float) -> Refusal:
    if np.std(magnitude) < _FLAT * np.mean(magnitude) and not _has_node(magnitude):
        if fit.r2 >= MIN_R2 and fit.rms <= max_rms and _is_smooth(x, magnitude):
            return _range(fit)  # it does follow the pulses
        return _flat(float(np.ptp(magnitude) / magnitude.max()))
    return _no_signal(snr) if snr < 2 * _MIN_SNR else _poor(fit, max_rms)


def _result(fit: Fit, x_scale: float, y_scale: float) -> Nutation:
    is_seen = fit.largest_rad >= _COMPRESSION_SEEN
    curve_x = np.linspace(0, 1, 181)
    return Nutation(
        a90=fit.a90 * x_scale,
        a90_sd=float(np.hypot(fit.a90_sd, _MODEL_ERROR * fit.a90)) * x_scale,
        ratio=fit.ratio if is_seen else float("nan"),
        ratio_sd=fit.ratio_sd if is_seen else float("nan"),
        r2=fit.r2,
        rms=fit.rms,
        peak=fit.peak * y_scale,
        b1_spread=fit.b1_spread,
        saturation=fit.saturation,
        outliers=fit.outliers,
        curve_x=curve_x * x_scale,
        curve_y=fit.curve(curve_x) * y_scale,
    )


def _is_smooth(x: NDArray[np.float64], magnitude: NDArray[np.float64]) -> bool:
    """True when neighbours are more alike than those of noise, which differ by twice their variance."""
    steps = np.diff(magnitude[np.argsort(x)])
    return bool(np.mean(steps**2) < _SMOOTH * np.var(magnitude))


def _has_node(magnitude: NDArray[np.float64]) -> bool:
    return bool(magnitude.min() < 0.3 * magnitude.max())


def _few(n: int) -> Refusal:
    return Refusal(
        doubt=Doubt.RANGE,
        problem=f"{n} points are too few to tell a 90° pulse; {MIN_POINTS} are needed.",
        remedy="Measure with more steps.",
    )


def _no_signal(snr: float) -> Refusal:
    return Refusal(
        doubt=Doubt.NO_SIGNAL,
        problem=f"No signal was found at any strength of the pulse (signal to noise {snr:.1f}, needed {_MIN_SNR:g}).",
        remedy="Check that the patient or phantom is in the coil, the coil is plugged in and the RF amplifier is on; "
        "then repeat.",
    )


def _flat(change: float) -> Refusal:
    return Refusal(
        doubt=Doubt.FLAT,
        problem=f"What is received does not follow the strength of the pulse (it changes by {100 * change:.0f} % only).",
        remedy="Check that the RF amplifier is on, not blanked, and connected to the coil. If it is, what is received is "
        "interference: switch off chargers and lamps, then repeat.",
    )


def _poor(fit: Fit, max_rms: float) -> Refusal:
    return Refusal(
        doubt=Doubt.POOR_FIT,
        problem=f"The signal does not follow the pulse as it should (R² {fit.r2:.3f}, needed {MIN_R2:g}; "
        f"rms {100 * fit.rms:.0f} %, allowed {100 * max_rms:.0f} %).",
        remedy="Check the plugs of coil and RF amplifier, ask the patient to lie still, then repeat; if it stays so, "
        "measure with a longer TR.",
    )


def _range(fit: Fit) -> Refusal:
    if fit.floor > 0.8 * fit.peak:
        return Refusal(
            doubt=Doubt.RANGE,
            problem=f"The series covers too few degrees: 90° can be told to {100 * fit.a90_sd / fit.a90:.0f} % only, needed "
            f"{100 * MAX_SD:.0f} %.",
            remedy="Repeat with pulses from a tenth of the strongest upwards, up to twice what makes 90° or more.",
        )
    if fit.largest_rad < 2.0:
        return Refusal(
            doubt=Doubt.RANGE,
            problem=f"The strongest pulse turns the spins by about {np.degrees(fit.largest_rad):.0f}° only; 90° cannot be "
            f"told to {100 * MAX_SD:.0f} %.",
            remedy="Check that the coil is tuned and the RF amplifier gives its full power; then repeat with longer pulses.",
        )
    return Refusal(
        doubt=Doubt.SATURATED if fit.saturation else Doubt.POOR_FIT,
        problem=f"90° can be told to {100 * fit.a90_sd / fit.a90:.0f} % only, needed {100 * MAX_SD:.0f} %: an uneven coil, "
        "too short a TR or a compressing amplifier would explain the series as well.",
        remedy="Repeat with a TR of five times T1 or more, or with more steps.",
    )


def _compressing(ratio: float) -> Refusal:
    needs = f"needs {ratio:.2f} times" if np.isfinite(ratio) else "is out of reach of any multiple of"
    return Refusal(
        doubt=Doubt.COMPRESSING,
        problem=f"The transmitter is not linear: 180° {needs} the amplitude of 90°, not 2. "
        + ("The RF amplifier is compressing." if ratio > 2 else "It gives less than it should at small amplitudes."),
        remedy="Check supply, temperature and cables of the RF amplifier and that the coil is matched. Until it is mended, "
        "use longer RF pulses, which need less amplitude.",
    )
