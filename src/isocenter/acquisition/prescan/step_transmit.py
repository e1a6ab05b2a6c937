# SPDX-License-Identifier: MIT
"""Steps about the transmitter: tuning and matching the coil, and how much field a full-scale pulse makes."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.acquisition.prescan.level import CLIP_LEVEL
from isocenter.acquisition.prescan.nutation import WARN_RATIO_ERROR, Nutation, fit_nutation
from isocenter.acquisition.prescan.step_kit import age_text, failed, make_value
from isocenter.acquisition.prescan.tuning import PASS_DB, Trial, Tuning, tune_coil
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import ScanAborted
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import plain

STEPS: Final = 16
LARGEST_AMPLITUDE: Final = 0.95
"""Of full scale; the pulses get longer instead when more is needed."""
LARGEST_TURN_DEG: Final = 400.0
"""Flip angle of the strongest pulse of a transmitter that is as the hardware file says."""
USUAL_SCALE: Final = (0.6, 1.6)
"""B1 over the hardware file's, outside of which something is wrong besides the value."""
_BAND_HZ: Final = 4e3  # half width around the oscillator in which the line lies


def pulse_s(scanner: Scanner) -> float:
    """Length of the pulses of a nutation series [s]."""
    duration_s = LARGEST_TURN_DEG / 360 / (LARGEST_AMPLITUDE * scanner.rf.full_scale_hz)
    return round(min(max(duration_s, 10e-6), scanner.rf.max_pulse_s / 2) / 2e-6) * 2e-6


class TuneStep:
    """Tunes and matches the coil when its reflection asks for it."""

    name = "tune"
    title = "Tune and match"

    def why_skip(self, bench: Bench) -> str:
        """Not possible without tuner and network analyser."""
        if bench.tuner is None or bench.analyser is None:
            return "this scanner's coil is tuned by hand: it has no tuner with a network analyser"
        return ""

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Measure at the setting that was good last; go on only when it is not good any more."""
        result = StepResult(step=self.name, title=self.title)
        tuner, analyser = bench.tuner, bench.analyser
        if tuner is None or analyser is None:
            return replace(result, verdict=Verdict.SKIPPED, text=self.why_skip(bench))
        held = bench.held(Quantity.TUNING.value)
        last_good = None
        if held is not None:
            series, tune, match = (round(code) for code in held.value)
            last_good = series, tune, match
        larmor_hz = bench.calibration.larmor_hz

        def on_trial(trial: Trial) -> None:
            tell(replace(result, text=f"S11 {plain(trial.s11_db, 1)} dB", plots=(_reflection_plot(trial, larmor_hz),)))
            _require_not_stopped(bench)

        def pause(duration_s: float) -> None:
            bench.cancel.wait(duration_s)
            _require_not_stopped(bench)

        found = tune_coil(tuner, analyser, larmor_hz, last_good=last_good, on_trial=on_trial, pause=pause)
        return _tuned(bench, result, found, larmor_hz)


def _require_not_stopped(bench: Bench) -> None:
    if bench.cancel.is_set():
        raise ScanAborted("The prescan was stopped.", "Start it again when you are ready.")


def _tuned(bench: Bench, result: StepResult, found: Tuning, larmor_hz: float) -> StepResult:
    if found.trials:
        best = next((trial for trial in reversed(found.trials) if trial.codes == found.codes), found.trials[-1])
        result = replace(result, plots=(_reflection_plot(best, larmor_hz),))
    if found.verdict is Verdict.FAIL or found.codes is None:
        return replace(result, verdict=Verdict.FAIL, text=found.problem, remedy=found.remedy)
    text = f"S11 {plain(found.s11_db, 1)} dB at {larmor_hz * 1e-6:.4f} MHz, {_impedance_text(found.impedance_ohm)}"
    text += f" after {len(found.trials)} {'setting' if len(found.trials) == 1 else 'settings'}"
    value = make_value(bench, Quantity.TUNING, tuple(float(code) for code in found.codes), (0.0, 0.0, 0.0), "")
    problem = f". {found.problem}" if found.problem else ""
    return replace(result, verdict=found.verdict, text=text + problem, remedy=found.remedy, values=(value,))


def _impedance_text(impedance_ohm: complex) -> str:
    reactance_ohm = impedance_ohm.imag
    return f"{plain(impedance_ohm.real)}{'−' if reactance_ohm < 0 else '+'}{abs(reactance_ohm):.0f}j Ω"


def _reflection_plot(trial: Trial, larmor_hz: float) -> Plot:
    reflection = trial.reflection
    level_db = 20 * np.log10(np.maximum(np.abs(reflection.s11), 1e-6))
    frequency_mhz = reflection.frequency_hz * 1e-6
    return Plot(
        title="Reflection of the coil",
        x_label="MHz",
        y_label="S11, dB",
        curves=(
            Curve(label="S11", x=frequency_mhz, y=level_db),
            Curve(label="good", x=frequency_mhz[[0, -1]], y=np.full(2, PASS_DB)),
        ),
        marks={"scanner": larmor_hz * 1e-6},
    )


class PowerStep:
    """Finds the amplitude of a 90° pulse from a nutation series."""

    name = "transmit_power"
    title = "Transmit power"

    def why_skip(self, bench: Bench) -> str:
        """Not needed while a value of this subject holds."""
        held = bench.held(Quantity.RF_SCALE.value)
        return "" if held is None else f"{held.value[0]:.3f} of the nominal B1, {age_text(held, bench)}, still holds"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """Sweep the amplitude; once more with another refocusing pulse or longer pulses when the first tells nothing."""
        result = StepResult(step=self.name, title=self.title)
        rf_s, refocus_rad = pulse_s(bench.scanner), np.pi
        for attempt in (1, 2):
            protocol = Protocol(
                name="Prescan transmit power",
                sequence="nutation",
                parameters={
                    "steps": STEPS,
                    "max_amplitude": LARGEST_AMPLITUDE,
                    "rf_s": rf_s,
                    "refocus_rad": refocus_rad,
                },
            )
            # Compiled as if the hardware file were right, so that amplitudes are shares of full scale and none is beyond.
            raw, path = bench.measure(protocol, replace(bench.calibration, rf_scale=1.0))
            amplitude, signal, noise, is_clipped = read_series(raw)
            found = _clipped() if is_clipped else fit_nutation(amplitude, signal, noise=noise, is_recovered=True)
            result = replace(result, plots=(_nutation_plot(amplitude, signal, found),))
            tell(result)
            if isinstance(found, Nutation) or found.doubt in {Doubt.COMPRESSING, Doubt.CLIPPED} or attempt == 2:
                break
            if found.doubt is Doubt.RANGE:
                rf_s = min(2 * rf_s, bench.scanner.rf.max_pulse_s)
            else:
                refocus_rad = np.pi / 2  # of a transmitter twice as strong, 180° would refocus nothing
        if isinstance(found, Refusal):
            return failed(result, found)
        scale = 0.25 / (rf_s * bench.scanner.rf.full_scale_hz * found.a90)
        sd = scale * found.a90_sd / found.a90
        value = make_value(bench, Quantity.RF_SCALE, (scale,), (sd,), path)
        text = (
            f"90° of {rf_s * 1e6:.0f} µs at {100 * found.a90:.2f} ± {100 * found.a90_sd:.2f} % of full scale: "
            f"{scale * bench.scanner.rf.full_scale_t * 1e6:.0f} µT at full scale, {scale:.2f} of the hardware file's; "
            f"R² {found.r2:.4f}"
        )
        if np.isfinite(found.ratio):
            text += f", 180° at {found.ratio:.2f} times the 90°"
        remedy = _power_remedy(found, scale)
        verdict = Verdict.WARN if remedy else Verdict.PASS
        return replace(result, verdict=verdict, text=text, remedy=remedy, values=(value,))


def read_series(raw: RawScan) -> tuple[NDArray[np.float64], NDArray[np.complex128], float, bool]:
    """Amplitudes, complex signals, standard deviation of a signal's part, and whether a ``nutation`` scan was clipped.

    All echoes have the same shape in time; it is found from all of them together, and each is projected on it.
    """
    amplitudes = np.array([float(text) for text in raw.definitions["Amplitudes"].split()])
    samples, step_of = raw.samples[:, 0].astype(np.complex128), raw.label("SET")
    present = [step for step in range(len(amplitudes)) if np.any(step_of == step)]
    echoes = np.stack([samples[step_of == step].mean(axis=0) for step in present])
    n = echoes.shape[1]
    spectrum = np.fft.fft(echoes, axis=1)
    offset_hz = np.fft.fftfreq(n, raw.dwell_s)
    outside = (np.abs(offset_hz) > _BAND_HZ) & (np.abs(offset_hz) < 0.4 / raw.dwell_s)
    noise = (
        float(np.sqrt(np.median(np.abs(spectrum[:, outside]) ** 2) / np.log(2) / n / 2)) if outside.any() else float("nan")
    )
    spectrum[:, np.abs(offset_hz) > _BAND_HZ] = 0.0
    inside = np.fft.ifft(spectrum, axis=1)
    _, _, shapes = np.linalg.svd(inside, full_matrices=False)
    is_clipped = np.count_nonzero(np.abs(samples) >= CLIP_LEVEL) >= 3
    return amplitudes[present], inside @ shapes[0].conj(), noise, bool(is_clipped)


def _power_remedy(found: Nutation, scale: float) -> str:
    if np.isfinite(found.ratio) and abs(found.ratio / 2 - 1) > WARN_RATIO_ERROR:
        return "The RF amplifier is not quite linear: flip angles of strong pulses are a few per cent off. Tell service."
    if not USUAL_SCALE[0] <= scale <= USUAL_SCALE[1]:
        return (
            f"The transmitter gives {scale:.2f} times the expected field. You can scan; check that the coil is tuned, its "
            "plug is in and the RF amplifier gives its full power."
        )
    return ""


def _clipped() -> Refusal:
    return Refusal(
        doubt=Doubt.CLIPPED,
        problem="The signal is too strong for the receiver and was clipped.",
        remedy="Repeat the receive gain, or lower the gain of the preamplifier; then repeat this.",
    )


def _nutation_plot(amplitude: NDArray[np.float64], signal: NDArray[np.complex128], found: Nutation | Refusal) -> Plot:
    top = max(float(np.abs(signal).max()), 1e-12)
    curves = [Curve(label="measured", x=100 * amplitude, y=100 * np.abs(signal) / top, is_points=True)]
    marks: dict[str, float] = {}
    if isinstance(found, Nutation):
        curves.append(Curve(label="fit", x=100 * found.curve_x, y=100 * found.curve_y / top))
        marks["90°"] = 100 * found.a90
        if np.isfinite(found.ratio):
            marks["180°"] = 100 * found.a90 * found.ratio
    return Plot(
        title="Nutation", x_label="Amplitude, % of full scale", y_label="Signal, %", curves=tuple(curves), marks=marks
    )
