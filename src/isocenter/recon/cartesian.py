# SPDX-License-Identifier: MIT
"""Images of Cartesian scans, whole or growing while they are measured.

Steps, in order; each is a function of arrays and is named in the provenance of the images:
sort · read: window, transform, cut off oversampling · average · phase: window, transform · combine channels · display order.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.fourier import Complex, to_image
from isocenter.recon.options import Filter, ReconOptions
from isocenter.recon.plan import CartesianPlan, PlanAxis, Stack, plan_cartesian

Labels: TypeAlias = Mapping[str, NDArray[np.int32]]

VOLUME_LABELS: Final = ("ECO", "SET", "PHS", "REP")
"""Each combination of these gives volumes of its own, in this order of significance."""

_NOT_IMAGE = ("NAV", "NOISE", "OFF")


def reconstruct(raw: RawScan, *, options: ReconOptions | None = None) -> tuple[Volume, ...]:
    """Images of a Cartesian scan, complete or cut short.

    Lines that were not measured are zero, and nothing is scaled up for them. Readouts with the same labels, and those that
    differ in AVG or SEG only, are averaged. Each combination of ECO, SET, PHS and REP gives a volume; unevenly spaced slices
    give a volume each.

    Parameters
    ----------
    raw
        With its encoding; samples complex64, shape ``(n_readouts, n_channels, n_samples)``.
    options
        Filter, zero-filling and so on; None for none of them.

    Returns
    -------
        float32 magnitude (or complex64, see ``ReconOptions.keep_phase``), shape ``(n_slices, n_rows, n_cols)``, in
        display order (docs/reconstruction.md).

    Raises
    ------
    ReconError
        No Cartesian encoding, no imaging readout, labels outside the encoding, or impossible options.
    """
    live = LiveReconstruction(raw.encoding, raw.placement, definitions=raw.definitions, options=options)
    live.add(raw.samples, raw.labels)
    if live.n_lines == 0:
        raise ReconError(
            f"Not one imaging readout of '{raw.name or 'this scan'}' was measured.",
            "Run the scan again; there is nothing to show.",
        )
    return live.volumes(expected=raw.n_expected)


class LiveReconstruction:
    """K-space that grows while it is measured; images of it at any time. Not for use by several threads at once.

    A line is filtered and transformed along the readout when it arrives, so that ``volumes`` costs two passes at most.
    """

    def __init__(
        self,
        encoding: Encoding | None,
        placement: Placement,
        *,
        definitions: Mapping[str, str] | None = None,
        options: ReconOptions | None = None,
    ) -> None:
        self.plan: CartesianPlan = plan_cartesian(encoding, placement, definitions or {}, options or ReconOptions())
        self.n_lines = 0
        self._sums: dict[tuple[int, ...], Complex] = {}
        self._counts: dict[tuple[int, ...], NDArray[np.int32]] = {}

    def add(self, samples: Complex, labels: Labels) -> int:
        """Take readouts as they arrive.

        Parameters
        ----------
        samples
            complex64, shape ``(n_readouts, n_channels, n_samples)``.
        labels
            By name, each of shape ``(n_readouts,)``; a missing one is 0.

        Returns
        -------
            How many of them were imaging lines.

        Raises
        ------
        ReconError
            A label or the number of samples does not fit the encoding; nothing of this batch is taken then.
        """
        samples, labels = _imaging_only(samples, labels)
        if len(samples) == 0:
            return 0
        self._check(samples, labels)
        lines = _transform_readouts(samples, _label(labels, "REV", len(samples)) != 0, self.plan)
        keys = np.stack([_label(labels, name, len(samples)) for name in VOLUME_LABELS], axis=1)
        for key in np.unique(keys, axis=0):
            rows = np.flatnonzero((keys == key).all(axis=1))
            self._accumulate(tuple(int(value) for value in key), lines[rows], {k: v[rows] for k, v in labels.items()})
        self.n_lines += len(samples)
        return len(samples)

    def volumes(self, *, expected: int = 0) -> tuple[Volume, ...]:
        """Images of what has been added so far; none before the first line."""
        found = []
        for key in sorted(self._sums):
            average, was_averaged = _average(self._sums[key], self._counts[key])
            for stack in self.plan.stacks:
                provenance = self._provenance(key, stack, was_averaged, expected)
                data = _stack_image(average, stack, self.plan)
                found.append(Volume(data=data, geometry=stack.display.geometry, provenance=provenance))
        return tuple(found)

    def _check(self, samples: Complex, labels: Labels) -> None:
        plan = self.plan
        if samples.shape[2] != plan.read.n_samples:
            raise ReconError(
                f"A readout has {samples.shape[2]} samples where the encoding says {plan.read.n_samples}.",
                "Reconstruct readouts of different lengths separately, or check the sequence's ADC events.",
            )
        if self._sums and samples.shape[1] != next(iter(self._sums.values())).shape[1]:
            raise ReconError(
                f"Readouts of {samples.shape[1]} channels follow others with a different number.",
                "Check the receiver's settings and scan again.",
            )
        limits = {"LIN": plan.lin.n_samples, "PAR": plan.par.n_samples, "SLC": plan.n_slices}
        for name, size in limits.items():
            values = _label(labels, name, len(samples))
            wrong = values[(values < 0) | (values >= size)]
            if len(wrong):
                raise ReconError(
                    f"A readout has {name} = {wrong[0]}, but the scan is encoded for 0 ... {size - 1}.",
                    f"Correct the label {name} in the sequence, or the size in its definition Matrix.",
                )

    def _accumulate(self, key: tuple[int, ...], lines: Complex, labels: Labels) -> None:
        plan, n_rows = self.plan, len(lines)
        if key not in self._sums:
            shape = (plan.n_slices, lines.shape[1], plan.par.n_samples, plan.lin.n_samples, plan.read.n_kept)
            self._sums[key] = np.zeros(shape, dtype=np.complex64)
            self._counts[key] = np.zeros((plan.n_slices, plan.par.n_samples, plan.lin.n_samples), dtype=np.int32)
        counts = self._counts[key]
        where = tuple(_label(labels, name, n_rows) for name in ("SLC", "PAR", "LIN"))
        flat = np.ravel_multi_index(where, counts.shape)
        into = (where[0], slice(None), where[1], where[2])
        if len(np.unique(flat)) == n_rows:
            self._sums[key][into] += lines
        else:  # several averages of a line in one batch
            np.add.at(self._sums[key], into, lines)  # type: ignore[arg-type]  # the stubs know no mixed index
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape).astype(np.int32)

    def _provenance(
        self, key: tuple[int, ...], stack: Stack, was_averaged: bool, expected: int
    ) -> tuple[tuple[str, str], ...]:
        plan = self.plan
        labels = ", ".join(f"{name} {value}" for name, value in zip(VOLUME_LABELS, key, strict=True) if value)
        measured = int(np.count_nonzero(self._counts[key][list(stack.slices)]))
        lines = len(stack.slices) * plan.par.n_samples * plan.lin.n_samples
        missing = f"; {max(expected - self.n_lines, 0)} readouts of the scan missing" if expected > self.n_lines else ""
        sizes = " x ".join(str(axis.n_image) for axis in (plan.read, plan.lin, plan.par))
        kept = (plan.read.n_full, plan.read.n_kept)
        steps = [
            ("sort", f"{measured} of {lines} lines{missing}{'; ' + labels if labels else ''}"),
            ("average", "mean of repeated lines" if was_averaged else ""),
            ("filter", plan.options.describe_filter() if plan.options.filter is not Filter.NONE else ""),
            ("transform", f"forward FFT to {sizes}, k-space centre at {_centres(plan)}"),
            (
                "oversampling",
                f"factor {plan.oversampling:g}, {kept[1]} of {plan.read.n_image} columns kept"
                if kept[0] != kept[1] and plan.oversampling > 1
                else "",
            ),
            (
                "combine",
                "root sum of squares" if self._sums[key].shape[1] > 1 else ("" if plan.options.keep_phase else "magnitude"),
            ),
            ("display", f"transposed {'yes' if stack.display.transpose else 'no'}, flipped {_flips(stack)}"),
        ]
        return tuple((name, text) for name, text in steps if text)


def _centres(plan: CartesianPlan) -> str:
    return ", ".join(f"{axis.centre:g}" for axis in (plan.read, plan.lin, plan.par))


def _flips(stack: Stack) -> str:
    names = zip(("slices", "rows", "columns"), stack.display.flip, strict=True)
    return " and ".join(name for name, flip in names if flip) or "nothing"


def _label(labels: Labels, name: str, n_readouts: int) -> NDArray[np.int32]:
    return labels[name] if name in labels else np.zeros(n_readouts, dtype=np.int32)


def _imaging_only(samples: Complex, labels: Labels) -> tuple[Complex, Labels]:
    """Readouts that are lines of the image: no noise, no navigator, no line only for calibration."""
    n_readouts = len(samples)
    for name, values in labels.items():
        if len(values) != n_readouts:
            raise ValueError(f"label {name} has {len(values)} values for {n_readouts} readouts")
    skip = np.zeros(n_readouts, dtype=bool)
    for name in _NOT_IMAGE:
        skip |= _label(labels, name, n_readouts) != 0
    skip |= (_label(labels, "REF", n_readouts) != 0) & (_label(labels, "IMA", n_readouts) == 0)
    if not skip.any():
        return samples, labels
    return samples[~skip], {name: values[~skip] for name, values in labels.items()}


def _half_width(axis: PlanAxis) -> float:
    """From the centre to the edge of k-space, in samples."""
    return max(axis.centre, axis.n_samples - 1 - axis.centre) if axis.n_full > axis.n_samples else axis.n_full / 2


def _transform_readouts(samples: Complex, is_reversed: NDArray[np.bool_], plan: CartesianPlan) -> Complex:
    """Lines along x, oversampling cut off. A reversed readout runs through the same k-space backwards in time."""
    if not is_reversed.any():
        return _transform_axis(samples, 2, plan.read, plan)
    lines = np.empty((*samples.shape[:2], plan.read.n_kept), dtype=np.complex64)
    lines[~is_reversed] = _transform_axis(samples[~is_reversed], 2, plan.read, plan)
    mirrored = plan.read.n_samples - 1 - plan.read.centre
    lines[is_reversed] = _transform_axis(samples[is_reversed][:, :, ::-1], 2, plan.read, plan, centre=mirrored)
    return lines


def _transform_axis(
    array: Complex, axis: int, size: PlanAxis, plan: CartesianPlan, *, centre: float | None = None
) -> Complex:
    """Window, zero-filling and transform of one axis, and its middle part."""
    centre = size.centre if centre is None else centre
    array = np.asarray(array, dtype=np.complex64)
    if plan.options.filter is not Filter.NONE:
        weights = plan.options.window(size.n_samples, centre, _half_width(size))
        array = array * weights.reshape([-1 if index == axis else 1 for index in range(array.ndim)])
    image = to_image(array, axis, size=size.n_image, centre=centre)
    if size.n_kept == size.n_image:
        return image
    return image[(slice(None),) * axis + (size.kept,)]


def _average(sums: Complex, counts: NDArray[np.int32]) -> tuple[Complex, bool]:
    """Mean of the lines that were measured more than once; others as they are."""
    if counts.max(initial=0) <= 1:
        return sums, False
    scale = (1 / np.maximum(counts, 1)).astype(np.float32)
    return sums * scale[:, np.newaxis, :, :, np.newaxis], True


def _stack_image(average: Complex, stack: Stack, plan: CartesianPlan) -> Complex | NDArray[np.float32]:
    """One volume ``(slice, row, column)`` from ``(SLC, channel, PAR, LIN, x)``."""
    part = average[list(stack.slices)]
    image = _transform_axis(part, 3, plan.lin, plan)
    # Either way the result is in the order channel, z, y, x.
    image = _transform_axis(image, 2, plan.par, plan)[0] if plan.is_3d else image[:, :, 0].swapaxes(0, 1)
    return stack.display.apply(_combine(image, keep_phase=plan.options.keep_phase))


def _combine(channels: Complex, *, keep_phase: bool) -> Complex | NDArray[np.float32]:
    if len(channels) > 1:
        return root_sum_of_squares(channels)
    return channels[0] if keep_phase else np.asarray(np.abs(channels[0]), dtype=np.float32)


def root_sum_of_squares(channels: Complex) -> NDArray[np.float32]:
    """Magnitude over the first axis, summed in float64."""
    power = np.einsum("c...,c...->...", channels.real, channels.real, dtype=np.float64)
    power += np.einsum("c...,c...->...", channels.imag, channels.imag, dtype=np.float64)
    return np.asarray(np.sqrt(power), dtype=np.float32)
