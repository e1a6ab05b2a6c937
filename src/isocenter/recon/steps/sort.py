# SPDX-License-Identifier: MIT
"""From readouts to k-space on a grid, by their labels."""

import dataclasses
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex
from isocenter.recon.pages import empty_pages, zero_pages
from isocenter.recon.plan import PlanAxis, encoded_axes
from isocenter.recon.steps.base import VOLUME_LABELS, Grid, Lines, Notes, Stage, Step, Work, only
from isocenter.recon.steps.readouts import is_imaging

_NOTHING: Final[Complex] = np.zeros((0, 0, 0, 0, 0), dtype=np.complex64)


class Sums:
    """Lines summed where they belong, while they come in. ``grids`` gives their means.

    ``is_all`` says that everything comes at once, and is not changed later: lines that fill k-space may stay where they are.
    """

    def __init__(self, *, is_all: bool = False) -> None:
        self.n_lines = 0
        self._is_all = is_all
        self._lines: dict[tuple[int, ...], Lines] = {}
        self._sums: dict[tuple[int, ...], Complex] = {}
        self._counts: dict[tuple[int, ...], NDArray[np.int32]] = {}

    def add(self, raw: RawScan) -> int:
        """Take readouts; returns how many of them were lines of the image.

        Raises
        ------
        ReconError
            A label or the number of samples does not fit the encoding; nothing of this batch is taken then.
        """
        _, axes = encoded_axes(raw.encoding)
        raw = only(raw, is_imaging(raw))
        if len(raw.samples) == 0:
            return 0
        if raw.sensor_channels:  # they hear no signal
            raw = dataclasses.replace(raw, samples=np.delete(raw.samples, raw.sensor_channels, axis=1), sensor_channels=())
        _check(raw, axes)
        if self._sums and raw.samples.shape[1] != next(iter(self._sums.values())).shape[1]:
            raise ReconError(
                f"Readouts of {raw.samples.shape[1]} channels follow others with a different number.",
                "Check the receiver's settings and scan again.",
            )
        for key, chosen in volumes_of(raw):
            self._accumulate(key, only(raw, chosen), axes)
        self.n_lines += len(raw.samples)
        return len(raw.samples)

    def grids(self, raw: RawScan, *, n_missing: int, notes: Notes, consume: bool) -> tuple[Grid, ...]:
        """K-space of each volume so far, in order of its key.

        Parameters
        ----------
        raw
            The scan's encoding.
        n_missing
            Readouts of the whole scan that were not measured (yet).
        notes
            What was done to the readouts.
        consume
            The sums are not needed any more, so their memory may be used.
        """
        _, (read, lin, par) = encoded_axes(raw.encoding)
        found = []
        for key in sorted(self._counts):
            counts, lines = self._counts[key], self._lines.get(key)
            data = _NOTHING if lines is not None else _mean(self._sums[key], counts, consume=consume)
            said = _describe(key, counts, n_missing)
            is_complete = n_missing == 0
            axes = {"read": read, "lin": lin, "par": par}
            grid = Grid(
                key=key,
                data=data,
                lines=lines,
                counts=counts if consume else counts.copy(),
                **axes,
                is_complete=is_complete,
                notes=notes,
                said=said,
            )
            found.append(grid)
        if consume:
            self._sums.clear()
        return tuple(found)

    def _accumulate(self, key: tuple[int, ...], raw: RawScan, axes: tuple[PlanAxis, PlanAxis, PlanAxis]) -> None:
        read, lin, par = axes
        n_slices = _n_slices(raw)
        counted = (n_slices, par.n_samples, lin.n_samples)
        n_lines = math.prod(counted)
        where = np.ravel_multi_index(tuple(raw.label(name) for name in ("SLC", "PAR", "LIN")), counted)
        seen = np.bincount(where, minlength=n_lines)
        once = seen.max() <= 1
        is_new = key not in self._counts
        is_whole = is_new and once and seen.min() == 1
        lines = forward_lines(raw)
        if is_new:
            self._counts[key] = np.zeros(counted, dtype=np.int32)
        self._counts[key] += seen.reshape(counted).astype(np.int32)
        if is_whole and self._is_all and lines.flags.c_contiguous:
            n_channels, n_samples = lines.shape[1:]
            order = _order(where, counted, n_channels)
            self._lines[key] = Lines(samples=lines.reshape(-1, n_samples), order=order)
            return
        if is_new:
            shape = (n_slices, raw.samples.shape[1], par.n_samples, lin.n_samples, read.n_samples)
            self._sums[key] = empty_pages(shape) if is_whole else zero_pages(shape)
        sums = self._sums[key]
        if is_whole:
            _place(lines, where, sums)
            return
        places = np.unravel_index(where, counted)
        for channel in range(lines.shape[1]):
            into = sums[:, channel]
            if not once:  # several averages of a line in one batch
                np.add.at(into, places, lines[:, channel])
            elif is_new:
                into[places] = lines[:, channel]
            else:
                into[places] += lines[:, channel]


def _order(where: NDArray[np.intp], counted: tuple[int, int, int], n_channels: int) -> NDArray[np.int64]:
    """Which row of all readouts' channels, one behind the other, is where: ``(n_slices, n_channels, n_par, n_lin)``."""
    readouts = np.empty(len(where), dtype=np.int64)
    readouts[where] = np.arange(len(where))
    rows = readouts.reshape(counted)[:, np.newaxis] * n_channels
    return np.ascontiguousarray(rows + np.arange(n_channels)[:, np.newaxis, np.newaxis])


def _place(lines: Complex, where: NDArray[np.intp], into: Complex) -> None:
    """Lines that are all different and fill k-space, each copied once, in the order of their places."""
    order = np.empty_like(where)
    order[where] = np.arange(len(where))
    for part, rows in zip(into, order.reshape(len(into), -1), strict=True):
        for channel, target in enumerate(part):
            # Every row is in range; "clip" only keeps numpy from making a copy of the whole first.
            np.take(lines[:, channel], rows, axis=0, out=target.reshape(len(rows), -1), mode="clip")


def volumes_of(raw: RawScan) -> list[tuple[tuple[int, ...], NDArray[np.bool_]]]:
    """Values of VOLUME_LABELS that some readout has, in order, and which readouts have them."""
    everything = np.ones(len(raw.samples), dtype=bool)
    found: list[tuple[tuple[int, ...], NDArray[np.bool_]]] = [((), everything)]
    for name in VOLUME_LABELS:
        values = raw.label(name)
        parts = []
        for key, chosen in found:
            some = np.unique(values[chosen]).tolist() if values.any() else [0]
            parts += [((*key, int(value)), chosen & (values == value) if len(some) > 1 else chosen) for value in some]
        found = parts
    return found


def sort(work: Work, _: object) -> Work:
    """Readouts on their grids; the mean of lines that were measured more than once."""
    sums = Sums(is_all=True)
    sums.add(work.raw)
    n_missing = max(work.raw.n_expected - len(work.raw.samples), 0)
    grids = sums.grids(work.raw, n_missing=n_missing, notes=work.notes, consume=True)
    if not grids:
        raise ReconError(
            f"Not one imaging readout of '{work.raw.name or 'this scan'}' was measured.",
            "Run the scan again; there is nothing to show.",
        )
    return dataclasses.replace(work, grids=grids)


def forward_lines(raw: RawScan) -> Complex:
    """Lines with k growing: a reversed readout (label REV) runs through the same places of k-space backwards in time."""
    is_reversed = raw.label("REV") != 0
    if not is_reversed.any():
        return raw.samples
    lines = raw.samples.copy()
    lines[is_reversed] = lines[is_reversed][:, :, ::-1]
    return lines


def _mean(sums: Complex, counts: NDArray[np.int32], *, consume: bool) -> Complex:
    """Mean of the lines that were measured more than once; others as they are."""
    if counts.max(initial=0) <= 1:
        return sums if consume else _copy(sums)
    scale = (1 / np.maximum(counts, 1)).astype(np.float32)
    return sums * scale[:, np.newaxis, :, :, np.newaxis]


def _copy(array: Complex) -> Complex:
    copy = empty_pages(array.shape)
    np.copyto(copy, array)
    return copy


def _describe(key: tuple[int, ...], counts: NDArray[np.int32], missing: int) -> str:
    labels = ", ".join(f"{name} {value}" for name, value in zip(VOLUME_LABELS, key, strict=True) if value)
    parts = [f"{np.count_nonzero(counts)} of {counts.size} lines"]
    if counts.max(initial=0) > 1:
        parts.append(f"mean of lines measured up to {counts.max()} times")
    if missing:
        parts.append(f"{missing} readouts of the scan missing")
    return "; ".join([*parts, *filter(None, [labels])])


def _n_slices(raw: RawScan) -> int:
    return max(len(raw.encoding.slice_positions_m), 1) if raw.encoding is not None else 1


def _check(raw: RawScan, axes: tuple[PlanAxis, PlanAxis, PlanAxis]) -> None:
    read, lin, par = axes
    if raw.samples.shape[2] != read.n_samples:
        raise ReconError(
            f"A readout has {raw.samples.shape[2]} samples where the encoding says {read.n_samples}.",
            "Reconstruct readouts of different lengths separately, or check the sequence's ADC events.",
        )
    for name, size in (("LIN", lin.n_samples), ("PAR", par.n_samples), ("SLC", _n_slices(raw))):
        values = raw.label(name)
        wrong = values[(values < 0) | (values >= size)]
        if len(wrong):
            raise ReconError(
                f"A readout has {name} = {wrong[0]}, but the scan is encoded for 0 ... {size - 1}.",
                f"Correct the label {name} in the sequence, or the size in its definition Matrix.",
            )


STEPS: Final = (
    Step(
        name="sort",
        title="Sort by labels",
        help="Puts readouts on a grid by LIN, PAR and SLC, one volume for each ECO, SET, PHS and REP, and takes the mean of "
        "those with equal labels (AVG and SEG do not count). Lines not measured are zero; sensor channels are left out.",
        takes=Stage.READOUTS,
        gives=Stage.GRID,
        run=sort,
        is_required=True,
    ),
)
