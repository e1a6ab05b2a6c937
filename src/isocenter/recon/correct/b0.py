# SPDX-License-Identifier: MIT
"""Images of Cartesian scans without the distortion that an uneven main field makes along the readout.

Each line is read in the same time: a frequency f moves a voxel along the readout, by ``f dwell n`` voxels, and
nowhere else: phase encoding knows no time. The lines of the image are therefore independent. What this cannot mend: slices
that a selective pulse has bent, and spin dephasing inside a voxel.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.correct.figure import Figure

Complex: TypeAlias = NDArray[np.complex64]
_LEAST_STRETCH: Final = 0.05
_MILD_SPREAD_PX: Final = 0.5
_THREADS: Final = 2


class Undistortion(StrEnum):
    """How lines are put right."""

    AUTO = "auto"
    CONJUGATE_PHASE = "conjugate-phase"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undistorted:
    """An image on its true grid.

    Attributes
    ----------
    image
        complex64, of the shape that was given.
    method
        What was used.
    largest_shift_px
        Largest distance that something was moved [voxels].
    n_folded
        Voxels where the image has folded onto itself, so that no method can tell them apart.
    figure
        Part of the measured signal that the image does not explain, before and after.
    """

    image: Complex
    method: Undistortion
    largest_shift_px: float
    n_folded: int
    figure: Figure


def shift_px(frequency_hz: NDArray[np.floating], dwell_s: float, n_voxels: int, *, polarity: int = 1) -> NDArray[np.float32]:
    """How many voxels a frequency moves things along the readout, towards higher index when positive.

    Parameters
    ----------
    frequency_hz
        Offset from the receiver's frequency [Hz].
    dwell_s
        Sample spacing [s].
    n_voxels
        Voxels of the whole field of view along the readout, oversampling included.
    polarity
        -1 for a readout that runs through k-space backwards (label REV).
    """
    return (polarity * dwell_s * n_voxels * np.asarray(frequency_hz)).astype(np.float32)


def undistort(
    image: Complex,
    shift: NDArray[np.floating],
    *,
    axis: int = -1,
    method: Undistortion = Undistortion.AUTO,
    n_measured: int = 0,
    n_steps: int = 4,
    damping: float = 0.02,
) -> Undistorted:
    """Image with every voxel where it belongs.

    Parameters
    ----------
    image
        complex64, any shape, the whole field of view along the readout (before oversampling is cut off), centre at n // 2.
    shift
        How far each place of the *true* grid was moved along the readout [voxels], of the shape of the image; see
        ``shift_px`` and ``b0_map``.
    axis
        The readout.
    method
        ``CONJUGATE_PHASE`` for mild distortion: one pass, brightness by the stretch of the voxels. ``MODEL`` finds the image
        that explains the measured samples; needed where voxels are stretched or squeezed much. ``AUTO`` chooses.
    n_measured
        Samples of a readout, when the image was zero-filled along it; 0 for all.
    n_steps, damping
        Steps of the model's search, and how much it avoids large values; more steps fit noise.

    Returns
    -------
        On the true grid; see ``Undistorted``.

    Source
    ------
    Reference performance.md 3: per-line Vandermonde problem, conjugate phase with Jacobian, three to four steps.
    """
    if image.shape != shift.shape:
        raise ValueError(f"shift has shape {shift.shape}, the image {image.shape}")
    lines = np.ascontiguousarray(np.moveaxis(image, axis, -1)).astype(np.complex64, copy=False)
    shape = lines.shape
    n = shape[-1]
    lines = lines.reshape(-1, n)
    shifts = np.ascontiguousarray(np.moveaxis(shift, axis, -1), dtype=np.float32).reshape(-1, n)
    slope = _slope(shifts)
    if method is Undistortion.AUTO:
        is_mild = float(np.quantile(np.abs(slope), 0.99)) < 0.1 or float(np.ptp(shifts)) < _MILD_SPREAD_PX
        method = Undistortion.CONJUGATE_PHASE if is_mild else Undistortion.MODEL
    stretch = np.maximum(1 + slope, _LEAST_STRETCH).astype(np.float32)
    theta = ((np.arange(n) - n // 2 + shifts) * (2 * np.pi / n)).astype(np.float32)
    samples = _to_samples(lines)
    measured = _measured(n, n_measured)
    n_steps = n_steps if method is Undistortion.MODEL else 0
    solved = np.empty_like(lines)

    def work(part: slice) -> tuple[float, float]:
        from isocenter.recon.correct import vandermonde

        vandermonde.solve_lines(samples[part], theta[part], stretch[part], measured, n_steps, damping, solved[part])
        before = vandermonde.misfit(samples[part], theta[part], measured, lines[part])
        return before, vandermonde.misfit(samples[part], theta[part], measured, solved[part])

    parts = [slice(len(lines) * i // _THREADS, len(lines) * (i + 1) // _THREADS) for i in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        left = np.sum(list(pool.map(work, parts)), axis=0)
    before, after = np.sqrt(left / (float(np.sum(np.abs(samples[:, measured > 0]) ** 2)) or 1.0))
    return Undistorted(
        image=np.moveaxis(solved.reshape(shape), -1, axis),
        method=method,
        largest_shift_px=float(np.abs(shifts).max(initial=0.0)),
        n_folded=int(np.count_nonzero(slope <= -1 + _LEAST_STRETCH)),
        figure=Figure(what="part of the signal left unexplained", unit="", values=(float(before), float(after))),
    )


def _slope(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Derivative along the last axis, by central differences."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    slope: NDArray[np.float32] = (padded[:, 2:] - padded[:, :-2]) * np.float32(0.5)
    slope[:, [0, -1]] *= 2
    return slope


def _to_samples(lines: Complex) -> Complex:
    """Samples of each line, k = 0 at n // 2, so that a voxel of 1 at the centre gives ones."""
    from scipy import fft

    n = lines.shape[1]
    samples = fft.fftshift(fft.ifft(fft.ifftshift(lines, axes=1), axis=1, norm="forward"), axes=1)
    return cast(Complex, np.ascontiguousarray(samples.reshape(-1, n)))


def _measured(n: int, n_measured: int) -> NDArray[np.float32]:
    n_measured = n_measured or n
    measured = np.zeros(n, dtype=np.float32)
    start = n // 2 - n_measured // 2
    measured[max(start, 0) : start + n_measured] = 1
    return measured
