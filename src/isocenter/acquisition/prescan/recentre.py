# SPDX-License-Identifier: MIT
"""The frequency measured anew just before a scan, in less than a second, when it may have moved too far for that scan.

Source
------
Reference domain.md 2, step 13: a shift of 0.1 pixel, which is 0.1 times bandwidth over samples, is what an image may bear.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Frequency, Refusal, measure_frequency
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.events import CompiledScan
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.units import signed

PIXEL_PART: Final = 0.1
FRESH_S: Final = 60.0
"""A frequency that is older is measured again before every scan."""
_FAR_HZ: Final = 500.0
"""A change by more is measured a second time, with the oscillator at its place, before it is believed."""
_AGREE_HZ: Final = 50.0
_HOLDS_S: Final = 15 * 60.0
_HOLDS_C: Final = 0.1
_RECENT_S: Final = 30 * 60.0
_PROTOCOL: Final = Protocol(
    name="Frequency before the scan",
    sequence="frequency",
    parameters={"bandwidth_hz": 50e3, "n_samples": 512, "te_s": 0.014, "tr_s": 0.2, "averages": 4},
)
_PRESCAN: Final = "Run the prescan again: it searches the whole range."


def tolerance_hz(scan: CompiledScan) -> float:
    """Change of frequency that moves an image by a tenth of a pixel: the bandwidth of one over ten [Hz]."""
    is_image = (scan.readouts.label("NOISE") == 0) & (scan.readouts.label("NAV") == 0)
    if not is_image.any():
        return np.inf
    window_s = scan.readouts.n_samples[is_image] * scan.readouts.dwell_ticks[is_image] / scan.clock_hz
    return PIXEL_PART / float(window_s.max())


def recent_rate_hz_per_s(values: Sequence[CalibrationValue]) -> float:
    """How fast the frequency moved between the last two measurements [Hz/s]; 0 when those do not tell."""
    found = [value for value in values if value.quantity is Quantity.LARMOR and len(value.value) == 1][-2:]
    if len(found) < 2:
        return 0.0
    apart_s = found[1].measured_at_s - found[0].measured_at_s
    if not FRESH_S / 6 < apart_s < _RECENT_S:
        return 0.0
    change_hz, doubt_hz = found[1].value[0] - found[0].value[0], 2 * float(np.nansum([v.sd[0] for v in found if v.sd]))
    return change_hz / apart_s if abs(change_hz) > doubt_hz else 0.0


def why_recentre(
    held: CalibrationValue | None,
    *,
    now_s: float,
    temperature_c: float,
    limit_hz: float,
    slope_hz_per_c: float,
    rate_hz_per_s: float = 0.0,
) -> str:
    """Why the frequency has to be measured before a scan, in words; empty when what is in use is good enough.

    Parameters
    ----------
    held
        The value in use, if it still holds.
    limit_hz
        What the scan can bear, from ``tolerance_hz``.
    slope_hz_per_c, rate_hz_per_s
        How the magnet follows its temperature (``DriftModel``), and how fast it moved last.
    """
    if held is None:
        return "no frequency that was measured holds any more"
    age_s = now_s - held.measured_at_s
    if not 0 <= age_s <= FRESH_S:
        return f"it was measured {age_s:.0f} s ago"
    warmer_c = temperature_c - held.temperature_c
    expected_hz = abs(rate_hz_per_s) * age_s + (0.0 if np.isnan(warmer_c) else abs(slope_hz_per_c * warmer_c))
    if expected_hz > limit_hz / 2:
        return f"it may have moved by {expected_hz:.0f} Hz, and this scan bears {limit_hz:.0f} Hz"
    if not held.sd[0] <= limit_hz:
        return f"it is known to {held.sd[0]:.0f} Hz only, and this scan bears {limit_hz:.0f} Hz"
    return ""


class Recentre:
    """The step before each scan (``contract.Step``).

    Parameters
    ----------
    limit_hz
        What the scan can bear, from ``tolerance_hz``.
    slope_hz_per_c
        How the magnet follows its temperature, from ``DriftModel``.
    rate_hz_per_s
        How fast it moved last, from ``recent_rate_hz_per_s``.
    """

    name = "recentre"
    title = "Frequency before the scan"

    def __init__(self, limit_hz: float, *, slope_hz_per_c: float, rate_hz_per_s: float = 0.0) -> None:
        self._limit_hz, self._slope_hz_per_c, self._rate_hz_per_s = limit_hz, slope_hz_per_c, rate_hz_per_s

    def why_skip(self, bench: Bench) -> str:
        """Not needed while it cannot have moved far enough to matter."""
        held = bench.held(Quantity.LARMOR.value)
        needed = why_recentre(
            held,
            now_s=bench.now_s(),
            temperature_c=bench.temperature_c,
            limit_hz=self._limit_hz,
            slope_hz_per_c=self._slope_hz_per_c,
            rate_hz_per_s=self._rate_hz_per_s,
        )
        return "" if needed or held is None else f"{held.value[0] / 1e6:.6f} MHz was measured just now"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Measure once at the frequency in use; again at what was found, when that is far away."""
        result = StepResult(step=self.name, title=self.title)
        calibration = bench.calibration
        if not calibration.measured_at:
            text = "The frequency was never measured, so there is nothing to start from."
            return replace(result, verdict=Verdict.FAIL, text=text, remedy="Run the prescan.")
        raw, path = bench.measure(_PROTOCOL)
        found = measure_frequency(raw)
        result = replace(result, plots=(_plot(raw, found),))
        tell(result)
        if isinstance(found, Frequency) and abs(found.larmor_hz - calibration.larmor_hz) > _FAR_HZ:
            first = found
            raw, path = bench.measure(_PROTOCOL, replace(calibration, larmor_hz=found.larmor_hz))
            found = measure_frequency(raw)
            result = replace(result, plots=(_plot(raw, found),))
            if isinstance(found, Frequency) and not _agree(first, found):
                said = f"{first.larmor_hz / 1e6:.6f} MHz, then {found.larmor_hz / 1e6:.6f} MHz"
                return replace(result, verdict=Verdict.FAIL, text=f"Two measurements differ: {said}.", remedy=_PRESCAN)
        if isinstance(found, Refusal):
            return replace(result, verdict=Verdict.FAIL, text=found.problem, remedy=f"{found.remedy} {_PRESCAN}")
        value = CalibrationValue(
            quantity=Quantity.LARMOR,
            value=(found.larmor_hz,),
            sd=(found.sd_hz,),
            measured_at_s=bench.now_s(),
            temperature_c=bench.temperature_c,
            coil=bench.scanner.receiver.coil_name,
            raw=path.as_posix(),
            holds_s=_HOLDS_S,
            holds_c=_HOLDS_C,
        )
        return self._judge(replace(result, values=(value,)), found, found.larmor_hz - calibration.larmor_hz)

    def _judge(self, result: StepResult, found: Frequency, change_hz: float) -> StepResult:
        text = f"{found.larmor_hz / 1e6:.6f} MHz ± {found.sd_hz:.2g} Hz, {signed(change_hz)} Hz from the last."
        if abs(change_hz) > _FAR_HZ:
            remedy = "The magnet's temperature is changing. Images may be shifted or distorted; wait if they are."
            return replace(result, verdict=Verdict.WARN, text=text, remedy=remedy)
        if found.sd_hz > self._limit_hz:
            remedy = f"This scan bears {self._limit_hz:.0f} Hz. Check that the coil is plugged in, then repeat the prescan."
            return replace(result, verdict=Verdict.WARN, text=text, remedy=remedy)
        return replace(result, verdict=Verdict.PASS, text=text)


def _agree(first: Frequency, second: Frequency) -> bool:
    doubt_hz = 3 * (first.sd_hz + second.sd_hz) + 0.1 * second.linewidth_hz
    return abs(first.larmor_hz - second.larmor_hz) <= _AGREE_HZ + doubt_hz


def _plot(raw: RawScan, found: Frequency | Refusal) -> Plot:
    signal = raw.samples[:, 0].mean(axis=0)
    frequency_khz = np.fft.fftshift(np.fft.fftfreq(len(signal), raw.dwell_s)) * 1e-3
    spectrum = np.abs(np.fft.fftshift(np.fft.fft(signal))) / len(signal)
    marks = {"found": found.offset_hz * 1e-3} if isinstance(found, Frequency) else {}
    curve = Curve(label="signal", x=frequency_khz, y=spectrum * 1e3)
    return Plot(title="Spectrum", x_label="kHz from the last frequency", y_label="signal, ‰", curves=(curve,), marks=marks)
