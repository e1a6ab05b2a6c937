# SPDX-License-Identifier: MIT
"""Text Pulseq files, versions 1.2 to 1.5.1, as arrays."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from isocenter.compiler.pulseq.extensions import read_extension_sets
from isocenter.compiler.pulseq.gradients import GradientTables, derive_first, make_events, read_gradients
from isocenter.compiler.pulseq.model import (
    AdcEvents,
    Blocks,
    ExtensionSet,
    Floats,
    GradientEvents,
    Ints,
    PulseqFile,
    RfEvents,
)
from isocenter.compiler.pulseq.rf import guess_use, read_rf
from isocenter.compiler.pulseq.sections import MAX_FILE_BYTES, Section, Table, read_table, split_sections
from isocenter.compiler.pulseq.shapes import Shapes
from isocenter.compiler.pulseq.signature import signature_state
from isocenter.compiler.pulseq.versions import RASTER_DEFAULTS_S, Version, read_definitions, read_raster_s, read_version
from isocenter.domain.errors import SequenceError, StorageError

_US: Final = 1e-6
_NS: Final = 1e-9
_MAX_SCAN_S: Final = 7 * 24 * 3600.0
_MAX_SAMPLES: Final = 2**24
_LONG_BYTES: Final = 100_000
_EDGE_S: Final = 2e-9  # times are given to a nanosecond at best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What all tables need to know of the file."""

    file_name: str
    sections: dict[str, Section]
    version: Version
    definitions: dict[str, str]
    gradient_raster_s: float
    rf_raster_s: float
    adc_raster_s: float
    block_raster_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """Rows of the events in each block; gradients as rows of ``GradientTables``."""

    table: Table
    rf: Ints
    gradients: tuple[Ints, Ints, Ints]
    adc: Ints
    extension: Ints


def read_pulseq(data: bytes | Path, *, name: str = "") -> PulseqFile:
    """A text Pulseq file of version 1.2 to 1.5.1 as arrays.

    Parameters
    ----------
    data
        The file's bytes, or where it is.
    name
        What messages call it; the file's name by default.

    Raises
    ------
    SequenceError
        When it is not a sound Pulseq file; names file, section, line and what to do. Nothing else is raised on any bytes.
    StorageError
        When there is no file that can be read.

    Source
    ------
    Pulseq specification 1.5 and its version history; reference peers.md 2.1 and 2.4.
    """
    if isinstance(data, Path):
        name = name or data.name
        data = _load(data)
    if len(data) < _LONG_BYTES:
        return _read(data, name or "The sequence", lambda: signature_state(data))
    with ThreadPoolExecutor(1) as pool:  # a long text is hashed while it is read
        return _read(data, name or "The sequence", pool.submit(signature_state, data).result)


def _read(data: bytes, name: str, find_signature: Callable[[], str]) -> PulseqFile:
    head = _read_head(data, name)
    shapes = Shapes(head.sections.get("SHAPES"), head.version >= (1, 4, 0))
    rf_table, rf, warnings = read_rf(head.sections.get("RF"), head.version, shapes, head.rf_raster_s)
    tables = read_gradients(head.sections, head.version, shapes, head.gradient_raster_s)
    adc_table, adc = _read_adc(head, shapes)
    used, sets, more = _read_uses(head, rf_table, tables, adc_table)
    ends = _ends_s(used, rf, tables, adc, sets)
    duration_s = _durations_s(head, used, ends)
    _check_blocks(used, duration_s, ends, sets)
    gradients, rows = _finish_gradients(head, tables, used, duration_s, shapes)
    rf, use_warnings = _finish_use(head, rf, used)
    signature = find_signature()
    return PulseqFile(
        version=head.version,
        definitions=head.definitions,
        gradient_raster_s=head.gradient_raster_s,
        rf_raster_s=head.rf_raster_s,
        adc_raster_s=head.adc_raster_s,
        block_raster_s=head.block_raster_s,
        blocks=Blocks(
            duration_s=duration_s,
            rf=used.rf,
            gx=rows[0],
            gy=rows[1],
            gz=rows[2],
            adc=used.adc,
            extension=used.extension,
            number=used.table.values[:, 0].astype(np.int64),
        ),
        rf=rf,
        gradients=gradients,
        adc=adc,
        extension_sets=sets,
        signature=signature,
        warnings=(*_head_warnings(head, signature), *warnings, *more, *use_warnings),
    )


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(
            f"The file {path} cannot be read: {error.strerror or error}.", "Check the path and the permissions of the file."
        ) from error


def _read_head(data: bytes, file_name: str) -> _Head:
    sections = split_sections(data, file_name)
    version = read_version(sections.get("VERSION"), file_name)
    definitions = read_definitions(sections.get("DEFINITIONS"))
    gradient_s, rf_s, adc_s, block_s = (read_raster_s(key, definitions, version, file_name) for key in RASTER_DEFAULTS_S)
    if "BLOCKS" not in sections:
        raise SequenceError(f"{file_name} has no section [BLOCKS], so there is nothing to play.", "Choose another file.")
    if version >= (1, 4, 0) and "DELAYS" in sections:
        section = sections["DELAYS"]
        section.refuse(section.first_line, "Pulseq 1.4 and later have no delay events", "Export the sequence again.")
    return _Head(
        file_name=file_name,
        sections=sections,
        version=version,
        definitions=definitions,
        gradient_raster_s=gradient_s,
        rf_raster_s=rf_s,
        adc_raster_s=adc_s,
        block_raster_s=block_s,
    )


def _head_warnings(head: _Head, signature: str) -> list[str]:
    warnings = []
    missing = [key for key in RASTER_DEFAULTS_S if key not in head.definitions]
    if missing:
        assumed = ", ".join(f"{key} {RASTER_DEFAULTS_S[key]:g} s" for key in missing)
        warnings.append(f"The file does not give its rasters; assumed: {assumed}.")
    if signature == "invalid":
        warnings.append("The signature does not fit the file: it was changed after it was written.")
    if signature == "unknown type":
        warnings.append(
            "The file is signed in a way that this program does not know, so it cannot tell whether it was changed."
        )
    if head.version > (1, 5, 1):
        warnings.append(
            f"The file is of version {'.'.join(map(str, head.version))}, newer than 1.5.1; check that it reads as meant."
        )
    return warnings


def _read_adc(head: _Head, shapes: Shapes) -> tuple[Table, AdcEvents]:
    is_new = head.version >= (1, 5, 0)
    table = read_table(head.sections.get("ADC"), (9,) if is_new else (6,))
    n_samples = table.integers(1, "the number of samples")
    dwell_s, delay_s = table.column(2) * _NS, table.column(3) * _US
    table.require((n_samples >= 1) & (n_samples <= _MAX_SAMPLES), f"the samples must be 1 to {_MAX_SAMPLES}")
    table.require((dwell_s > 0) & (dwell_s <= 1.0), "the dwell time must be more than 0 and at most 1 s")
    table.require(delay_s >= 0, "the delay of the readout is negative")
    zeros = np.zeros(len(table))
    phases: list[Floats] = [np.zeros(0)] * len(table)
    shape_ids = table.integers(8, "the phase shape id") if is_new else np.zeros(len(table), dtype=np.int64)
    for row in np.flatnonzero(shape_ids).tolist():
        is_there = int(shape_ids[row]) in shapes
        samples = shapes.samples(int(shape_ids[row])) if is_there else np.zeros(0)
        good = np.arange(len(table)) != row if len(samples) != n_samples[row] else np.ones(len(table), dtype=bool)
        table.require(good, f"the phase shape {shape_ids[row]} is missing or has not one value for each sample")
        phases[row] = samples
    return table, AdcEvents(
        n_samples=n_samples,
        dwell_s=dwell_s,
        delay_s=delay_s,
        frequency_hz=table.column(6 if is_new else 4),
        phase_rad=table.column(7 if is_new else 5),
        frequency_ppm=table.column(4) if is_new else zeros,
        phase_ppm=table.column(5) if is_new else zeros,
        phase_shape_rad=tuple(phases),
    )


def _read_uses(
    head: _Head, rf: Table, gradients: GradientTables, adc: Table
) -> tuple[_Used, tuple[ExtensionSet, ...], list[str]]:
    """Which events each block plays."""
    columns = (8,) if head.version >= (1, 4, 0) else (8, 7)
    table = read_table(head.sections["BLOCKS"], columns, integer=True)
    if not len(table):
        raise SequenceError(f"{head.file_name} has no blocks, so there is nothing to play.", "Choose another file.")
    entries = read_table(head.sections.get("EXTENSIONS"), (4,), integer=True)
    wanted = table.values[:, 7] if table.values.shape[1] > 7 else np.zeros(len(table), dtype=np.int64)
    entries.rows_of(wanted, table, "the extension list")  # refuses what is not there, with the block's line
    has_list = np.flatnonzero(wanted)
    heads, places = np.unique(wanted[has_list], return_inverse=True)
    extension = np.full(len(table), -1, dtype=np.int64)
    extension[has_list] = places.reshape(-1)
    sets, warnings = read_extension_sets(head.sections, entries, heads.tolist(), head.definitions, head.file_name)
    used = _Used(
        table=table,
        rf=rf.rows_of(table.values[:, 2], table, "the RF pulse"),
        gradients=(
            gradients.rows_of(table.values[:, 3], table),
            gradients.rows_of(table.values[:, 4], table),
            gradients.rows_of(table.values[:, 5], table),
        ),
        adc=adc.rows_of(table.values[:, 6], table, "the readout"),
        extension=extension,
    )
    return used, sets, warnings


def _ends_s(
    used: _Used, rf: RfEvents, gradients: GradientTables, adc: AdcEvents, sets: tuple[ExtensionSet, ...]
) -> dict[str, Floats]:
    """When the events of each kind end within each block [s], 0 where there is none."""

    def of(rows: Ints, ends: Floats) -> Floats:
        return np.concatenate([ends, [0.0]])[rows]  # row -1 is the last one

    gradient_ends = gradients.delay_s + gradients.duration_s
    triggers = np.zeros(len(sets))
    for row, one in enumerate(sets):
        if one.triggers:
            triggers[row] = max(trigger.delay_s + trigger.duration_s for trigger in one.triggers)
    return {
        "RF pulse": of(used.rf, rf.delay_s + rf.duration_s),
        "x gradient": of(used.gradients[0], gradient_ends),
        "y gradient": of(used.gradients[1], gradient_ends),
        "z gradient": of(used.gradients[2], gradient_ends),
        "readout": of(used.adc, adc.delay_s + adc.n_samples * adc.dwell_s),
        "trigger": of(used.extension, triggers),
    }


def _durations_s(head: _Head, used: _Used, ends: dict[str, Floats]) -> Floats:
    """Length of each block [s]: what the file says from 1.4 on, before that the longest event or delay."""
    if head.version >= (1, 4, 0):
        duration_s = used.table.values[:, 1] * head.block_raster_s
    else:
        delays = read_table(head.sections.get("DELAYS"), (2,))
        delays.require(delays.column(1) >= 0, "the delay is negative")
        rows = delays.rows_of(used.table.values[:, 1], used.table, "the delay")
        delay_s = np.concatenate([delays.column(1) * _US, [0.0]])[rows]
        duration_s = np.maximum.reduce([delay_s, *ends.values()])
    used.table.require(
        np.cumsum(duration_s) <= _MAX_SCAN_S,
        f"the sequence is longer than {_MAX_SCAN_S / 86400:.0f} days",
        "Check the durations and BlockDurationRaster.",
    )
    return duration_s


def _check_blocks(used: _Used, duration_s: Floats, ends: dict[str, Floats], sets: tuple[ExtensionSet, ...]) -> None:
    for kind, end_s in ends.items():
        if kind == "trigger":  # an output may outlast its block in files that are in use
            continue
        good = end_s <= duration_s + _EDGE_S
        if not np.all(good):
            row = int(np.argmin(good))
            used.table.require(
                good,
                f"the {kind} of block {int(used.table.values[row, 0])} ends at {end_s[row] * 1e6:.3f} us, "
                f"after the block, which lasts {duration_s[row] * 1e6:.3f} us",
                f"Lengthen the block to at least {end_s[row] * 1e6:.0f} us where the sequence is made.",
            )
    is_soft = np.array([*(one.soft_delay is not None for one in sets), False])[used.extension]
    is_pure = (used.rf < 0) & (used.adc < 0)
    for rows in used.gradients:
        is_pure &= rows < 0
    used.table.require(~is_soft | is_pure, "a soft delay may only be in a block without RF, gradient and readout")


def _finish_gradients(
    head: _Head, tables: GradientTables, used: _Used, duration_s: Floats, shapes: Shapes
) -> tuple[GradientEvents, tuple[Ints, Ints, Ints]]:
    firsts = None
    if head.version < (1, 5, 0) and len(tables.free):
        x, y, z = (derive_first(tables, rows, duration_s) for rows in used.gradients)
        firsts = (x, y, z)
    return make_events(tables, used.gradients, firsts, shapes, head.gradient_raster_s)


def _finish_use(head: _Head, rf: RfEvents, used: _Used) -> tuple[RfEvents, list[str]]:
    """The uses of the pulses, guessed for files before 1.5."""
    if not len(rf.use):
        return rf, []
    if head.version >= (1, 5, 0):
        n_unknown = int(np.sum(rf.use == "u"))
        told = [f"The file does not say what {n_unknown} of its {len(rf.use)} RF pulses are for."] if n_unknown else []
        return rf, told
    use = guess_use(rf, used.rf, used.adc)
    counts = ", ".join(
        f"{int(np.sum(use == letter))} {word}"
        for letter, word in (("e", "excitation"), ("r", "refocusing"), ("i", "inversion"), ("s", "saturation"))
        if np.any(use == letter)
    )
    text = f"The file does not say what its RF pulses are for; told by their flip angles: {counts}."
    return dataclasses.replace(rf, use=use), [text]
