# SPDX-License-Identifier: MIT
"""Steps about what the receiver hears: noise and interference, and how much of its range a signal uses."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from isocenter.acquisition.prescan import noise
from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.frequency import Doubt, Refusal
from isocenter.acquisition.prescan.level import HIGHEST, LOWEST, MIN_SNR, Level, best_gain_db, measure_level
from isocenter.acquisition.prescan.noise import NoiseFigures, SpurLine, falls, measure_noise, thermal_rms_v
from isocenter.acquisition.prescan.step_kit import age_text, failed, make_value
from isocenter.acquisition.prescan.step_transmit import pulse_s
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner

NOISE_BAND_HZ: Final = 50e3
IMAGE_BAND_HZ: Final = 20e3
"""Around the frequency: what a picture's readout usually takes in."""
WAIT_S: Final = 2.0
"""T2 of fluid: what it leaves of a signal is less by two thirds."""
_MOST_WAITS: Final = 5
_SHOWN_LINES: Final = 4
_COACH: Final = (
    "Let the patient touch the ground pad, switch off chargers, lamps and supplies near the scanner, close the shield, "
    "then repeat."
)


class NoiseStep:
    """Listens while nothing is transmitted."""

    name = "noise"
    title = "Noise"

    def why_skip(self, bench: Bench) -> str:  # noqa: ARG002
        """Never: interference comes and goes."""
        return ""

    def run(self, bench: Bench, tell: Tell) -> StepResult:  # noqa: ARG002  it takes a second
        """Level, and lines by their frequencies; lines are listened to again, while they become less."""
        raw, path, found, is_falling = self._listen(bench)
        result = StepResult(step=self.name, title=self.title)
        if isinstance(found, Refusal):
            is_silent = found.doubt is Doubt.SILENT  # a dead receiver, or a virtual one that is perfect: the next step tells
            return replace(failed(result, found), verdict=Verdict.WARN) if is_silent else failed(result, found)
        unit_v = bench.scanner.receiver.volts_per_unit
        held = bench.held(Quantity.RECEIVE_GAIN.value)
        ratio = _over_thermal(found, bench.scanner, held.value[0] if held is not None else 0.0)
        verdict, remedy = _noise_verdict(found, ratio, bench.calibration.larmor_hz)
        if is_falling and verdict is not Verdict.PASS:
            remedy = "Wait ten seconds, then repeat."
        values: tuple[CalibrationValue, ...] = ()
        if math.isnan(unit_v):
            level = f"{found.rms * 1e6:.3g} millionths of full scale (rms)"
        else:
            level = f"{found.rms * unit_v * 1e6:.3g} µV rms"
            rms_v = found.rms * unit_v
            spread_v = rms_v / math.sqrt(raw.samples[:, 0].size)
            values = (make_value(bench, Quantity.NOISE, (rms_v,), (spread_v,), path),)
        thermal = f"{ratio:.2g} times thermal" if math.isfinite(ratio) else "thermal level unknown on this scanner"
        text = f"{level} in {found.bandwidth_hz * 1e-3:.0f} kHz, {thermal}"
        text += "".join(f"; {line}" for line in _line_texts(found))
        text += "; it still becomes less, as what is left of a scan does" if is_falling and found.lines else ""
        return replace(
            result,
            verdict=verdict,
            text=text,
            remedy=remedy,
            values=values if verdict is not Verdict.FAIL else (),
            plots=(_noise_plot(found),),
        )

    @staticmethod
    def _listen(bench: Bench) -> tuple[RawScan, Path, NoiseFigures | Refusal, bool]:
        """Data, their folder, what was heard, and whether it still becomes less.

        Fluid is heard for seconds after a scan in spite of the spoiler, where that leaves something; interference stays.
        """
        raw, path = bench.measure(_noise_protocol())
        found, is_falling = measure_noise(raw), False
        for _ in range(_MOST_WAITS):
            if isinstance(found, Refusal) or not found.lines:
                break
            raw, path = bench.measure(_noise_protocol(wait_s=WAIT_S))
            before, found = found, measure_noise(raw)
            is_falling = falls(before, found)
            if not is_falling:
                break
        return raw, path, found, is_falling


def _noise_protocol(wait_s: float = 0.02) -> Protocol:
    parameters = {"bandwidth_hz": NOISE_BAND_HZ, "n_samples": 8192, "windows": 4, "pause_s": 0.02, "wait_s": wait_s}
    return Protocol(name="Prescan noise", sequence="noise", parameters=parameters)


def _over_thermal(found: NoiseFigures, scanner: Scanner, attenuator_db: float) -> float:
    """Noise over that of a matched coil, NaN where the gain in between is not known."""
    receiver = scanner.receiver
    expected_v = thermal_rms_v(found.bandwidth_hz, receiver.gain_db + attenuator_db)
    return found.rms * receiver.volts_per_unit / expected_v


def _noise_verdict(found: NoiseFigures, ratio: float, larmor_hz: float) -> tuple[Verdict, str]:
    inside = [line for line in found.lines if abs(line.frequency_hz - larmor_hz) < IMAGE_BAND_HZ / 2]
    power = sum(line.rms**2 for line in inside)
    if ratio > noise.FAIL_RATIO or power > (noise.FAIL_RATIO * found.broadband_rms) ** 2:
        return Verdict.FAIL, _COACH
    if inside or ratio > noise.WARN_RATIO:
        return Verdict.WARN, _COACH
    return Verdict.PASS, ""


def _line_texts(found: NoiseFigures) -> list[str]:
    if math.isfinite(found.comb_hz):
        kind = "mains comb" if found.is_mains else "comb of a switching supply"
        texts = [f"{kind}: lines every {found.comb_hz:.0f} Hz around {found.comb_middle_hz * 1e-6:.6f} MHz"]
        rest: list[SpurLine] = [line for line in found.lines if not _is_tooth(line, found)]
    else:
        texts, rest = [], list(found.lines)
    if rest:
        named = ", ".join(f"{line.frequency_hz * 1e-6:.6f} MHz (+{line.level_db:.0f} dB)" for line in rest[:_SHOWN_LINES])
        texts.append(f"{len(rest)} {'line' if len(rest) == 1 else 'lines'} of interference: {named}")
    return texts


def _is_tooth(line: SpurLine, found: NoiseFigures) -> bool:
    steps = (line.frequency_hz - found.comb_middle_hz) / found.comb_hz
    return abs(steps - round(steps)) * found.comb_hz < 8.0


def _noise_plot(found: NoiseFigures) -> Plot:
    middle_hz = float(np.median(found.frequency_hz))
    return Plot(
        title="Noise spectrum",
        x_label=f"kHz from {middle_hz * 1e-6:.4f} MHz",
        y_label="dB over the noise",
        curves=(Curve(label="heard", x=(found.frequency_hz - middle_hz) * 1e-3, y=found.density_db),),
        marks={
            f"{line.frequency_hz * 1e-6:.5f} MHz": (line.frequency_hz - middle_hz) * 1e-3
            for line in found.lines[:_SHOWN_LINES]
        },
    )


class GainStep:
    """Sets the receiver's attenuator so that the strongest signal fits, or says how much of the range it uses."""

    name = "receive_gain"
    title = "Receive gain"

    def why_skip(self, bench: Bench) -> str:
        """Not needed while a value holds."""
        held = bench.held(Quantity.RECEIVE_GAIN.value)
        return "" if held is None else f"{held.value[0]:.0f} dB, {age_text(held, bench)}, still holds"

    def run(self, bench: Bench, tell: Tell) -> StepResult:
        """The strongest echo over all strengths of the excitation, since nobody knows yet which one is 90°."""
        result = StepResult(step=self.name, title=self.title)
        attenuator = bench.attenuator
        if attenuator is None:
            level, result, _ = self._measure(bench, result, tell)
            return _without_attenuator(result, level)
        gains_db = attenuator.gains_db
        now_db = min(gains_db)
        attenuator.set_gain(now_db)
        level, result, path = self._measure(bench, result, tell)
        for _ in range(2):
            if level.is_clipped or level.snr < MIN_SNR:
                break
            wanted_db = best_gain_db(gains_db, now_db, level.peak)
            if wanted_db == now_db:
                break
            now_db = wanted_db
            attenuator.set_gain(now_db)
            level, result, path = self._measure(bench, result, tell)
            if level.is_clipped:
                attenuator.set_gain(min(gains_db))
        refusal = _refusal(level)
        if refusal is not None:
            return failed(result, refusal)
        value = make_value(bench, Quantity.RECEIVE_GAIN, (now_db,), (0.0,), path)
        text = f"{now_db:.0f} dB: the strongest echo uses {100 * level.peak:.0f} % of the receiver's range"
        is_good = LOWEST <= level.peak <= HIGHEST
        return replace(
            result,
            verdict=Verdict.PASS if is_good else Verdict.WARN,
            text=text,
            remedy="" if is_good else "No step of the attenuator comes nearer to 50 to 90 %. You can scan.",
            values=(value,),
        )

    def _measure(self, bench: Bench, result: StepResult, tell: Tell) -> tuple[Level, StepResult, Path]:
        protocol = Protocol(
            name="Prescan receive gain",
            sequence="nutation",
            parameters={"steps": 6, "averages": 1, "tr_s": 0.4, "rf_s": pulse_s(bench.scanner)},
        )
        raw, path = bench.measure(protocol, replace(bench.calibration, rf_scale=1.0))
        level = measure_level(raw)
        strongest = np.abs(raw.samples[int(np.argmax(np.abs(raw.samples).max(axis=(1, 2)))), 0]).astype(np.float64)
        time_ms = (np.arange(len(strongest)) - len(strongest) // 2) * raw.dwell_s * 1e3
        plot = Plot(
            title="Strongest echo",
            x_label="ms from the echo",
            y_label="% of full scale",
            curves=(Curve(label="signal", x=np.asarray(time_ms), y=np.asarray(100 * strongest)),),
        )
        result = replace(result, text=f"{100 * level.peak:.0f} % of full scale", plots=(plot,))
        tell(result)
        return level, result, path


def _refusal(level: Level) -> Refusal | None:
    if level.is_clipped:
        return Refusal(
            doubt=Doubt.CLIPPED,
            problem="The signal is too strong for the receiver and was clipped.",
            remedy="Lower the gain of the preamplifier, or put an attenuator in front of the receiver; then repeat.",
        )
    if level.snr < MIN_SNR:
        return Refusal(
            doubt=Doubt.NO_SIGNAL,
            problem=f"No echo was received at any strength of the pulse (signal to noise {level.snr:.1f}, needed "
            f"{MIN_SNR:g}).",
            remedy="Check that the patient or phantom is in the coil, the coil is plugged in and the RF amplifier is on; "
            "then repeat.",
        )
    return None


def _without_attenuator(result: StepResult, level: Level) -> StepResult:
    refusal = _refusal(level)
    if refusal is not None:
        return failed(result, refusal)
    text = f"The strongest echo uses {100 * level.peak:.2g} % of the receiver's range; there is no attenuator to set"
    if level.peak > HIGHEST:
        advice = f"Lower the preamplifier's gain by {20 * math.log10(level.peak / LOWEST):.0f} dB before a stronger subject."
        return replace(result, verdict=Verdict.WARN, text=text, remedy=advice)
    return replace(result, verdict=Verdict.PASS, text=text)
