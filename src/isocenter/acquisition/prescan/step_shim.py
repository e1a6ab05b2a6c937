# SPDX-License-Identifier: MIT
"""The step that shims with the gradients: one axis after the other, ever finer, and a proof that it helped."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Doubt, Frequency, Refusal, measure_frequency
from isocenter.acquisition.prescan.shim import Best, Line, Sweep, find_best, limit_t_per_m, read_line, read_sweep
from isocenter.acquisition.prescan.step_kit import age_text, echo_pulse_s, failed, make_value, spectrum_plot
from isocenter.domain.calibration import Quantity
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Calibration
from isocenter.domain.units import signed

HALF_RANGES_T_PER_M: Final = (0.5e-3, 0.15e-3, 0.045e-3)
"""Half widths of the sweeps, each around the best value of the one before."""
STEPS: Final = (9, 7, 7)
TR_S: Final = 0.2
GROWTH: Final = 1.03
"""The peak must be higher by this factor for the shim to have changed anything."""
GROWTH_AT_LIMIT: Final = 1.5
"""The same for a shim at its limit, which heats its coil all the time for little, and for a line that stays wide: what a
linear shim seems to win there is another part of a field that it cannot even out."""
LOSS: Final = 0.8
"""Below, something else has changed: the patient moved, or the sweeps were misled."""
STILL_WIDE: Final = 8.0
"""Width of the line, in resolutions of the measurement, from which linear shims were not what limits it."""
_SHIMMABLE: Final = frozenset({Doubt.SPLIT, Doubt.EDGE})  # what a bad shim may make of a line
_AXES: Final = "xyz"
_BAND_HZ: Final = 50e3
_SAMPLES: Final = 1024


class _Refused(Exception):
    def __init__(self, why: Refusal) -> None:
        super().__init__(why.problem)
        self.why = why


class ShimStep:
    """Linear shims from sweeps of the gradient on each axis."""

    name = "linear_shim"
    title = "Shim"

    def why_skip(self, bench: Bench) -> str:
        """Once an exam."""
        held = bench.held(Quantity.SHIM.value)
        return "" if held is None else f"shimmed for this exam already, {age_text(held, bench)}"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Sweep, refine, compare the line before and after."""
        work = _Shimming(bench, tell, StepResult(step=self.name, title=self.title))
        try:
            return work.run()
        except _Refused as refused:
            return failed(work.result, refused.why)


class _Shimming:
    """One shim: the state between its sweeps."""

    def __init__(self, bench: Bench, tell: Tell, result: StepResult) -> None:
        self._bench, self._tell, self.result = bench, tell, result
        self._old = np.array(bench.calibration.shim_t_per_m, dtype=np.float64)
        self._shim = self._old.copy()
        self._limits = np.array([limit_t_per_m(axis.full_scale_t_per_m) for axis in bench.scanner.gradients.axes])
        self._sd = np.full(3, float("nan"))
        self._channel_from_logical = np.eye(3)
        self._tones_hz: tuple[float, ...] = ()
        self._is_first = [True, True, True]
        self._twins: list[str] = []
        self._path = Path()

    def run(self) -> StepResult:
        before, raw = self._line(self._old)
        gradients = self._bench.scanner.gradients
        self._channel_from_logical = gradients.channel_from_device @ raw.placement.device_from_logical
        for half_t_per_m, steps in zip(HALF_RANGES_T_PER_M, STEPS, strict=True):
            for axis in range(3):
                self._improve(axis, half_t_per_m, steps)
        after, raw = self._line(self._shim)
        self.result = replace(self.result, plots=(*self.result.plots, spectrum_plot(raw, {})))
        return self._judge(before, after)

    def _line(self, shim_t_per_m: NDArray[np.float64]) -> tuple[Line, RawScan]:
        protocol = Protocol(
            name="Prescan shim check",
            sequence="frequency",
            parameters={
                "bandwidth_hz": _BAND_HZ,
                "n_samples": _SAMPLES,
                "te_s": 0.03,
                "tr_s": 0.4,
                "averages": 2,
                "dummy_shots": 2,
                "rf_s": echo_pulse_s(self._bench),
            },
        )
        raw, self._path = self._bench.measure(protocol, self._with(shim_t_per_m))
        found = measure_frequency(raw)
        if isinstance(found, Frequency):
            self._tones_hz = tuple(dict.fromkeys((*self._tones_hz, *found.spurs_hz)))
        elif found.doubt not in _SHIMMABLE:
            raise _Refused(found)
        return read_line(raw, self._tones_hz), raw

    def _with(self, shim_t_per_m: NDArray[np.float64]) -> Calibration:
        x, y, z = shim_t_per_m.tolist()
        return replace(self._bench.calibration, shim_t_per_m=(x, y, z))

    def _improve(self, axis: int, half_t_per_m: float, steps: int) -> None:
        """One sweep on one axis; where two maxima were seen, both are looked at more closely."""
        low, high = self._range(axis, half_t_per_m)
        sweep = self._sweep(axis, low, high, steps)
        best = find_best(sweep.offset_t_per_m, sweep.peak)
        if self._is_first[axis]:
            self._is_first[axis] = False
            if len(best.maxima_t_per_m) > 1:
                best = self._better_of(axis, best, (high - low) / (steps - 1))
        self._shim = self._moved(axis, best.offset_t_per_m)
        channel = int(np.argmax(np.abs(self._channel_from_logical[:, axis])))
        self._sd[channel] = best.sd_t_per_m
        self._show(axis, sweep, best)

    def _better_of(self, axis: int, best: Best, gap_t_per_m: float) -> Best:
        found = []
        for maximum in best.maxima_t_per_m[:2]:
            low, high = (float(np.clip(maximum + way * gap_t_per_m, *self._range(axis, np.inf))) for way in (-1, 1))
            sweep = self._sweep(axis, low, high, 7)
            found.append(find_best(sweep.offset_t_per_m, sweep.peak))
        first, second = sorted(found, key=lambda one: -one.peak)
        both = " and ".join(signed(one.offset_t_per_m * 1e3, 3) for one in (first, second))
        self._twins.append(f"two maxima on {_AXES[axis]}, {both} mT/m: the higher was taken")
        return first

    def _moved(self, axis: int, offset_t_per_m: float) -> NDArray[np.float64]:
        moved = self._shim + self._channel_from_logical[:, axis] * offset_t_per_m
        return np.asarray(np.clip(moved, -self._limits, self._limits), dtype=np.float64)

    def _range(self, axis: int, half_t_per_m: float) -> tuple[float, float]:
        """Offsets on a logical axis that keep its channel within the limit."""
        column = self._channel_from_logical[:, axis]
        channel = int(np.argmax(np.abs(column)))
        along = float(self._shim[channel] * np.sign(column[channel]))
        limit = float(self._limits[channel])
        return max(-half_t_per_m, -limit - along), min(half_t_per_m, limit - along)

    def _sweep(self, axis: int, low: float, high: float, steps: int) -> Sweep:
        protocol = Protocol(
            name=f"Prescan shim {_AXES[axis]}",
            sequence="shim_sweep",
            parameters={
                "axis": _AXES[axis],
                "low_t_per_m": low,
                "high_t_per_m": high,
                "steps": steps,
                "bandwidth_hz": _BAND_HZ,
                "n_samples": _SAMPLES,
                "tr_s": TR_S,
                "rf_s": echo_pulse_s(self._bench),
            },
        )
        raw, _ = self._bench.measure(protocol, self._with(self._shim))
        sweep = read_sweep(raw, self._tones_hz)
        if isinstance(sweep, Refusal):
            raise _Refused(sweep)
        return sweep

    def _show(self, axis: int, sweep: Sweep, best: Best) -> None:
        top = float(sweep.peak.max())
        plot = Plot(
            title=f"Shim on {_AXES[axis]}",
            x_label="mT/m from the value so far",
            y_label="Peak, %",
            curves=(
                Curve(
                    label=f"peak, line {sweep.width_hz:.0f} Hz wide",
                    x=sweep.offset_t_per_m * 1e3,
                    y=100 * sweep.peak / top,
                    is_points=True,
                ),
            ),
            marks={"best": best.offset_t_per_m * 1e3},
        )
        others = tuple(old for old in self.result.plots if old.title != plot.title)
        self.result = replace(self.result, text=f"Line {sweep.width_hz:.0f} Hz wide", plots=(*others, plot))
        self._tell(self.result)

    def _judge(self, before: Line, after: Line) -> StepResult:
        growth = after.peak / before.peak if before.peak > 0 else float("inf")
        result = self.result
        if growth < LOSS:
            return failed(
                result,
                Refusal(
                    doubt=Doubt.UNSTEADY,
                    problem=f"The new shim makes the peak lower ({100 * growth:.0f} % of what it was); the old one stays.",
                    remedy="Ask the patient to lie still, let the magnet's temperature settle, then repeat.",
                ),
            )
        is_limited = bool(np.any(np.abs(self._shim) > 0.98 * self._limits))
        widest_hz = STILL_WIDE * _BAND_HZ / _SAMPLES
        is_worth_it = growth > (GROWTH_AT_LIMIT if is_limited or after.spread_hz > widest_hz else GROWTH)
        shim = self._shim if is_worth_it else self._old
        values_mt = ", ".join(f"{_AXES[n]} {signed(1e3 * value, 3)}" for n, value in enumerate(shim.tolist()))
        text = f"{values_mt} mT/m; the peak grew to {100 * growth:.0f} %, line {after.width_hz:.0f} Hz wide"
        if not is_worth_it:
            text = f"The shim was good already ({values_mt} mT/m), line {before.width_hz:.0f} Hz wide"
        if is_limited and not is_worth_it:
            text += f"; all that the gradients can do would raise the peak to {100 * growth:.0f} % only"
        notes = list(self._twins) if is_worth_it else []
        if (after if is_worth_it else before).spread_hz > widest_hz:
            notes.append("what is left needs shims of higher order: linear ones are not the limit")
        remedy = ""
        if is_limited and is_worth_it:
            remedy = "The shim is at its limit: take metal out of the bore, or have the magnet shimmed by service."
        elif self._twins and is_worth_it:
            remedy = "Look at the line: something beside the patient may give signal. You can scan."
        x, y, z = shim.tolist()
        sd_x, sd_y, sd_z = self._sd.tolist()
        value = make_value(self._bench, Quantity.SHIM, (x, y, z), (sd_x, sd_y, sd_z), self._path)
        verdict = Verdict.WARN if remedy else Verdict.PASS
        return replace(result, verdict=verdict, text="; ".join([text, *notes]), remedy=remedy, values=(value,))
