# SPDX-License-Identifier: MIT
"""The measured main field and what the shim can do about it. Arrays in, values out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan

MIN_GAIN: Final = 0.01
"""Of the spread; a linear shim that gains less is left alone."""
_STIFFNESS: Final = 1e-4
_LINEAR_IS_ENOUGH: Final = 0.85
"""Second order is named when it would leave less than this share of what the linear shim leaves."""
_NOTABLE_HZ: Final = 50.0
_ROUNDS: Final = 4
_SMALLEST, _LARGEST = 0.6, 1.5  # of the phantom's diameter

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSamples:
    """Frequencies where there is signal.

    Attributes
    ----------
    position_m
        True places, device axes [m], shape ``(n, 3)``.
    frequency_hz
        Offset [Hz], shape ``(n,)``.
    weight
        How much each counts, ``(n,)``.
    """

    position_m: Floats
    frequency_hz: Floats
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ShimFit:
    """What linear terms can do.

    Attributes
    ----------
    gradient_hz_per_m
        To be taken away, device axes [Hz/m], shape (3,), within its limits.
    gradient_sd_hz_per_m
        Its uncertainty.
    before_hz, predicted_hz
        Standard deviation of the field now, and after [Hz].
    second_order_hz
        What would be left with all terms of second order as well [Hz].
    is_limited
        True when more would help but may not be.
    """

    gradient_hz_per_m: Floats
    gradient_sd_hz_per_m: Floats
    before_hz: float
    predicted_hz: float
    second_order_hz: float
    is_limited: bool

    @property
    def gain(self) -> float:
        """Share of the spread that goes away."""
        return 1 - self.predicted_hz / self.before_hz if self.before_hz > 0 else 0.0

    @property
    def needs_second_order(self) -> bool:
        """True when what is left is not linear."""
        return self.second_order_hz < _LINEAR_IS_ENOUGH * self.predicted_hz and self.predicted_hz > _NOTABLE_HZ


def field_samples(raw: RawScan) -> FieldSamples:
    """The field where there is signal, from a scan of the sequence ``b0_map``.

    Raises
    ------
    ReconError, AcquisitionError
        There is too little signal, or it is no such scan.

    Source
    ------
    reference domain.md 2, row 12; voxels with five times the noise. A voxel's frequency says how far it was moved along the
    readout, so the field is known at true places.
    """
    from isocenter.recon.correct.b0 import shift_px
    from isocenter.recon.correct.b0_map import measure_field
    from isocenter.recon.places import voxel_positions_m, voxel_steps_m
    from isocenter.recon.steps.base import NoParameters, Work
    from isocenter.recon.steps.grid import Oversampling, Transform, oversampling, transform
    from isocenter.recon.steps.sort import sort

    sets = raw.label("SET")
    if len(raw.evolution_s) != len(raw.samples) or not (sets == 1).any():
        raise AcquisitionError(
            "The field map was not measured with two times.", "Repeat it with the program's own sequence b0_map."
        )
    work = transform(oversampling(sort(Work(raw=raw), NoParameters()), Oversampling()), Transform(keeps_readout=True))
    first, second = sorted(work.pictures, key=lambda picture: picture.key)[:2]
    apart_s = float(np.median(raw.evolution_s[sets == 1]) - np.median(raw.evolution_s[sets == 0]))
    found = measure_field(first.data, second.data, apart_s)
    n_z, n_y, n_x = first.data.shape[-3:]
    kept = first.read_kept
    shape = (n_z, n_y, n_x if kept is None else kept.stop - kept.start)
    place_m = voxel_positions_m(first.stack.display, shape, kept, n_x)
    _, steps = voxel_steps_m(first.stack.display, shape)
    moved = shift_px(found.frequency_hz, raw.dwell_s, n_x)
    true_m = place_m - moved[..., np.newaxis] * steps[2]
    used = found.weight > 0
    return FieldSamples(
        position_m=true_m[used].astype(np.float64),
        frequency_hz=found.frequency_hz[used].astype(np.float64),
        weight=found.weight[used].astype(np.float64),
    )


def require_ball(samples: FieldSamples, diameter_m: float) -> None:
    """Refuse a map of something else than a ball of a diameter: a tone makes a bright plane, for one.

    Raises
    ------
    AcquisitionError
        It is not as large along each axis as a ball would be.
    """
    weight = samples.weight / samples.weight.sum()
    across_m = 2 * np.sqrt(5.0 * (weight @ (samples.position_m - weight @ samples.position_m) ** 2))
    if np.all((across_m > _SMALLEST * diameter_m) & (across_m < _LARGEST * diameter_m)):
        return
    seen = " x ".join(f"{1e3 * size_m:.0f}" for size_m in across_m)
    raise AcquisitionError(
        f"What is seen measures {seen} mm; the phantom is a ball of {1e3 * diameter_m:.0f} mm.",
        "Use the service phantom alone, find the frequency, and switch off chargers, lamps and supplies near the scanner; "
        "then repeat.",
    )


def spread_hz(samples: FieldSamples) -> float:
    """Weighted standard deviation [Hz]."""
    return _deviation(samples.frequency_hz, samples.weight)


def fit_shim(samples: FieldSamples, low_hz_per_m: Floats, high_hz_per_m: Floats) -> ShimFit:
    """Linear terms of a field, by least squares.

    Parameters
    ----------
    samples
        At least 64 places.
    low_hz_per_m, high_hz_per_m
        What may be taken away, device axes [Hz/m], shape (3,).

    Raises
    ------
    AcquisitionError
        There are too few places, or they lie in a plane.

    Source
    ------
    reference domain.md 2, rows 5 and 12: least squares with a Tikhonov term, which keeps small what the places do not tell.
    """
    from scipy.optimize import lsq_linear

    from isocenter.recon.correct.harmonics import basis

    n = len(samples.frequency_hz)
    if n < 64:
        raise AcquisitionError(f"The field is known at {n} places only; 64 are needed.", "Use a larger phantom.")
    weight = samples.weight / samples.weight.sum()
    centre_m = weight @ samples.position_m
    place_m = samples.position_m - centre_m
    reach_m = float(np.sqrt((place_m**2).sum(axis=1).max()))
    if float(np.sqrt((weight @ place_m**2).min())) < 0.05 * reach_m:
        raise AcquisitionError("The field is known in a plane only.", "Use a phantom that is as thick as it is wide.")
    robust = np.ones(n)
    value = samples.frequency_hz
    left, gradient, table = value, np.zeros(3), np.concatenate([np.ones((n, 1)), place_m / reach_m], axis=1)
    bounds = np.array([np.append(-np.inf, low_hz_per_m * reach_m), np.append(np.inf, high_hz_per_m * reach_m)])
    stiff = np.sqrt(_STIFFNESS) * np.diag([0.0, 1.0, 1.0, 1.0])
    for is_last in (*[False] * _ROUNDS, True):  # what the limits leave over must not look like outliers
        root = np.sqrt(weight * robust / np.sum(weight * robust))
        rows, wanted = np.concatenate([table * root[:, np.newaxis], stiff]), np.append(value * root, np.zeros(4))
        if is_last:
            gradient = lsq_linear(rows, wanted, bounds=bounds).x[1:] / reach_m
            break
        left = value - table @ np.linalg.lstsq(rows, wanted, rcond=None)[0]
        allowed = 3 * 1.4826 * float(np.median(np.abs(left - np.median(left)))) + 1e-9
        robust = np.minimum(1, allowed / np.maximum(np.abs(left), 1e-12)) ** 2
    after = value - place_m @ gradient
    second = basis(place_m / reach_m, 2)
    root = np.sqrt(weight * robust)
    coefficients, *_ = np.linalg.lstsq(second * root[:, np.newaxis], value * root, rcond=1e-8)
    covariance = np.linalg.inv((table * weight[:, np.newaxis]).T @ table) * _deviation(left, weight) ** 2 / n
    edge = np.minimum(np.abs(gradient - low_hz_per_m), np.abs(gradient - high_hz_per_m))
    return ShimFit(
        gradient_hz_per_m=gradient,
        gradient_sd_hz_per_m=np.sqrt(np.diag(covariance)[1:]) / reach_m,
        before_hz=_deviation(value, weight),
        predicted_hz=_deviation(after, weight),
        second_order_hz=_deviation(value - second @ coefficients, weight),
        is_limited=bool(np.any(edge < 1e-3 * np.abs(high_hz_per_m - low_hz_per_m))),
    )


def _deviation(value: Floats, weight: Floats) -> float:
    mean = np.average(value, weights=weight)
    return float(np.sqrt(np.average((value - mean) ** 2, weights=weight)))
