# SPDX-License-Identifier: MIT
"""Steps that find the scanner's frequency: over the whole span, then finely, and once more at the end."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Doubt, Frequency, Refusal, measure_frequency
from isocenter.acquisition.prescan.search import FrequencySearch, mirrored
from isocenter.acquisition.prescan.step_kit import (
    age_text,
    echo_pulse_s,
    failed,
    make_frequency,
    spectrum_plot,
)
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.scan import Protocol
from isocenter.domain.units import signed

COARSE_BAND_HZ: Final = 100e3
COARSE_SD_HZ: Final = 25.0  # a quarter of what a coarse spectrum resolves
FINE_BANDS_HZ: Final = (20e3, 60e3)
FINE_STEP_HZ: Final = 25.0
REPEAT_HZ: Final = 50.0
SHIFT_HZ: Final = 1e3
"""By so much the oscillator is moved for the second measurement; the line has to move the other way."""
FINE_SD_HZ: Final = 20.0
FOLLOWING_SHOTS: Final = 4
"""So many shots tell whether a tone that does not decay, as of a bottle of water in an even field, follows the pulses."""


class CoarseFrequency:
    """Looks for the line over the whole span in which it may be."""

    name = "coarse_frequency"
    title = "Frequency search"

    def why_skip(self, bench: Bench) -> str:
        """Not needed while a value holds."""
        held = bench.held(Quantity.LARMOR.value)
        return "" if held is None else f"{held.value[0] * 1e-6:.6f} MHz, {age_text(held, bench)}, still holds"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """From the last known frequency outwards; what is found is measured twice."""
        magnet, calibration = bench.scanner.magnet, bench.calibration
        allowed_hz = (magnet.larmor_hz - magnet.search_span_hz, magnet.larmor_hz + magnet.search_span_hz)
        search = FrequencySearch(calibration.larmor_hz, magnet.search_span_hz, COARSE_BAND_HZ, allowed_hz=allowed_hz)
        protocol = Protocol(
            name="Prescan frequency search",
            sequence="frequency",
            parameters={"bandwidth_hz": COARSE_BAND_HZ, "averages": 4, "dummy_shots": 1, "rf_s": echo_pulse_s(bench)},
        )
        result, path = StepResult(step=self.name, title=self.title), Path()
        while (lo_hz := search.next_lo_hz()) is not None:
            raw, path = bench.measure(protocol, replace(calibration, larmor_hz=lo_hz))
            outcome = measure_frequency(raw)
            search.report(outcome)
            marks = {"found": outcome.offset_hz} if isinstance(outcome, Frequency) else {}
            result = replace(
                result,
                text=f"Looked at {lo_hz * 1e-6:.4f} MHz, {search.n_left} more at most.",
                plots=(spectrum_plot(raw, marks),),
            )
            tell(result)
        try:
            found = search.result()
        except AcquisitionError as error:
            return replace(result, verdict=Verdict.FAIL, text=error.problem, remedy=error.remedy)
        sd_hz = max(found.sd_hz, COARSE_SD_HZ)
        value = make_frequency(bench, found.larmor_hz, sd_hz, path)
        away_hz = found.larmor_hz - calibration.larmor_hz
        text = f"{found.larmor_hz * 1e-6:.4f} MHz ± {sd_hz:.0f} Hz, {signed(away_hz * 1e-3, 1)} kHz from before"
        return replace(result, verdict=Verdict.PASS, text=text, values=(value,))


class FineFrequency:
    """Measures the line closely, twice, the second time with the oscillator elsewhere."""

    def __init__(self, *, is_final: bool = False) -> None:
        self._is_final = is_final
        self.name = "final_frequency" if is_final else "fine_frequency"
        self.title = "Frequency, final" if is_final else "Frequency"

    def why_skip(self, bench: Bench) -> str:
        """Not needed while a value that was measured finely holds; the final one only after a new shim."""
        held = bench.held(Quantity.LARMOR.value)
        if held is None or held.sd[0] > FINE_SD_HZ:
            return ""
        if self._is_final:
            shim = bench.held(Quantity.SHIM.value)
            if shim is not None and shim.measured_at_s >= held.measured_at_s:
                return ""
            return "the shim was not changed since the frequency was measured"
        return f"{held.value[0] * 1e-6:.6f} MHz, {age_text(held, bench)}, still holds"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Measure; a line too wide for the narrow band gets a wider one."""
        result = StepResult(step=self.name, title=self.title)
        outcome: Frequency | Refusal | None = None
        for band_hz in FINE_BANDS_HZ:
            outcome, result, path = self._measure_twice(bench, tell, result, band_hz)
            if isinstance(outcome, Refusal) and outcome.doubt is Doubt.SPUR:
                outcome, result, path = self._measure_twice(bench, tell, result, band_hz, averages=FOLLOWING_SHOTS)
            if isinstance(outcome, Frequency) or outcome.doubt in {Doubt.CLIPPED, Doubt.INVERTED}:
                break
        if not isinstance(outcome, Frequency):
            assert outcome is not None
            return failed(result, outcome)
        value = make_frequency(bench, outcome.larmor_hz, outcome.sd_hz, path)
        digits = 1 if outcome.sd_hz < 10 else 0
        text = (
            f"{outcome.larmor_hz * 1e-6:.6f} MHz ± {outcome.sd_hz:.{digits}f} Hz, line {outcome.linewidth_hz:.0f} Hz wide, "
            f"signal to noise {outcome.snr:.0f}"
        )
        if outcome.sd_hz > REPEAT_HZ / 2:
            return replace(
                result,
                verdict=Verdict.WARN,
                text=text,
                remedy="The line is wide, so the frequency is not sharp. Shim, then let it be measured again.",
                values=(value,),
            )
        return replace(result, verdict=Verdict.PASS, text=text, values=(value,))

    def _measure_twice(
        self, bench: Bench, tell: Tell, result: StepResult, band_hz: float, averages: int = 2
    ) -> tuple[Frequency | Refusal, StepResult, Path]:
        n = int(np.ceil(band_hz / FINE_STEP_HZ))
        protocol = Protocol(
            name="Prescan frequency",
            sequence="frequency",
            parameters={
                "bandwidth_hz": band_hz,
                "n_samples": n,
                "te_s": 0.05,
                "tr_s": 0.5,
                "averages": averages,
                "dummy_shots": 1,
                "rf_s": echo_pulse_s(bench),
            },
        )
        found: list[Frequency] = []
        for shift_hz in (0.0, SHIFT_HZ):
            lo_hz = bench.calibration.larmor_hz
            if found:  # onwards from where the oscillator was, so that it moves in any case
                lo_hz = found[0].larmor_hz + float(np.copysign(shift_hz, found[0].offset_hz))
            raw, path = bench.measure(protocol, replace(bench.calibration, larmor_hz=lo_hz))
            outcome = measure_frequency(raw)
            marks = {"found": outcome.offset_hz} if isinstance(outcome, Frequency) else {}
            result = replace(result, text=f"Looked at {lo_hz * 1e-6:.6f} MHz.", plots=(spectrum_plot(raw, marks),))
            tell(result)
            if isinstance(outcome, Refusal):
                return outcome, result, path
            found.append(outcome)
        return agree(found[0], found[1]), result, path


def agree(first: Frequency, second: Frequency) -> Frequency | Refusal:
    """Two measurements, between which the oscillator was moved, as one.

    A line of the patient stays where it is on the scale of true frequencies. In a mirrored spectrum it seems to move
    twice as far as the oscillator.
    """
    moved_hz = second.larmor_hz - first.larmor_hz
    oscillator_hz = moved_hz - (second.offset_hz - first.offset_hz)
    doubt_hz = REPEAT_HZ + 3 * (first.sd_hz + second.sd_hz) + 0.1 * max(first.linewidth_hz, second.linewidth_hz)
    doubt_hz = min(doubt_hz, 0.5 * SHIFT_HZ)
    if abs(oscillator_hz) > doubt_hz and abs(moved_hz - 2 * oscillator_hz) < doubt_hz:
        return mirrored(first.larmor_hz)
    if abs(moved_hz) > doubt_hz:
        return Refusal(
            doubt=Doubt.UNSTEADY,
            problem=f"The frequency moved by {signed(moved_hz)} Hz from one measurement to the next; {REPEAT_HZ:.0f} Hz are "
            "allowed.",
            remedy="Switch off chargers near the scanner, let the magnet's temperature settle, then repeat.",
        )
    sharper = min(first, second, key=lambda one: one.sd_hz)
    return replace(
        sharper,
        larmor_hz=(first.larmor_hz + second.larmor_hz) / 2,
        sd_hz=max(sharper.sd_hz, abs(moved_hz) / 2),
        offset_hz=first.offset_hz,
    )
