# SPDX-License-Identifier: MIT
"""Gradients as points joined by straight lines: trapezoids, shapes on the raster, shapes with their own times."""

from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.pulseq.model import Floats, GradientEvents, Ints
from isocenter.compiler.pulseq.sections import Section, Table, read_table
from isocenter.compiler.pulseq.shapes import Shapes
from isocenter.compiler.pulseq.versions import Version

_US: Final = 1e-6
_MAX_HZ_PER_M: Final = 1e12
_ROUNDING: Final = 1e-9  # files give six to nine digits
_NO_LENGTH_US: Final = 1e-6  # a picosecond: less than any clock


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientTables:
    """The two tables of a file; ids are unique over both.

    Attributes
    ----------
    free, trapezoids
        As read.
    shape_id, time_id
        Of each free gradient.
    delay_s, duration_s
        Of all events, free ones first [s].
    first_hz_per_m, last_hz_per_m
        Values at the edges of the free gradients [Hz/m]; ``first`` is NaN where the file does not say.
    """

    free: Table
    trapezoids: Table
    shape_id: Ints
    time_id: Ints
    delay_s: Floats
    duration_s: Floats
    first_hz_per_m: Floats
    last_hz_per_m: Floats

    def rows_of(self, wanted: Ints, blocks: Table) -> Ints:
        """Rows of gradient ids, free ones first, -1 for none."""
        section = self.free.section or self.trapezoids.section
        both = Table(
            section=section,
            values=np.concatenate([self.free.column(0), self.trapezoids.column(0)])[:, None],
            lines=np.concatenate([self.free.lines, self.trapezoids.lines]),
        )
        return both.rows_of(wanted, blocks, "the gradient")


def read_gradients(sections: dict[str, Section], version: Version, shapes: Shapes, raster_s: float) -> GradientTables:
    """Both tables, checked."""
    columns = 7 if version >= (1, 5, 0) else 5 if version >= (1, 4, 0) else 4
    free = read_table(sections.get("GRADIENTS"), (columns,))
    trapezoids = read_table(sections.get("TRAP"), (6,) if version >= (1, 4, 0) else (6, 5))
    offset = 2 if columns == 7 else 0
    shape_id = free.integers(2 + offset, "the shape id")
    time_id = free.integers(3 + offset, "the time shape id") if columns > 4 else np.zeros(len(free), dtype=np.int64)
    for table in (free, trapezoids):
        table.require(np.abs(table.column(1)) <= _MAX_HZ_PER_M, f"the amplitude is more than {_MAX_HZ_PER_M:g} Hz/m")
    trapezoids.require((trapezoids.values[:, 2:] >= 0).all(axis=1), "a time of the trapezoid is negative")
    _refuse_shared_ids(free, trapezoids)
    trap_times_s = trapezoids.values[:, 2:5].sum(axis=1) * _US
    trapezoids.require((trap_times_s > 3e-12) | (trapezoids.column(1) == 0), "the trapezoid has an amplitude but no length")
    trap_delay_s = trapezoids.column(5) * _US if trapezoids.values.shape[1] > 5 else np.zeros(len(trapezoids))
    free_delay_s = free.column(columns - 1) * _US
    free.require(free_delay_s >= 0, "the delay of the gradient is negative")
    edges = [_free_edges(free, row, shape_id, time_id, shapes, raster_s) for row in range(len(free))]
    last = np.array([value for _, value in edges]) * free.column(1)
    return GradientTables(
        free=free,
        trapezoids=trapezoids,
        shape_id=shape_id,
        time_id=time_id,
        delay_s=np.concatenate([free_delay_s, trap_delay_s]),
        duration_s=np.concatenate([np.array([duration for duration, _ in edges]), trap_times_s]),
        first_hz_per_m=free.column(2) if offset else np.full(len(free), np.nan),
        last_hz_per_m=free.column(3) if offset else last,
    )


def _refuse_shared_ids(free: Table, trapezoids: Table) -> None:
    shared = np.isin(trapezoids.column(0), free.column(0))
    if np.any(shared):
        trapezoids.require(~shared, f"the id {int(trapezoids.values[np.argmax(shared), 0])} is already used in [GRADIENTS]")


def _free_edges(
    free: Table, row: int, shape_id: Ints, time_id: Ints, shapes: Shapes, raster_s: float
) -> tuple[float, float]:
    """Length [s] of a free gradient, and the value of its shape at its end.

    The value is the last point of a shape with its own times, else the extension of the last two samples by half a raster.

    Source
    ------
    pypulseq 1.5.0, ``read_seq.py``, for files before 1.5.
    """

    def refuse(what: str) -> NoReturn:
        assert free.section is not None
        free.section.refuse(int(free.lines[row]), what)

    shape, time = int(shape_id[row]), int(time_id[row])
    for wanted, is_needed in ((shape, True), (time, time not in (0, -1))):
        if is_needed and wanted not in shapes:
            refuse(f"the shape {wanted} is not in the file")
    samples = shapes.samples(shape)
    n = len(samples)
    if time > 0:
        steps = shapes.samples(time)
        if len(steps) != n:
            refuse(f"the gradient has {n} values and {len(steps)} times")
        if n < 2 or steps[0] < 0 or np.any(steps[1:] <= steps[:-1]):
            refuse("the times of the gradient do not increase")
        return float(steps[-1]) * raster_s, float(samples[-1])
    if time == -1 and n % 2 == 0:
        refuse(f"a gradient sampled twice a raster needs an odd number of values, not {n}")
    end = float(samples[-1]) if n < 2 or time == -1 else float(1.5 * samples[-1] - 0.5 * samples[-2])
    if abs(end) < _ROUNDING:
        end = 0.0
    return (n if time == 0 else (n + 1) / 2) * raster_s, end


def derive_first(tables: GradientTables, rows: Ints, duration_s: Floats) -> Floats:
    """Value at the start of the gradient in each block of one axis [Hz/m], for files that do not say.

    It is what the gradient of the block before ended with, if that reached the end of its block and this one has no
    delay; else 0.

    Source
    ------
    pypulseq 1.5.0, ``read_seq.py``, for files before 1.5; there only the first use of an event counts, here each.
    """
    ends = np.zeros(len(rows))
    n_free = len(tables.free)
    is_free = (rows >= 0) & (rows < n_free)
    used = rows[is_free]
    reaches_end = tables.delay_s[used] + tables.duration_s[used] >= duration_s[is_free] - 1e-9
    ends[is_free] = np.where(reaches_end, tables.last_hz_per_m[used], 0.0)
    first = np.concatenate(([0.0], ends[:-1]))
    starts_at_once = np.zeros(len(rows), dtype=bool)
    starts_at_once[is_free] = tables.delay_s[used] == 0
    return np.where(starts_at_once, first, 0.0)


def make_events(
    tables: GradientTables,
    uses: tuple[Ints, Ints, Ints],
    firsts: tuple[Floats, Floats, Floats] | None,
    shapes: Shapes,
    raster_s: float,
) -> tuple[GradientEvents, tuple[Ints, Ints, Ints]]:
    """All events, and the rows of gx, gy, gz in each block.

    Parameters
    ----------
    uses
        Row in ``tables`` for each block and axis, -1 for none.
    firsts
        Value at the start for each use; None when the file gives one for each event. An event that is used with several
        values becomes several events.
    """
    n_free, n_trap = len(tables.free), len(tables.trapezoids)
    # A trapezoid without any length plays nothing.
    is_empty = np.concatenate([np.zeros(n_free, dtype=bool), tables.duration_s[n_free:] <= 3e-12])
    rows = np.concatenate(uses)
    rows = np.where((rows >= 0) & is_empty[rows], -1, rows) if len(is_empty) else rows
    kinds = np.column_stack([np.arange(n_free, dtype=np.float64), np.nan_to_num(tables.first_hz_per_m)])
    is_free = (rows >= 0) & (rows < n_free)
    new_rows = np.where(rows >= n_free, rows - n_free, -1)
    if firsts is not None and np.any(is_free):
        first = np.concatenate(firsts)
        kinds, numbers = np.unique(np.column_stack([rows[is_free], first[is_free]]), axis=0, return_inverse=True)
        new_rows[is_free] = n_trap + numbers.reshape(-1)
    else:
        new_rows[is_free] = n_trap + rows[is_free]
    points = [_free_points(tables, int(row), first, shapes, raster_s) for row, first in kinds.tolist()]
    source = kinds[:, 0].astype(np.int64)
    trap_times, trap_shapes = _trapezoid_points(tables.trapezoids)
    events = GradientEvents(
        amplitude_hz_per_m=np.concatenate([tables.trapezoids.column(1), tables.free.column(1)[source]]),
        delay_s=np.concatenate([tables.delay_s[n_free:], tables.delay_s[source]]),
        times_s=(*trap_times, *(times for times, _ in points)),
        shape=(*trap_shapes, *(values for _, values in points)),
        is_trapezoid=np.arange(n_trap + len(kinds)) < n_trap,
    )
    x, y, z = np.split(new_rows, 3)
    return events, (x, y, z)


def _free_points(
    tables: GradientTables, row: int, first_hz_per_m: float, shapes: Shapes, raster_s: float
) -> tuple[Floats, Floats]:
    """Times [s] and values of a free gradient from its first edge to its last, amplitude not applied."""
    amplitude = float(tables.free.values[row, 1])
    samples = shapes.samples(int(tables.shape_id[row]))
    first = first_hz_per_m / amplitude if amplitude else 0.0
    last = float(tables.last_hz_per_m[row]) / amplitude if amplitude else 0.0

    def refuse(what: str, remedy: str = "") -> NoReturn:
        assert tables.free.section is not None
        tables.free.section.refuse(int(tables.free.lines[row]), what, remedy)

    shapes.budget.spend(2 * len(samples), refuse)
    time = int(tables.time_id[row])
    if time > 0:
        steps = shapes.samples(time)
        if steps[0] > 0:
            return np.concatenate(([0.0], steps)) * raster_s, np.concatenate(([first], samples))
        return steps * raster_s, samples
    inner = np.arange(len(samples)) + 0.5 if time == 0 else (np.arange(len(samples)) + 1.0) / 2
    times_s = np.concatenate(([0.0], inner, [inner[-1] + 0.5])) * raster_s
    return times_s, np.concatenate(([first], samples, [last]))


def _trapezoid_points(table: Table) -> tuple[list[Floats], list[Floats]]:
    """Corners of each trapezoid; a ramp or flat top without length has no corner of its own, so times always increase."""
    corners = np.zeros((len(table), 4))
    corners[:, 1:] = np.cumsum(table.values[:, 2:5], axis=1) * _US
    heights = np.array([0.0, 1.0, 1.0, 0.0])
    times: list[Floats] = list(corners)
    shapes: list[Floats] = [heights] * len(table)
    has_no_length = table.values[:, 2:5] <= _NO_LENGTH_US
    keep_of: dict[tuple[bool, ...], tuple[NDArray[np.bool_], Floats]] = {}
    for row in np.flatnonzero(has_no_length.any(axis=1)).tolist():
        rise, flat, fall = has_no_length[row].tolist()
        if (rise, flat, fall) not in keep_of:
            keep = np.array([not rise, True, not flat, not fall])
            keep_of[rise, flat, fall] = (keep, heights[keep])
        keep, values = keep_of[rise, flat, fall]
        times[row], shapes[row] = corners[row][keep], values
    return times, shapes
