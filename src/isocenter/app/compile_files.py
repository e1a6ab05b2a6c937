# SPDX-License-Identifier: MIT
"""Compiled scans as plain files, so that anything else can check them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.app.files import new_folder
from isocenter.app.prepare import PreparedScan
from isocenter.devices.marcos.encode import encode_segment
from isocenter.devices.marcos.isa import PIN_CYCLE_OFFSET
from isocenter.domain.events import CHANNELS, CompiledScan
from isocenter.domain.scanner import Scanner


def write_compiled(prepared: PreparedScan, scanner: Scanner, out: Path) -> dict[str, Any]:
    """Write ``segment-NNN.words``, ``events.npz``, ``sequence.seq`` and ``compiled.json``; returns what the last holds.

    ``segment-NNN.words``
        The console's program of each segment, little-endian uint32.
    ``events.npz``
        For each channel ``NAME_ticks`` (int64, from the start of its segment), ``NAME_values`` (int32) and
        ``NAME_segment`` (int32, which segment); the table that the words must reproduce at the pins.
    """
    scan = prepared.scan
    with new_folder(out) as folder:
        sizes = []
        for segment in scan.segments:
            sign = scanner.console.tx_phase_sign
            program = encode_segment(segment, scan.lo_hz, scanner.gradients, tx_phase_sign=sign)
            name = f"segment-{segment.index:03d}.words"
            (folder / name).write_bytes(np.ascontiguousarray(program.words, dtype="<u4").tobytes())
            sizes.append({"file": name, "words": len(program.words), "ticks": segment.end_tick, "start_s": segment.start_s})
        np.savez_compressed(folder / "events.npz", **event_arrays(scan))
        (folder / "sequence.seq").write_bytes(prepared.seq)
        summary = _summary(prepared, scanner, sizes)
        (folder / "compiled.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def event_arrays(scan: CompiledScan) -> dict[str, Any]:
    """Every channel of a compiled scan as three arrays, and what else a checker needs."""
    arrays: dict[str, NDArray[Any]] = {}
    for channel in CHANNELS:
        tracks = [(segment.index, segment.tracks[channel]) for segment in scan.segments if channel in segment.tracks]
        arrays[f"{channel}_ticks"] = _join([track.ticks for _, track in tracks], np.int64)
        arrays[f"{channel}_values"] = _join([track.values for _, track in tracks], np.int32)
        arrays[f"{channel}_segment"] = _join([np.full(len(track.ticks), index) for index, track in tracks], np.int32)
    arrays["segment_end_ticks"] = np.array([segment.end_tick for segment in scan.segments], dtype=np.int64)
    arrays["segment_start_s"] = np.array([segment.start_s for segment in scan.segments])
    arrays["clock_hz"] = np.array(scan.clock_hz)
    arrays["lo_hz"] = np.array(scan.lo_hz)
    return arrays


def _join(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts]).astype(dtype)


def _summary(prepared: PreparedScan, scanner: Scanner, segments: list[dict[str, Any]]) -> dict[str, Any]:
    scan, facts = prepared.scan, prepared.scan.facts
    return {
        "sequence": prepared.info.name,
        "scanner": scanner.name,
        "gradient_board": scanner.gradients.board.value,
        "clock_hz": scan.clock_hz,
        "lo_hz": scan.lo_hz,
        "duration_s": facts.duration_s,
        "readouts": len(scan.readouts),
        "signature": scan.signature,
        "gradient_t_per_m_per_code": scan.gradient_t_per_m_per_code,
        "tx_t_per_code": scan.tx_t_per_code,
        "pin_cycle_offset": PIN_CYCLE_OFFSET,
        "pin_cycle": f"a value with tick t is at the pin in cycle t + {PIN_CYCLE_OFFSET} of its segment's run",
        "warnings": list(scan.warnings),
        "segments": segments,
    }
