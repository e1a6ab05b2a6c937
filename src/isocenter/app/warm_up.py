# SPDX-License-Identifier: MIT
"""Compiles the virtual scanner's simulation before anyone waits for it.

numba compiles on the first use of a computer and keeps the result on the disk: half a minute then, nothing later. A small
virtual scanner plays one segment with all that a scan has, so that the real one answers as fast the first time as ever.
"""

from dataclasses import replace
from threading import Event
from typing import Final

import numpy as np

from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.domain.events import GRADIENT_CHANNELS, Readouts, Segment, Track
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario

_N_SPINS: Final = 600
_STEP_TICKS: Final = 6000  # far above what any board needs between two updates
_DECIMATION: Final = 600
_N_RAW: Final = (64, 48)


def warm_up(scanner: Scanner, scenario: Scenario) -> None:
    """Play one segment on a throw-away virtual scanner with the same faults."""
    from isocenter.virtual.console.server import VirtualConsoleServer
    from isocenter.virtual.physics.model import BlochSignalModel

    small = replace(scenario, n_spins=_N_SPINS, phantom="block", phantom_file="")
    server = VirtualConsoleServer(
        "127.0.0.1",
        0,
        signal_model=BlochSignalModel(scanner, small),
        time_scale=0.0,
        board=scanner.gradients.board,
        segment_gap_s=scanner.console.segment_gap_s,
    )
    with server:
        host, port = server.address
        console = MarcosConsole(replace(scanner.console, host=host, port=port), scanner.gradients)
        console.open()
        try:
            console.play(console.prepare(_segment(), scanner.magnet.larmor_hz), Event())
        finally:
            console.close()


def _segment() -> Segment:
    """A shaped pulse under a gradient, twice; a readout in an even gradient, and one on a ramp."""
    steps = 4
    tracks: dict[str, Track] = {}
    pulse = np.concatenate([np.arange(0, 20) * 60 + start for start in (10_000, 60_000)]).astype(np.int64)
    shape = np.tile([*np.linspace(1000, 8000, 19), 0], 2).astype(np.int32)
    tracks["tx0_i"] = Track(pulse, shape)
    tracks["tx0_q"] = Track(pulse + 1, shape // 2)
    tracks["tx_gate"] = _switched([(4000, 20_000), (54_000, 70_000)])
    for number, name in enumerate(GRADIENT_CHANNELS):
        at = 5000 + _STEP_TICKS * np.arange(2 * steps * 4, dtype=np.int64) + number * (_STEP_TICKS // 3)
        codes = np.tile([*([400 * (number + 1)] * 6), 900, -700], 4)
        codes[-1] = 0
        tracks[name] = Track(at, codes.astype(np.int32))
    windows = [(80_000, _N_RAW[0]), (130_000, _N_RAW[1])]
    spans = [(start, start + n * _DECIMATION) for start, n in windows]
    tracks["rx0_rate"] = Track(np.array([1000], dtype=np.int64), np.array([_DECIMATION], dtype=np.int32))
    tracks["rx0_en"] = _switched(spans)
    tracks["rx_gate"] = _switched([(start - 100, stop + 100) for start, stop in spans])
    n = len(windows)
    readouts = Readouts(
        block=np.zeros(n, dtype=np.int64),
        window_tick=np.array([start for start, _ in windows], dtype=np.int64),
        decimation=np.full(n, _DECIMATION, dtype=np.int32),
        n_raw=np.array(_N_RAW, dtype=np.int32),
        n_samples=np.full(n, 8, dtype=np.int32),
        first_sample_tick=np.array([start + 8.0 * _DECIMATION for start, _ in windows]),
        dwell_ticks=np.full(n, 4.0 * _DECIMATION),
        phase_rad=np.zeros(n),
        frequency_hz=np.zeros(n),
    )
    return Segment(index=0, tracks=tracks, end_tick=260_000, start_s=0.0, readouts=readouts)


def _switched(spans: list[tuple[int, int]]) -> Track:
    """1 within spans, 0 outside."""
    ticks = np.array(spans, dtype=np.int64).ravel()
    return Track(ticks, np.tile([1, 0], len(spans)).astype(np.int32))
