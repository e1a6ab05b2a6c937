# SPDX-License-Identifier: MIT
"""A scanner and sequences made by hand, so that every expected number is known."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from isocenter.compiler.pulseq.model import (
    AdcEvents,
    Blocks,
    ExtensionSet,
    GradientEvents,
    PulseqFile,
    RfEvents,
)
from isocenter.domain.scanner import (
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


def make_scanner(board=GradientBoard.OCRA1, *, delays_s=(0.0, 0.0, 0.0), gap_s=0.05, interval_s=10e-6):
    axes = tuple(
        GradientAxis(full_scale_t_per_m=0.05, max_t_per_m=0.05, max_slew_t_per_m_s=200, max_rms_t_per_m=0.03, delay_s=d)
        for d in delays_s
    )
    return Scanner(
        name="test",
        title="",
        manufacturer="",
        model="",
        serial_number="",
        station_name="",
        institution="",
        body_parts=(),
        magnet=Magnet(
            larmor_hz=2e6, search_span_hz=1e4, bore_m=0.3, imaging_diameter_m=0.2, homogeneity_ppm=1.0, drift_hz_per_c=0.0
        ),
        gradients=GradientSystem(
            board=board,
            spi_divider=19 if board is GradientBoard.OCRA1 else 4,
            update_interval_s=interval_s,
            axes=axes,
            channel_from_device=np.eye(3),
        ),
        rf=RfSystem(full_scale_t=1e-4, warmup_s=100e-6, hold_s=10e-6, dead_time_s=50e-6, max_pulse_s=0.01, max_duty=0.3),
        receiver=Receiver(oversampling=4, volts_per_unit=np.nan, coil_bandwidth_hz=np.nan, coil_name=""),
        console=ConsoleLink(family="marcos", host="", port=1, clock_hz=CLOCK_HZ, segment_gap_s=gap_s),
    )


@pytest.fixture(params=list(GradientBoard), ids=str)
def board(request):
    return request.param


@dataclass
class Draft:
    """Builds a PulseqFile block by block."""

    rf: list = field(default_factory=list)
    gradients: list = field(default_factory=list)
    adc: list = field(default_factory=list)
    blocks: list = field(default_factory=list)
    extensions: list = field(default_factory=list)

    def pulse(
        self, *, amplitude_hz=1000.0, delay_s=100e-6, length_s=200e-6, frequency_hz=0.0, phase_rad=0.0, use="e", shape=None
    ):
        """A block pulse, or ``shape`` on a 1 us raster."""
        self.rf.append((amplitude_hz, delay_s, length_s, frequency_hz, phase_rad, use, shape))
        return len(self.rf) - 1

    def gradient(self, amplitude_hz_per_m, times_s, shape, delay_s=0.0):
        self.gradients.append((amplitude_hz_per_m, delay_s, np.asarray(times_s, float), np.asarray(shape, float)))
        return len(self.gradients) - 1

    def trapezoid(self, amplitude_hz_per_m, rise_s=100e-6, flat_s=1e-3, fall_s=None, delay_s=0.0):
        fall_s = rise_s if fall_s is None else fall_s
        return self.gradient(amplitude_hz_per_m, np.cumsum([0, rise_s, flat_s, fall_s]), [0, 1, 1, 0], delay_s)

    def readout(self, n=64, dwell_s=20e-6, delay_s=0.0, frequency_hz=0.0, phase_rad=0.0):
        self.adc.append((n, dwell_s, delay_s, frequency_hz, phase_rad))
        return len(self.adc) - 1

    def block(self, duration_s, rf=-1, gx=-1, gy=-1, gz=-1, adc=-1, **extension):
        row = -1
        if extension:
            self.extensions.append(ExtensionSet(**extension))
            row = len(self.extensions) - 1
        self.blocks.append((duration_s, rf, gx, gy, gz, adc, row))

    def file(self, **definitions):
        n = len(self.rf)
        columns = list(zip(*self.blocks, strict=True))
        ints = [np.array(column, dtype=np.int64) for column in columns[1:]]
        shapes = [r[6] for r in self.rf]
        times = tuple(
            np.array([0.0, r[2]]) if s is None else (np.arange(len(s)) + 0.5) * 1e-6
            for r, s in zip(self.rf, shapes, strict=True)
        )
        lengths = np.array([r[2] if s is None else len(s) * 1e-6 for r, s in zip(self.rf, shapes, strict=True)])
        zeros = np.zeros(n)
        g, a = self.gradients, self.adc
        return PulseqFile(
            version=(1, 5, 0),
            definitions=definitions,
            gradient_raster_s=1e-5,
            rf_raster_s=1e-6,
            adc_raster_s=1e-7,
            block_raster_s=1e-5,
            blocks=Blocks(
                duration_s=np.array(columns[0], dtype=float),
                rf=ints[0],
                gx=ints[1],
                gy=ints[2],
                gz=ints[3],
                adc=ints[4],
                extension=ints[5],
                number=np.arange(1, len(self.blocks) + 1),
            ),
            rf=RfEvents(
                amplitude_hz=np.array([r[0] for r in self.rf]),
                delay_s=np.array([r[1] for r in self.rf]),
                center_s=lengths / 2,
                frequency_hz=np.array([r[3] for r in self.rf]),
                phase_rad=np.array([r[4] for r in self.rf]),
                frequency_ppm=zeros,
                phase_ppm=zeros,
                use=np.array([r[5] for r in self.rf], dtype="U1"),
                times_s=times,
                envelope=tuple(np.ones(2, complex) if s is None else np.asarray(s, complex) for s in shapes),
                duration_s=lengths,
                on_raster=np.array([s is not None for s in shapes], dtype=bool),
            ),
            gradients=GradientEvents(
                amplitude_hz_per_m=np.array([x[0] for x in g], dtype=float),
                delay_s=np.array([x[1] for x in g], dtype=float),
                times_s=tuple(x[2] for x in g),
                shape=tuple(x[3] for x in g),
                is_trapezoid=np.zeros(len(g), dtype=bool),
            ),
            adc=AdcEvents(
                n_samples=np.array([x[0] for x in a], dtype=np.int64),
                dwell_s=np.array([x[1] for x in a], dtype=float),
                delay_s=np.array([x[2] for x in a], dtype=float),
                frequency_hz=np.array([x[3] for x in a], dtype=float),
                phase_rad=np.array([x[4] for x in a], dtype=float),
                frequency_ppm=np.zeros(len(a)),
                phase_ppm=np.zeros(len(a)),
                phase_shape_rad=tuple(np.empty(0) for _ in a),
            ),
            extension_sets=tuple(self.extensions),
            signature="absent",
        )


@pytest.fixture
def draft():
    return Draft()


@pytest.fixture
def scanner_of():
    """Makes scanners; a fixture because test modules cannot import one another here."""
    return make_scanner
