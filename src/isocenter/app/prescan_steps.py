# SPDX-License-Identifier: MIT
"""The steps of a scanner's prescan, in order."""

from dataclasses import replace
from typing import Final

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, Step, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Frequency, measure_frequency
from isocenter.acquisition.prescan.search import FrequencySearch
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner

_BAND_HZ: Final = 100e3
_PROTOCOL: Final = Protocol(
    name="Prescan frequency", sequence="frequency", parameters={"bandwidth_hz": _BAND_HZ, "averages": 4}
)
_HOLDS_S: Final = 15 * 60.0  # a permanent magnet drifts with its temperature
_HOLDS_C: Final = 0.1


def prescan_steps(scanner: Scanner) -> tuple[Step, ...]:  # noqa: ARG001  which steps there are depends on what it has
    """What the one button runs."""
    return (FrequencyStep(),)


class FrequencyStep:
    """Frequency: once at the last known one, then over the whole search span, always measured twice."""

    name = "fine_frequency"
    title = "Frequency"

    def why_skip(self, bench: Bench) -> str:
        """Not needed while the value holds."""
        held = bench.held(Quantity.LARMOR.value)
        return "" if held is None else f"{held.value[0] * 1e-6:.6f} MHz still holds"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Search, and measure again what was found."""
        magnet, calibration = bench.scanner.magnet, bench.calibration
        allowed_hz = (magnet.larmor_hz - magnet.search_span_hz, magnet.larmor_hz + magnet.search_span_hz)
        search = FrequencySearch(calibration.larmor_hz, magnet.search_span_hz, _BAND_HZ, allowed_hz=allowed_hz)
        result, folder = StepResult(step=self.name, title=self.title), ""
        while (lo_hz := search.next_lo_hz()) is not None:
            raw, path = bench.measure(_PROTOCOL, replace(calibration, larmor_hz=lo_hz))
            outcome, folder = measure_frequency(raw), str(path)
            search.report(outcome)
            result = replace(result, text=f"Looking at {lo_hz * 1e-6:.4f} MHz.", plots=(_plot(raw, outcome),))
            tell(result)
        try:
            found = search.result()
        except AcquisitionError as error:
            return replace(result, verdict=Verdict.FAIL, text=error.problem, remedy=error.remedy)
        value = CalibrationValue(
            quantity=Quantity.LARMOR,
            value=(found.larmor_hz,),
            sd=(found.sd_hz,),
            measured_at_s=bench.now_s(),
            temperature_c=bench.temperature_c,
            coil="",
            raw=folder,
            holds_s=_HOLDS_S,
            holds_c=_HOLDS_C,
        )
        text = f"{found.larmor_hz * 1e-6:.6f} MHz ± {found.sd_hz:.2g} Hz, signal to noise {found.snr:.0f}"
        return replace(result, verdict=Verdict.PASS, text=text, values=(value,))


def _plot(raw: RawScan, outcome: object) -> Plot:
    """Spectrum around the local oscillator, with the line that was found."""
    signal = raw.samples[:, 0].mean(axis=0)
    frequency_khz = np.fft.fftshift(np.fft.fftfreq(len(signal), raw.dwell_s)) * 1e-3
    spectrum = np.abs(np.fft.fftshift(np.fft.fft(signal))) / len(signal)
    marks = {"found": outcome.offset_hz * 1e-3} if isinstance(outcome, Frequency) else {}
    curve = Curve(label="signal", x=frequency_khz, y=spectrum * 1e3)
    return Plot(title="Spectrum", x_label="kHz from the oscillator", y_label="signal, ‰", curves=(curve,), marks=marks)
