# SPDX-License-Identifier: MIT
"""The scanner's frequency from spectra of an echo or a free induction decay, or a reason why it cannot be told.

A wrong frequency ruins every scan that follows, so whatever is doubtful is refused with what to do about it: noise, a line
at the edge of the band, clipped samples, and tones that do not belong to the patient.

Source
------
Reference domain.md 2, step 4: zero-padded four times, centroid of the power above half of the peak; refuse a signal-to-noise
ratio below 5 and a peak within 5 % of the band's edge; never silently accept the maximum of noise.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.raw import RawScan

MIN_SNR: Final = 5.0
EDGE_FRACTION: Final = 0.05
CLIP_LEVEL: Final = 0.98
MAX_SPURS: Final = 12
MAX_SPREAD: Final = 0.10  # of the band, between parts of a line that is to be one

_ZERO_FILL: Final = 4
_WINDOWS: Final = (None, 1 / 4, 1 / 8, 1 / 16, 1 / 32)  # Gaussian widths as fractions of the readout; None is no window
_AGREEMENT: Final = (
    0.95  # of the shots' phases, 1 when equal: a signal starts with the pulse, interference whenever it likes
)
_ALIKE: Final = 0.4  # of what the shots have in common over what they have, 1 when their lines are the same
_WEAKEST: Final = 0.2  # of the strongest shot, what a signal on its way to a steady state still gives
_FOLLOWS: Final = 0.99  # the same for a tone that would be taken for interference if it did not follow the pulses
_FLAT: Final = 0.06  # a tone whose strength changes less than this over the readout does not decay
_BESIDE: Final = 4.0  # so near to such a tone, in resolutions, what is found belongs to it
_NARROW: Final = 2.5  # width of a line, in resolutions, up to which it may be such a tone


class Doubt(StrEnum):
    """Why a measurement was refused."""

    CLIPPED = "clipped"
    NO_SIGNAL = "no signal"
    SPUR = "spur"
    EDGE = "edge"
    SPLIT = "split"
    UNSTEADY = "unsteady"
    INVERTED = "inverted"
    SILENT = "silent"
    FLAT = "flat"
    RANGE = "range"
    POOR_FIT = "poor fit"
    COMPRESSING = "compressing"
    SATURATED = "saturated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """A frequency that may be used.

    Attributes
    ----------
    larmor_hz, sd_hz
        Where the line is, and how well that is known.
    offset_hz
        From the local oscillator.
    snr
        Peak over the root mean square of the noise, in the spectrum that shows the line best.
    linewidth_hz
        Full width at half of the peak's power.
    spurs_hz
        Tones that were found not to be the patient's and left out, as frequencies.
    """

    larmor_hz: float
    sd_hz: float
    offset_hz: float
    snr: float
    linewidth_hz: float
    spurs_hz: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why no frequency, or no other value, can be told.

    Attributes
    ----------
    doubt
        For a program that decides what to do next.
    problem, remedy
        For the operator.
    offset_hz
        Of what was refused from the local oscillator, NaN if there is nothing.
    """

    doubt: Doubt
    problem: str
    remedy: str
    offset_hz: float = float("nan")


@dataclass(frozen=True, slots=True)
class _Line:
    """A peak in the spectrum that shows it best."""

    offset_hz: float
    peak_hz: float
    snr: float
    width_hz: float
    spread_hz: float
    n_parts: int


def measure_frequency(raw: RawScan) -> Frequency | Refusal:
    """Frequency from the readouts of a ``frequency`` or ``fid`` scan.

    Parameters
    ----------
    raw
        One or more readouts of the same signal; they are added before the transform.
    """
    if np.count_nonzero(np.abs(raw.samples[:, 0]) >= CLIP_LEVEL) >= 3:
        return Refusal(
            doubt=Doubt.CLIPPED,
            problem="The signal is too strong for the receiver and was clipped.",
            remedy="Lower the receiver's gain or the flip angle, then repeat the prescan.",
        )
    shots = np.ascontiguousarray(raw.samples[:, 0], dtype=np.complex128)
    signal = shots.mean(axis=0) if len(shots) else np.zeros(0, np.complex128)
    rest = signal
    spurs: list[float] = []
    if len(signal) < 32 or not np.any(signal):
        return _no_signal(0.0, [], raw)
    while True:
        line = _strongest(rest, raw.dwell_s)
        if line.snr < MIN_SNR or len(spurs) > MAX_SPURS:
            return _no_signal(line.snr, spurs, raw)
        if not _is_constant(rest, line, raw.dwell_s) or _follows_pulses(shots, line, raw):
            break
        spurs.append(_refine(rest, line.peak_hz, raw.dwell_s))
        rest = _without(signal, spurs, raw.dwell_s)
    resolution_hz = 1 / (raw.dwell_s * len(signal))
    if any(abs(line.peak_hz - spur_hz) < _BESIDE * resolution_hz for spur_hz in spurs):
        return _no_signal(line.snr, spurs, raw)  # what is left of a tone that wavers
    if len(shots) == 1 and not _stands_out(rest, line, raw.dwell_s):
        return _no_signal(line.snr, spurs, raw, is_coloured=True)
    return _judge(line, _each_without(shots, spurs, raw.dwell_s), spurs, raw)


def _judge(line: _Line, shots: NDArray[np.complex128], spurs: list[float], raw: RawScan) -> Frequency | Refusal:
    band_hz = 1 / raw.dwell_s
    at = f"{(raw.lo_hz + line.offset_hz) / 1e6:.4f} MHz"
    if abs(line.offset_hz) > (0.5 - EDGE_FRACTION) * band_hz:
        return Refusal(
            doubt=Doubt.EDGE,
            problem=f"The signal at {at} lies at the edge of the band; it may really be outside.",
            remedy="Let the prescan search a wider range, or measure with a larger bandwidth.",
            offset_hz=line.offset_hz,
        )
    if line.n_parts > 1 and line.spread_hz > MAX_SPREAD * band_hz:
        return Refusal(
            doubt=Doubt.SPLIT,
            problem=f"There are {line.n_parts} signals of similar strength, {line.spread_hz / 1e3:.1f} kHz apart.",
            remedy="Take metal and other objects out of the coil, shim, then repeat the prescan.",
            offset_hz=line.offset_hz,
        )
    if not _repeats(shots, line, raw.dwell_s):
        return Refusal(
            doubt=Doubt.UNSTEADY,
            problem=f"The signal at {at} changes from shot to shot, as interference does.",
            remedy="Switch off chargers and lamps near the scanner, close the shield, then repeat the prescan.",
            offset_hz=line.offset_hz,
        )
    return Frequency(
        larmor_hz=raw.lo_hz + line.offset_hz,
        sd_hz=max(line.width_hz / (2 * line.snr), 0.1),
        offset_hz=line.offset_hz,
        snr=line.snr,
        linewidth_hz=line.width_hz,
        spurs_hz=tuple(raw.lo_hz + offset_hz for offset_hz in spurs),
    )


def _no_signal(snr: float, spurs: list[float], raw: RawScan, *, is_coloured: bool = False) -> Refusal:
    if is_coloured:
        return Refusal(
            doubt=Doubt.NO_SIGNAL,
            problem=f"Near {raw.lo_hz / 1e6:.4f} MHz there is uneven noise, and no signal that stands out from it.",
            remedy="Measure with two averages or more; check that the patient or phantom is in the coil.",
        )
    if not spurs:
        return Refusal(
            doubt=Doubt.NO_SIGNAL,
            problem=f"No signal was found near {raw.lo_hz / 1e6:.4f} MHz (signal to noise {snr:.1f}, needed {MIN_SNR:g}).",
            remedy="Check that the patient or phantom is in the coil, the coil is plugged in and the RF amplifier is on; "
            "then let the prescan search a wider range.",
        )
    where = ", ".join(f"{(raw.lo_hz + spur_hz) / 1e6:.4f}" for spur_hz in spurs[:3])
    what = "a tone at the receiver's own frequency" if abs(spurs[0]) < 1 / (raw.dwell_s * raw.samples.shape[2]) else "a tone"
    if len(spurs) >= 3 and _is_comb(spurs, raw):
        what = f"{len(spurs)} tones at equal distances, as mains supplies make them"
    return Refusal(
        doubt=Doubt.SPUR,
        problem=f"Only {what} that does not decay was found ({where} MHz): interference, not the patient's signal.",
        remedy="Switch off chargers, lamps and supplies near the scanner and check the cables' screens. If this is a very "
        "even phantom, measure with more samples and averages.",
        offset_hz=spurs[0],
    )


def _is_comb(spurs: list[float], raw: RawScan) -> bool:
    gaps_hz = np.diff(np.sort(spurs))
    resolution_hz = 1 / (raw.dwell_s * raw.samples.shape[2])
    return bool(np.all(np.abs(gaps_hz / gaps_hz.min() - np.round(gaps_hz / gaps_hz.min())) * gaps_hz.min() < resolution_hz))


def _strongest(signal: NDArray[np.complex128], dwell_s: float) -> _Line:
    """The highest peak over noise, with the window in time that shows it best: a wide line lives only briefly."""
    n = len(signal)
    noise = _noise(signal)
    smooth = np.convolve(np.abs(signal) ** 2, np.ones(max(n // 64, 1)), mode="same")
    from_centre = (np.arange(n) - int(np.argmax(smooth))) / n
    tries: list[tuple[float, NDArray[np.float64]]] = []
    for width in _WINDOWS:
        window = np.ones(n) if width is None else np.exp(-0.5 * (from_centre / (width / 2)) ** 2)
        if np.sum(window**2) < 16:
            continue
        magnitude = np.abs(np.fft.fftshift(np.fft.fft(signal * window, _ZERO_FILL * n)))
        tries.append((float(magnitude.max() / (noise * np.sqrt(np.sum(window**2)))), magnitude))
    best_snr = max(snr for snr, _ in tries)
    # A wider window resolves better, so a narrower one must be worth it.
    magnitude = next(shown for snr, shown in tries if snr >= 0.8 * best_snr)
    return _shape(magnitude**2, best_snr, dwell_s)


def _shape(power: NDArray[np.float64], snr: float, dwell_s: float) -> _Line:
    frequency_hz = np.fft.fftshift(np.fft.fftfreq(len(power), dwell_s))
    high = np.flatnonzero(power >= power.max() / 2)
    parts = np.split(high, np.flatnonzero(np.diff(high) > 1) + 1)
    main = next(part for part in parts if int(np.argmax(power)) in part)
    step_hz = frequency_hz[1] - frequency_hz[0]
    above = power[high] - power.max() / 2 * (1 - 1e-9)  # so that a sample at the limit weighs nothing, not half
    return _Line(
        offset_hz=float(np.sum(frequency_hz[high] * above) / np.sum(above)),
        peak_hz=float(frequency_hz[np.argmax(power)]),
        snr=snr,
        width_hz=float(len(main) * step_hz),
        spread_hz=float((high[-1] - high[0]) * step_hz),
        n_parts=len(parts),
    )


def _noise(signal: NDArray[np.complex128]) -> float:
    """Root mean square of one sample's noise, from the median of the spectrum, where a few lines do not count.

    The outer tenths of the band are left out, since the receive filter falls there.
    """
    n = len(signal)
    power = np.abs(np.fft.fftshift(np.fft.fft(signal))) ** 2
    return float(np.sqrt(np.median(power[n // 10 : n - n // 10]) / np.log(2) / n))


def _stands_out(signal: NDArray[np.complex128], line: _Line, dwell_s: float) -> bool:
    """False for a peak of noise that has a colour, as a single shot shows it.

    A signal as wide in the spectrum is brief and is compared with other times, a narrow one with other frequencies.
    """
    n = len(signal)
    n_alive = 1 / (line.width_hz * dwell_s)
    if n_alive > n / 8:
        power = np.abs(np.fft.fft(signal)) ** 2
        away = np.abs(np.fft.fftfreq(n, dwell_s) - line.peak_hz) * n_alive * dwell_s
        beside = power[(away > 1.5) & (away < max(8.0, 12 * n_alive / n))]
        return bool(power.max() > MIN_SNR**2 * np.median(beside) / np.log(2))
    time = np.arange(n)
    demodulated = signal * np.exp(-2j * np.pi * line.peak_hz * dwell_s * time)
    window = np.exp(-0.5 * ((time - n // 2) / (0.4 * n_alive)) ** 2)
    strength = np.abs(np.convolve(demodulated, window, mode="same")) ** 2
    elsewhere = strength[np.abs(time - int(np.argmax(strength))) > 2 * n_alive]
    return len(elsewhere) < n / 4 or bool(strength.max() > MIN_SNR**2 * np.median(elsewhere) / np.log(2))


def _is_constant(signal: NDArray[np.complex128], line: _Line, dwell_s: float) -> bool:
    """True for a tone that is as narrow as the readout resolves and as strong at its end as at its start and middle."""
    resolution_hz = 1 / (len(signal) * dwell_s)
    tone_hz = _refine(signal, line.peak_hz, dwell_s)
    flat = np.abs(np.fft.fftshift(np.fft.fft(signal, _ZERO_FILL * len(signal)))) ** 2
    if _shape(flat, line.snr, dwell_s).width_hz > _NARROW * resolution_hz:
        return False
    demodulated = signal * np.exp(-2j * np.pi * tone_hz * dwell_s * np.arange(len(signal)))
    window = np.hanning(len(signal) // 2)  # lets through no other tone, as a plain mean would
    starts = np.linspace(0, len(signal) - len(window), 3).astype(int)
    strengths = np.array([abs(demodulated[start : start + len(window)] @ window) for start in starts]) / window.sum()
    uncertainty = _noise(signal) * np.sqrt(2 * np.sum(window**2)) / window.sum()
    return bool(np.ptp(strengths) < _FLAT * strengths.mean() + 3 * uncertainty)


def _refine(signal: NDArray[np.complex128], near_hz: float, dwell_s: float) -> float:
    """Frequency of the tone nearest to a bin's centre, to a small part of the resolution: parabolas, ever narrower."""
    n = len(signal)
    time_s = np.arange(n) * dwell_s
    step_hz = 0.25 / (n * dwell_s)
    for _ in range(5):
        trial_hz = near_hz + step_hz * np.array([-1.0, 0.0, 1.0])
        low, middle, high = np.abs(np.exp(-2j * np.pi * trial_hz[:, None] * time_s) @ signal) ** 2
        curvature = low - 2 * middle + high
        shift = 0.5 * (low - high) / curvature if curvature < 0 else float(np.sign(high - low))
        near_hz += step_hz * float(np.clip(shift, -1, 1))
        step_hz /= 2.5
    return near_hz


def _without(signal: NDArray[np.complex128], tones_hz: list[float], dwell_s: float) -> NDArray[np.complex128]:
    """The signal less some tones. Refines ``tones_hz`` in place, each with the others away: they leak into each other."""
    time_s = np.arange(len(signal)) * dwell_s
    waves = np.exp(2j * np.pi * np.array(tones_hz) * time_s[:, None])
    for _ in range(3 if len(tones_hz) > 1 else 1):
        amplitudes = _amplitudes(waves, signal)
        for index, tone_hz in enumerate(tones_hz):
            alone = signal - waves @ amplitudes + waves[:, index] * amplitudes[index]
            tones_hz[index] = _refine(alone, tone_hz, dwell_s)
            waves[:, index] = np.exp(2j * np.pi * tones_hz[index] * time_s)
    return np.asarray(signal - waves @ _amplitudes(waves, signal), dtype=np.complex128)


def _each_without(shots: NDArray[np.complex128], tones_hz: list[float], dwell_s: float) -> NDArray[np.complex128]:
    """Each shot less tones that are known; a strong one would make the shots of a signal beside it disagree."""
    if not tones_hz:
        return shots
    waves = np.exp(2j * np.pi * np.array(tones_hz) * dwell_s * np.arange(shots.shape[1])[:, None])
    return np.stack([shot - waves @ _amplitudes(waves, shot) for shot in shots])


def _amplitudes(waves: NDArray[np.complex128], signal: NDArray[np.complex128]) -> NDArray[np.complex128]:
    normal = waves.conj().T @ waves + 1e-6 * len(signal) * np.eye(waves.shape[1])  # two tones may be one
    return np.asarray(np.linalg.solve(normal, waves.conj().T @ signal), dtype=np.complex128)


def _follows_pulses(shots: NDArray[np.complex128], line: _Line, raw: RawScan) -> bool:
    """True for a tone whose phase turned with that of the pulses, which only an excited signal does.

    An echo of a very even object does not decay either. A steady tone may by chance turn as the pulses do from one shot to
    the next; it does not when it is measured again with the oscillator at its place, as every line is.
    """
    if len(shots) < 4 or raw.definitions.get("PhaseCycle", "").split() != ["0", "180"]:
        return False
    return _agreement(shots, line, raw.dwell_s) > _FOLLOWS


def _repeats(shots: NDArray[np.complex128], line: _Line, dwell_s: float) -> bool:
    """False when shots that are strong enough to tell do not agree in phase."""
    if len(shots) < 2:
        return True
    if not _is_in_each(shots, line, dwell_s) or not _is_alike(shots, line, dwell_s):
        return False
    agreement = _agreement(shots, line, dwell_s)
    per_shot_snr = line.snr / np.sqrt(len(shots))
    return bool(agreement > min(_AGREEMENT, 1 - 4 / per_shot_snr**2) or per_shot_snr < MIN_SNR)


def _is_in_each(shots: NDArray[np.complex128], line: _Line, dwell_s: float) -> bool:
    """False for what one shot has alone: without the strongest, the others must show the same, at a part of its strength."""
    each, noise = _projections(shots, line, dwell_s)
    first = int(np.argmax(np.abs(each)))
    others = np.delete(each, first).sum() * np.exp(-1j * np.angle(each[first]))
    n = len(each) - 1
    doubt = noise * np.sqrt(n)
    return bool(others.real > max(_WEAKEST * n * abs(each[first]) - doubt, 1.6 * doubt))


def _is_alike(shots: NDArray[np.complex128], line: _Line, dwell_s: float) -> bool:
    """False when the shots' spectra around the line have little in common, as those of noise that has a colour."""
    n = shots.shape[1]
    around = np.abs(np.fft.fftfreq(n, dwell_s) - line.offset_hz) <= max(line.width_hz, 3 / (n * dwell_s))
    spectra = np.fft.fft(shots, axis=1)[:, around]
    noise = np.array([_noise(shot) for shot in shots]) ** 2 * n
    common = np.real(spectra @ spectra.conj().T)
    own = np.sqrt(np.maximum(np.diag(common) - noise * around.sum(), 0))
    pairs = np.triu_indices(len(shots), 1)
    doubt = float(noise.mean()) * np.sqrt(around.sum() * len(pairs[0])) + float(np.sqrt(noise.mean()) * own.sum())
    return bool(common[pairs].sum() > _ALIKE * np.outer(own, own)[pairs].sum() - doubt)


def _agreement(shots: NDArray[np.complex128], line: _Line, dwell_s: float) -> float:
    """Of the shots' phases only, 1 when equal: strength changes on the way to a steady state."""
    each, _ = _projections(shots, line, dwell_s)
    return float((abs(each.sum()) / np.sum(np.abs(each))) ** 2)


def _projections(shots: NDArray[np.complex128], line: _Line, dwell_s: float) -> tuple[NDArray[np.complex128], float]:
    """How much of the line each shot has, and the noise of one of its parts; weighted with when the signal is there."""
    strength = np.abs(shots.mean(axis=0)) ** 2
    wave = np.exp(-2j * np.pi * line.offset_hz * dwell_s * np.arange(shots.shape[1]))
    noise = float(np.mean([_noise(shot) for shot in shots])) / np.sqrt(2)
    return (shots * wave * strength).sum(axis=1), noise * float(np.sqrt(np.sum(strength**2)))
