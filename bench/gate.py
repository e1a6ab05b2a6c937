# SPDX-License-Identifier: MIT
"""The last gate: how long the whole check takes; the model of nerves against the public implementation of its authors."""

import dataclasses
import statistics

import numpy as np

from bench.measure import Row, compare, seconds
from isocenter.compiler.check import check_scan
from isocenter.compiler.check.pns import safe_stimulation
from isocenter.compiler.check.timeline import build_timeline
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.events import CompiledScan, Segment, Track
from isocenter.domain.geometry import Placement
from isocenter.domain.limits import NerveModel, Subject
from isocenter.domain.scanner import Scanner, nominal_calibration
from isocenter.sequences.build import build

N_POINTS = 700_000
_TARGET_S = 0.15
_RASTER_S = 10e-6
# Constants of the fictitious scanner that comes with the public implementation.
_CONSTANTS = (
    (0.2e-3, 0.03e-3, 3e-3, 0.4, 0.1, 0.5, 30.0, 0.35),
    (1.5e-3, 2.5e-3, 0.15e-3, 0.55, 0.15, 0.3, 15.0, 0.31),
    (2e-3, 0.12e-3, 1e-3, 0.42, 0.4, 0.18, 25.0, 0.25),
)


def _scanner() -> Scanner:
    scanner = load_scanner("osii-one")
    names = [field.name for field in dataclasses.fields(NerveModel)]
    axes = tuple(
        dataclasses.replace(axis, nerve=NerveModel(**dict(zip(names, constants, strict=True))))
        for axis, constants in zip(scanner.gradients.axes, _CONSTANTS, strict=True)
    )
    return dataclasses.replace(scanner, gradients=dataclasses.replace(scanner.gradients, axes=axes))


def _lobes(scan: CompiledScan, length_s: float) -> tuple[CompiledScan, np.ndarray]:
    """Random trapezoids on three channels as a table, and the same sampled on a raster [T/m]."""
    rng, cell = np.random.default_rng(3), round(_RASTER_S * scan.clock_hz)
    n = round(length_s / _RASTER_S)
    tracks, sampled = {}, np.zeros((n, 3))
    for number, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        times, corners, at = [0], [0.0], 50
        while at < n - 600:
            n_ramp, flat, top = int(rng.integers(20, 60)), int(rng.integers(10, 200)), float(rng.uniform(-20_000, 20_000))
            times += [at, at + n_ramp, at + n_ramp + flat, at + 2 * n_ramp + flat]
            corners += [0.0, top, top, 0.0]
            at += 2 * n_ramp + flat + int(rng.integers(5, 100))
        middles = np.interp(np.arange(n) + 0.5, times, corners)
        sampled[:, number] = np.interp(np.arange(n), times, corners) * scan.gradient_t_per_m_per_code[number]
        values = np.round(middles).astype(np.int32)
        kept = np.flatnonzero(np.diff(values, prepend=0))
        tracks[name] = Track((1 + kept) * cell, values[kept])
    empty = scan.readouts.slice(0, 0)
    segment = Segment(index=0, tracks=tracks, end_tick=(n + 2) * cell, start_s=0.0, readouts=empty)
    return dataclasses.replace(scan, segments=(segment,), readouts=empty, segment_of_readout=np.zeros(0, np.int32)), sampled


def run() -> list[Row]:
    """A check of about 700 000 points for a person; the model of nerves on 0.3 s of lobes."""
    from pypulseq.utils import safe_pns_prediction as public

    scanner, person = _scanner(), Subject(body_part="HEAD", weight_kg=60.0)
    calibration = nominal_calibration(scanner)
    built = build("bssfp_3d", {"n_phase": 90, "n_slab": 36}, scanner)
    scan = compile_scan(read_pulseq(built.seq), scanner, calibration, Placement())
    n_points = sum(len(track.ticks) for segment in scan.segments for track in segment.tracks.values())
    report = check_scan(scan, scanner, calibration, subject=person)
    if not report.is_allowed:
        raise AssertionError(report.findings)
    ours_s = statistics.median(
        seconds(lambda: check_scan(scan, scanner, calibration, subject=person)) * N_POINTS / n_points for _ in range(5)
    )
    whole = Row(
        what=f"last gate with exposures, {N_POINTS} points",
        peer="",
        ours_s=ours_s,
        peer_s=float("nan"),
        ratio=f"{ours_s:.3f} s",
        target=f"{_TARGET_S:g} s",
        reached=ours_s <= _TARGET_S,
        checked=f"{len(report.exposures)} exposures; {n_points} points, scaled",
    )
    small, sampled = _lobes(scan, 0.3)
    timeline, _ = build_timeline(small, scanner)
    assert timeline is not None
    constants, zeros = public.safe_example_hw(), np.ones(len(sampled))

    def theirs() -> float:
        pns, _ = public.safe_gwf_to_pns(sampled, zeros, _RASTER_S, constants, do_padding=False)
        return float(np.sqrt((pns**2).sum(axis=1)).max() / 100)

    error = abs(safe_stimulation(small, timeline, scanner) / theirs() - 1)
    if error > 0.03:
        raise AssertionError(f"the two models of nerves differ by {error:.1%}")
    model = compare(
        "nerve stimulation, 0.3 s of gradients",
        lambda: safe_stimulation(small, timeline, scanner),
        "pypulseq's copy of the SAFE model",
        theirs,
        target=100,
        checked=f"largest value within {error:.1%}; theirs on a raster of 10 us",
        rounds=3,
    )
    return [whole, model]
