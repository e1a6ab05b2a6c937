# SPDX-License-Identifier: MIT
"""RF pulses of all versions in the terms of 1.5."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from isocenter.compiler.pulseq.model import Floats, Ints, RfEvents
from isocenter.compiler.pulseq.sections import Section, Table, read_table
from isocenter.compiler.pulseq.shapes import Shapes
from isocenter.compiler.pulseq.versions import Version

_US: Final = 1e-6
_MAX_HZ: Final = 1e9
_USES: Final = "erispou"

# Columns by version: (id amplitude magnitude phase [time] [center] delay ...)
_EXTRA_LIMIT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One combination of shapes; shared by all pulses that use it. ``scale`` is the factor taken out of the samples."""

    times_s: Floats
    samples: NDArray[np.complex128]
    duration_s: float
    center_s: float
    scale: float


def read_rf(section: Section | None, version: Version, shapes: Shapes, raster_s: float) -> tuple[Table, RfEvents, list[str]]:
    """The table, the pulses, and warnings."""
    table, columns, warnings = _read_columns(section, version)
    n = len(table)
    amplitude = columns["amplitude"]
    table.require(np.abs(amplitude) <= _MAX_HZ, f"the RF amplitude is more than {_MAX_HZ:g} Hz")
    table.require(columns["delay"] >= 0, "the RF delay is negative")
    keys = np.column_stack(
        [table.integers(2, "the shape id"), table.integers(3, "the shape id"), columns["time"].astype(np.int64)]
    )
    envelopes: dict[tuple[int, int, int], Envelope] = {}
    chosen: list[Envelope] = []
    for row, key in enumerate(map(tuple, keys.tolist())):
        if key not in envelopes:
            envelopes[key] = _envelope(table, row, key, shapes, raster_s)
        chosen.append(envelopes[key])
    center_s = columns["center"] * _US if "center" in columns else np.array([envelope.center_s for envelope in chosen])
    duration_s = np.array([envelope.duration_s for envelope in chosen])
    table.require((center_s >= 0) & (center_s <= duration_s + _US), "the centre of the pulse lies outside the pulse")
    events = RfEvents(
        amplitude_hz=amplitude * np.array([envelope.scale for envelope in chosen]),
        delay_s=columns["delay"] * _US,
        center_s=center_s,
        frequency_hz=columns["frequency"],
        phase_rad=columns["phase"],
        frequency_ppm=columns.get("frequency_ppm", np.zeros(n)),
        phase_ppm=columns.get("phase_ppm", np.zeros(n)),
        use=table.letters if len(table.letters) else np.full(n, "u", dtype="U1"),
        times_s=tuple(envelope.times_s for envelope in chosen),
        envelope=tuple(envelope.samples for envelope in chosen),
        duration_s=duration_s,
        on_raster=keys[:, 2] == 0,
    )
    return table, events, warnings


def _read_columns(section: Section | None, version: Version) -> tuple[Table, dict[str, Floats], list[str]]:
    names = ["amplitude", "magnitude", "phase_shape"]
    warnings: list[str] = []
    if version >= (1, 5, 0):
        names += ["time", "center", "delay", "frequency_ppm", "phase_ppm", "frequency", "phase"]
        table = read_table(section, (11,), letter=True)
        table.require(np.isin(table.letters, list(_USES)), f"the use of the pulse must be one of {' '.join(_USES)}")
    elif version >= (1, 4, 0):
        names += ["time", "delay", "frequency", "phase"]
        table = read_table(section, (8,))
    else:
        names += ["delay", "frequency", "phase"]
        table = read_table(section, tuple(range(7, _EXTRA_LIMIT + 1)))
        if table.values.shape[1] > 7:
            warnings.append(
                f"The RF pulses have {table.values.shape[1] - 7} more values than Pulseq {version[0]}.{version[1]} knows "
                "(such as transmit shims); they are left out."
            )
    columns = {name: table.column(index + 1) for index, name in enumerate(names)}
    columns.setdefault("time", np.zeros(len(table)))
    is_whole = (columns["time"] == np.rint(columns["time"])) & (np.abs(columns["time"]) < 2.0**53)
    table.require(is_whole, "the time shape id is not a whole number")
    return table, columns, warnings


def _envelope(table: Table, row: int, key: tuple[int, int, int], shapes: Shapes, raster_s: float) -> Envelope:
    def refuse(what: str, remedy: str = "") -> NoReturn:
        assert table.section is not None
        table.section.refuse(int(table.lines[row]), what, remedy)

    for shape_id in key:
        if shape_id > 0 and shape_id not in shapes:
            refuse(f"the shape {shape_id} is not in the file")
    magnitude_id, phase_id, time_id = key
    if magnitude_id < 1 or phase_id < 0 or time_id < -1:
        refuse("a shape id must be 1 or more (0 for no phase shape and for the default times)")
    magnitude = shapes.samples(magnitude_id)
    phase = shapes.samples(phase_id) if phase_id else np.zeros(len(magnitude))
    if len(phase) != len(magnitude):
        refuse(f"the phase has {len(phase)} samples and the magnitude {len(magnitude)}")
    shapes.budget.spend(4 * len(magnitude), refuse)  # times, and complex samples with their rounding
    times_s, duration_s = _times(shapes, time_id, len(magnitude), raster_s, refuse)
    samples = magnitude * np.exp(2j * np.pi * phase)
    strength = np.abs(samples)
    peak = float(strength.max())
    plateau = np.flatnonzero(strength >= peak * 0.99999)
    scale = peak if peak > 1.0 else 1.0
    return Envelope(
        times_s=times_s,
        samples=samples / scale,
        duration_s=duration_s,
        center_s=float(times_s[plateau[0]] + times_s[plateau[-1]]) / 2,
        scale=scale,
    )


def _times(shapes: Shapes, time_id: int, n: int, raster_s: float, refuse: Callable[[str], NoReturn]) -> tuple[Floats, float]:
    if time_id == 0:
        centres: Floats = (np.arange(n, dtype=np.float64) + 0.5) * raster_s
        return centres, n * raster_s
    if time_id == -1:
        halves: Floats = np.arange(1, n + 1, dtype=np.float64) * (raster_s / 2)
        return halves, (n + 1) * raster_s / 2
    steps = shapes.samples(time_id)
    if len(steps) != n:
        refuse(f"the pulse has {n} samples and {len(steps)} times")
    if steps[0] < 0 or np.any(steps[1:] <= steps[:-1]):
        refuse("the times of the pulse do not increase")
    times_s: Floats = steps * raster_s
    return times_s, float(np.ceil(steps[-1] - 1e-9)) * raster_s


def flip_angles_rad(rf: RfEvents) -> Floats:
    """Flip angle of each pulse on resonance for small angles and block pulses [rad]: 2 pi times the area of its envelope."""
    areas: dict[int, float] = {}
    for index, samples in enumerate(rf.envelope):
        if id(samples) in areas:
            continue
        times_s = rf.times_s[index]
        if rf.on_raster[index]:
            areas[id(samples)] = abs(samples.sum()) * rf.duration_s[index] / len(samples)
        else:
            areas[id(samples)] = abs(np.sum((samples[1:] + samples[:-1]) / 2 * np.diff(times_s)))
    shape_area_s = np.array([areas[id(samples)] for samples in rf.envelope])
    flip_rad: Floats = 2 * np.pi * np.abs(rf.amplitude_hz) * shape_area_s
    return flip_rad


def guess_use(rf: RfEvents, rf_rows: Ints, adc_rows: Ints) -> NDArray[np.str_]:
    """What each pulse of a file before 1.5 is for, told by flip angle and neighbours.

    At most 90.01 degrees excites, more refocuses. A pulse of the second kind prepares if, wherever it is played, no
    excitation came directly before it and an excitation comes directly after it, readouts counted as neighbours: with more
    than 150 degrees it inverts, with less it saturates. Refocusing pulses
    of less than 90 degrees (variable flip angles) cannot be told from excitations.

    Parameters
    ----------
    rf
        The pulses.
    rf_rows, adc_rows
        Rows of pulse and readout in each block, -1 for none, shape ``(n_blocks,)``.

    Source
    ------
    The limit of 90.01 degrees: pypulseq 1.5.0, ``Sequence.read(detect_rf_use=True)``. The rule for preparations is ours.
    """
    flip_rad = flip_angles_rad(rf)
    excites = flip_rad <= np.deg2rad(90.01)
    use = np.where(excites, "e", "r").astype("U1")
    events = np.flatnonzero((rf_rows >= 0) | (adc_rows >= 0))
    rows = rf_rows[events]
    is_excitation = (rows >= 0) & excites[rows] if len(excites) else np.zeros(len(rows), dtype=bool)
    before = np.concatenate(([False], is_excitation[:-1]))
    after = np.concatenate((is_excitation[1:], [False]))
    candidates = (rows >= 0) & ~is_excitation
    inverting = candidates & ~before & after
    for row in np.unique(rows[candidates]).tolist():
        if np.all(inverting[rows == row]):
            use[row] = "i" if flip_rad[row] > np.deg2rad(150.0) else "s"
    return use
