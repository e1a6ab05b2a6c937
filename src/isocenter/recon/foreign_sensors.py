# SPDX-License-Identifier: MIT
"""Interference taken out of plain k-space arrays that come with arrays of sensors, axes unknown."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from isocenter.domain.errors import ReconError
from isocenter.recon.correct.editer import InterferenceRemoval, remove_with_sensors
from isocenter.recon.fourier import Complex


def clean_plain(kspace: Complex, sensors: Sequence[Complex], *, readout_axis: int | None = None) -> InterferenceRemoval:
    """A plain array without what arrays of sensors of the same shape explain.

    Parameters
    ----------
    kspace
        complex64, two axes or more.
    sensors
        Each of the shape of ``kspace``, taken at the same time.
    readout_axis
        Axis along which samples follow each other in time; None tries the two longest ones and keeps what takes away more.

    Returns
    -------
        ``samples`` has the shape of ``kspace``.

    Raises
    ------
    ReconError
        A sensor of another shape, or an axis that there is not.
    """
    wrong = [sensor.shape for sensor in sensors if sensor.shape != kspace.shape]
    if wrong:
        raise ReconError(
            f"A sensor's array is {_text(wrong[0])}, the coil's is {_text(kspace.shape)}.",
            "Name sensors that were recorded with this scan.",
        )
    if readout_axis is not None and not -kspace.ndim <= readout_axis < kspace.ndim:
        raise ReconError(
            f"There is no axis {readout_axis} in an array of {_text(kspace.shape)}.", f"Count from 0 to {kspace.ndim - 1}."
        )
    longest = sorted(range(kspace.ndim), key=lambda axis: -kspace.shape[axis])[:2]
    axes = longest if readout_axis is None else [readout_axis % kspace.ndim]
    return min((_along(kspace, sensors, axis) for axis in axes), key=lambda removal: removal.figure.ratio)


def _along(kspace: Complex, sensors: Sequence[Complex], axis: int) -> InterferenceRemoval:
    """The lines in the order in which the array's other axes stand: nothing here knows the order of time."""
    moved = np.moveaxis(kspace, axis, -1)
    lines = np.ascontiguousarray(moved.reshape(-1, moved.shape[-1]), dtype=np.complex64)
    heard = np.stack([np.moveaxis(sensor, axis, -1).reshape(lines.shape) for sensor in sensors], axis=1)
    removal = remove_with_sensors(lines, np.ascontiguousarray(heard, dtype=np.complex64))
    return dataclasses.replace(removal, samples=np.moveaxis(removal.samples.reshape(moved.shape), -1, axis))


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
