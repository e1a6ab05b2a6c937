# SPDX-License-Identifier: MIT
"""What the steps of the prescan share: results, values and plots."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Verdict
from isocenter.acquisition.prescan.frequency import Refusal
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.raw import RawScan

FREQUENCY_HOLDS_S: Final = 15 * 60.0
"""Source: reference domain.md 2: a frequency holds 15 minutes or 0.1 K."""
FREQUENCY_HOLDS_C: Final = 0.1


def make_value(
    bench: Bench, quantity: Quantity, value: tuple[float, ...], sd: tuple[float, ...], folder: Path | str
) -> CalibrationValue:
    """A value that was measured just now, for this coil and whoever is on the table."""
    return CalibrationValue(
        quantity=quantity,
        value=value,
        sd=sd,
        measured_at_s=bench.now_s(),
        temperature_c=bench.temperature_c,
        coil=bench.scanner.receiver.coil_name,
        subject=bench.subject,
        raw=str(folder),
    )


def make_frequency(bench: Bench, larmor_hz: float, sd_hz: float, folder: Path) -> CalibrationValue:
    """A frequency, which belongs to the magnet."""
    value = make_value(bench, Quantity.LARMOR, (larmor_hz,), (sd_hz,), folder)
    return replace(value, coil="", subject="", holds_s=FREQUENCY_HOLDS_S, holds_c=FREQUENCY_HOLDS_C)


def echo_pulse_s(bench: Bench) -> float:
    """Length of a 90° pulse that the transmitter can give as it was last measured [s]; usually 60 µs."""
    full_hz = bench.scanner.rf.full_scale_hz * min(bench.calibration.rf_scale, 1.0)
    return max(60e-6, math.ceil(0.25 / (0.85 * full_hz) / 2e-6) * 2e-6)


def failed(result: StepResult, why: Refusal) -> StepResult:
    """The step ends without a value."""
    return replace(result, verdict=Verdict.FAIL, text=why.problem, remedy=why.remedy, values=())


def age_text(value: CalibrationValue, bench: Bench) -> str:
    """How old a value is, in words."""
    minutes = max(bench.now_s() - value.measured_at_s, 0.0) / 60
    return "just measured" if minutes < 1 else f"measured {minutes:.0f} min ago"


def spectrum_of(raw: RawScan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean spectrum of the first channel: offset from the oscillator [kHz] and magnitude [1 = receiver full scale]."""
    signal = raw.samples[:, 0].mean(axis=0)
    offset_khz = np.fft.fftshift(np.fft.fftfreq(len(signal), raw.dwell_s)) * 1e-3
    return offset_khz, np.asarray(np.abs(np.fft.fftshift(np.fft.fft(signal))) / len(signal), dtype=np.float64)


def spectrum_plot(raw: RawScan, marks_hz: dict[str, float]) -> Plot:
    """Spectrum with marks at offsets from the oscillator [Hz]."""
    offset_khz, magnitude = spectrum_of(raw)
    return Plot(
        title="Spectrum",
        x_label=f"kHz from {raw.lo_hz * 1e-6:.6f} MHz",
        y_label="Signal, ‰ of full scale",
        curves=(Curve(label="signal", x=offset_khz, y=magnitude * 1e3),),
        marks={label: offset_hz * 1e-3 for label, offset_hz in marks_hz.items()},
    )
