# SPDX-License-Identifier: MIT
"""A scanner and a valid hand-made scan of two segments, as plain dictionaries that tests change before they build it."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from isocenter.domain.events import CompiledScan, Readouts, ScanFacts, Segment, Track
from isocenter.domain.scanner import (
    Calibration,
    ConsoleLink,
    GradientAxis,
    GradientBoard,
    GradientSystem,
    Magnet,
    Receiver,
    RfSystem,
    Scanner,
)

CLOCK_HZ = 122.88e6
FULL_SCALE_T_PER_M = 20e-3
T_PER_M_PER_CODE = FULL_SCALE_T_PER_M / 32767


def us(value):
    """Microseconds as ticks."""
    return round(value * 1e-6 * CLOCK_HZ)


def make_scanner(**changes):
    axis = {
        "full_scale_t_per_m": FULL_SCALE_T_PER_M,
        "max_t_per_m": 10e-3,
        "max_slew_t_per_m_s": 50.0,
        "max_rms_t_per_m": 5e-3,
    }
    rf = {
        "full_scale_t": 100e-6,
        "warmup_s": 100e-6,
        "hold_s": 20e-6,
        "dead_time_s": 300e-6,
        "max_pulse_s": 5e-3,
        "max_duty": 0.1,
    }
    magnet = {"larmor_hz": 2e6, "search_span_hz": 1e5}
    axis |= {key: value for key, value in changes.items() if key in axis}
    rf |= {key: value for key, value in changes.items() if key in rf}
    magnet |= {key: value for key, value in changes.items() if key in magnet}
    return Scanner(
        name=changes.get("name", "bench"),
        title="",
        manufacturer="",
        model="",
        serial_number="",
        station_name="",
        institution="",
        body_parts=("HEAD",),
        magnet=Magnet(**magnet, bore_m=0.3, imaging_diameter_m=0.2, homogeneity_ppm=3000.0, drift_hz_per_c=0.0),
        gradients=GradientSystem(
            board=changes.get("board", GradientBoard.GPA_FHDO),
            spi_divider=4,
            update_interval_s=changes.get("update_interval_s", 10e-6),
            axes=(GradientAxis(**axis, delay_s=0.0),) * 3,
            channel_from_device=np.eye(3),
        ),
        rf=RfSystem(**rf),
        receiver=Receiver(oversampling=4, volts_per_unit=float("nan"), coil_bandwidth_hz=float("nan"), coil_name="BENCH"),
        console=ConsoleLink(family="marcos", host="localhost", port=11111, clock_hz=CLOCK_HZ, segment_gap_s=0.02),
    )


@dataclass
class Draft:
    """One segment as lists of ``[tick, value]`` by channel, and its readouts as ``[window, decimation, n_raw]``."""

    tracks: dict[str, list] = field(default_factory=dict)
    readouts: list = field(default_factory=list)
    end: int = field(default_factory=lambda: us(20_000))
    shim: tuple = (0, 0, 0)
    start_s: float = 0.0


CELL = us(10)
TOP = us(1000)


def staircase(start, codes, cell=CELL):
    """A lobe: cells of equal length, then back to 0."""
    return [[start + i * cell, int(code)] for i, code in enumerate([*codes, 0])]


def trapezoid(start, peak, n_ramp=20, flat=TOP, cell=CELL):
    """Ramps of ``n_ramp`` cells that hold the ramp's mean, as the compiler makes them."""
    ramp = (np.arange(n_ramp) + 0.5) / n_ramp * peak
    up = [[start + i * cell, round(code)] for i, code in enumerate(ramp)]
    top = start + n_ramp * cell
    down = [[top + flat + i * cell, round(code)] for i, code in enumerate(ramp[::-1])]
    return [*up, [top, round(peak)], *down, [top + flat + n_ramp * cell, 0]]


def make_drafts():
    """Two segments: a pulse of 200 us at 1 ms, a readout of 1000 x 123 ticks at 5 ms, lobes on all three channels."""
    drafts = []
    for index in range(2):
        window = us(5000)
        tracks = {
            "tx_gate": [[us(850), 1], [us(1250), 0]],
            "tx0_i": [[us(1000), 20000], [us(1200), 0]],
            "tx0_q": [[us(1000), 10000], [us(1100), -10000], [us(1200), 0]],
            "rx0_rate": [[us(100), 123]],
            "rx_gate": [[window - us(20), 1], [window + 123_000 + us(5), 0]],
            "rx0_en": [[window, 1], [window + 123_000, 0]],
            "grad_vx": trapezoid(us(4500), 12000),
            "grad_vy": trapezoid(us(2000) + 200, -12000),
            "grad_vz": trapezoid(us(2000) + 400, 8000),
        }
        drafts.append(Draft(tracks=tracks, readouts=[[window, 123, 1000]], start_s=0.05 * index))
    return drafts


def build(drafts, **changes):
    """CompiledScan from drafts."""
    segments = tuple(
        Segment(
            index=index,
            tracks={
                name: Track(
                    ticks=np.array([tick for tick, _ in changes_], dtype=np.int64),
                    values=np.array([value for _, value in changes_], dtype=np.int32),
                )
                for name, changes_ in draft.tracks.items()
            },
            end_tick=draft.end,
            start_s=draft.start_s,
            readouts=_readouts(draft.readouts),
            shim_codes=draft.shim,
        )
        for index, draft in enumerate(drafts)
    )
    values = {
        "scanner_name": "bench",
        "clock_hz": CLOCK_HZ,
        "lo_hz": 2.01e6,
        "gradient_t_per_m_per_code": (T_PER_M_PER_CODE,) * 3,
        "tx_t_per_code": 100e-6 / 32767,
    }
    return CompiledScan(
        **{**values, **changes},
        segments=segments,
        readouts=_readouts([row for draft in drafts for row in draft.readouts]),
        segment_of_readout=np.array([i for i, draft in enumerate(drafts) for _ in draft.readouts], dtype=np.int32),
        definitions={},
        encoding=None,
        facts=ScanFacts(
            duration_s=0.07,
            tr_s=0.05,
            te_s=0.005,
            ti_s=float("nan"),
            echo_train_length=1,
            flip_rad=1.5,
            peak_b1_t=70e-6,
            rf_duty=0.004,
            b1_rms_t=1e-6,
            peak_gradient_t_per_m=(0.0, 0.0, 0.0),
            peak_slew_t_per_m_s=(0.0, 0.0, 0.0),
            rms_gradient_t_per_m=(0.0, 0.0, 0.0),
        ),
    )


def _readouts(rows):
    n = len(rows)
    column = lambda i, dtype: np.array([row[i] for row in rows], dtype=dtype)  # noqa: E731
    return Readouts(
        block=np.zeros(n, dtype=np.int64),
        window_tick=column(0, np.int64),
        decimation=column(1, np.int32),
        n_raw=column(2, np.int32),
        n_samples=np.full(n, 100, dtype=np.int32),
        first_sample_tick=column(0, np.float64),
        dwell_ticks=column(1, np.float64),
        phase_rad=np.zeros(n),
        frequency_hz=np.zeros(n),
    )


class Bench:
    """Everything a test needs, so that test files import nothing from here."""

    CLOCK_HZ, T_PER_M_PER_CODE = CLOCK_HZ, T_PER_M_PER_CODE
    us, scanner, build, drafts = staticmethod(us), staticmethod(make_scanner), staticmethod(build), staticmethod(make_drafts)
    trapezoid, staircase, Draft = staticmethod(trapezoid), staticmethod(staircase), Draft

    @staticmethod
    def calibration(**changes):
        return Calibration(**{"larmor_hz": 2.01e6, **changes})


@pytest.fixture(scope="session")
def bench():
    return Bench
