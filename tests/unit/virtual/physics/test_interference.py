# SPDX-License-Identifier: MIT
"""Sources outside the scanner: level, band, and one and the same function of time wherever it is looked at."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.scenario import Interference, InterferenceKind
from isocenter.virtual.console.playback import RxWindow
from isocenter.virtual.console.receiver import Receiver, Stretch, cic_correction
from isocenter.virtual.physics.interference import Ether, Frame

CLOCK_HZ = 122.88e6
NOMINAL_HZ = 2.0e6
TONE = Interference(kind=InterferenceKind.TONE, level=0.02, frequency_hz=3.1e3, width_hz=8.0)
COMB = Interference(kind=InterferenceKind.MAINS_COMB, level=0.01, frequency_hz=-2e3, width_hz=8e3, modulation_hz=60.0)
NOISE = Interference(kind=InterferenceKind.BROADBAND, level=0.03, frequency_hz=1e3, width_hz=30e3)
ALL = pytest.mark.parametrize("source", [TONE, COMB, NOISE], ids=lambda source: source.kind.value)


def ether(*sources, n_channels=1, seed=1):
    return Ether(sources, n_channels=n_channels, nominal_hz=NOMINAL_HZ, seed=seed)


def window(n, decimation=1024, tick=2000):
    ticks = tick + 2.0 + np.arange(n) * decimation
    return RxWindow(tick=tick, stop_tick=tick + n * decimation, decimation=decimation, sample_ticks=ticks)


def frame(start_s=0.0, lo_hz=NOMINAL_HZ, lo_turns=0.0):
    return Frame(start_s=start_s, clock_hz=CLOCK_HZ, lo_hz=lo_hz, lo_turns=lo_turns)


def heard(source, n, *, decimation=1024, tick=2000, where=None, seed=1):
    return ether(source, seed=seed).hear(window(n, decimation, tick), where or frame(), (0,))[0]


@ALL
def test_the_coil_hears_a_source_at_its_level(source):
    parts = [heard(source, 4000, where=frame(start_s)) for start_s in np.arange(12) * 7.3]
    assert np.sqrt(np.mean(np.abs(parts) ** 2)) == pytest.approx(source.level, rel=0.04)


@ALL
def test_a_source_runs_on_between_windows_and_runs_whatever_the_oscillator_does(source):
    whole = heard(source, 3000, where=frame(5.0))
    later = heard(source, 1000, tick=2000 + 1500 * 1024, where=frame(5.0))
    np.testing.assert_allclose(later, whole[1500:2500], atol=1e-6 * source.level)
    # The same moments, seen by a run that begins later and whose oscillator starts at some phase and frequency of its own.
    shift_s, lo_hz, turns = 1500 * 1024 / CLOCK_HZ, NOMINAL_HZ - 700.0, 0.3
    other = heard(source, 1000, where=frame(5.0 + shift_s, lo_hz, turns))
    t_s = (2002 + np.arange(1000) * 1024) / CLOCK_HZ
    first = NOMINAL_HZ * shift_s  # where the first oscillator stands when the second run begins
    turned = other * np.exp(2j * np.pi * (turns + lo_hz * t_s - first - NOMINAL_HZ * t_s))
    # The decimator's band moved with the oscillator, so a flat source keeps its inner part only.
    np.testing.assert_allclose(turned, whole[1500:2500], atol=2e-3 * source.level)


@ALL
def test_a_seed_chooses_the_source_for_good(source):
    once, again, other = (heard(source, 500, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 0.3 * source.level


def spectrum(signal, step_s):
    taper = np.hanning(len(signal))
    power = np.abs(np.fft.fft(signal * taper)) ** 2 / np.sum(taper**2)
    return np.fft.fftfreq(len(signal), step_s), power


def test_broadband_noise_fills_its_band_evenly_and_nothing_else():
    step_s = 1024 / CLOCK_HZ
    powers = [spectrum(heard(NOISE, 8192, where=frame(t)), step_s) for t in range(8)]
    hz, power = powers[0][0], np.mean([p for _, p in powers], axis=0)
    inside = np.abs(hz - 1e3) < 11e3
    outside = np.abs(hz - 1e3) > 19.5e3  # beyond the slope about the band's edge
    density = NOISE.level**2 / NOISE.width_hz / step_s
    assert power[inside].mean() == pytest.approx(density, rel=0.08)
    halves = power[inside & (hz < 1e3)].mean() / power[inside & (hz > 1e3)].mean()
    assert halves == pytest.approx(1.0, abs=0.06)
    assert power[outside].max() < 1e-5 * density


def test_what_lies_beyond_the_band_of_the_samples_is_not_folded_into_it():
    decimation = 8192  # 15 kHz for a source of 30 kHz
    step_s = decimation / CLOCK_HZ
    far = replace(NOISE, frequency_hz=60e3)
    assert not np.any(heard(far, 1000, decimation=decimation))
    power = np.mean([spectrum(heard(NOISE, 4096, decimation=decimation, where=frame(t)), step_s)[1] for t in range(8)], 0)
    inside = np.abs(np.fft.fftfreq(4096, step_s)) < 5e3
    assert power[inside].mean() == pytest.approx(NOISE.level**2 / NOISE.width_hz / step_s, rel=0.08)
    assert power.mean() < 1.05 * power[inside].mean()  # folded, the rest would double the edges


def test_a_comb_has_its_lines_at_multiples_of_the_mains_frequency():
    step_s = 1024 / CLOCK_HZ
    hz, power = spectrum(heard(COMB, 120_000), step_s)
    peaks = hz[power > 1e-3 * power.max()]
    distance = np.abs((peaks + 2e3 + 30) % 60 - 30)
    assert distance.max() < 3 / (120_000 * step_s)
    assert np.abs(peaks + 2e3).max() <= 4e3 + 3
    lines = np.unique(np.round((peaks + 2e3) / 60))
    assert len(lines) > 60


def test_a_wandering_tone_stays_about_its_frequency():
    step_s = 1024 / CLOCK_HZ
    turns = np.unwrap(np.angle([heard(TONE, 2400, where=frame(t)) for t in np.arange(60) * 1.7]), axis=1) / (2 * np.pi)
    hz = (turns[:, -1] - turns[:, 0]) / (2399 * step_s)
    assert hz.mean() == pytest.approx(3.1e3, abs=3.0)
    assert 1.5 < hz.std() < 8.0


def test_strength_can_change_with_a_frequency_of_its_own():
    pulsing = heard(replace(TONE, modulation_hz=100.0), 24_000)
    hz, power = spectrum(np.abs(pulsing) - np.abs(pulsing).mean(), 1024 / CLOCK_HZ)
    assert abs(hz[np.argmax(power)]) == pytest.approx(100.0, abs=6.0)
    assert np.sqrt(np.mean(np.abs(pulsing) ** 2)) == pytest.approx(TONE.level, rel=0.02)


def fitted(coil, sensors, n_taps):
    """What is left of the coil's signal after the best combination of delayed sensors."""
    reach = n_taps // 2
    delayed = np.stack([np.roll(s, k) for s in sensors for k in range(-reach, reach + 1)], axis=1)[reach : -reach or None]
    target = coil[reach : -reach or None]
    return np.linalg.norm(target - delayed @ np.linalg.lstsq(delayed, target, rcond=None)[0]) / np.linalg.norm(target)


def test_sensors_hear_each_source_through_filters_that_depend_on_frequency():
    sources = (NOISE, replace(NOISE, frequency_hz=-2e3, level=0.02))
    coil, *sensors = ether(*sources, n_channels=4).hear(window(6000, 2048), frame(), range(4))
    assert fitted(coil, sensors, 1) > 0.04
    assert fitted(coil, sensors, 9) < 0.01
    assert fitted(coil, sensors[:1], 9) > 0.15  # two sources cannot be told apart by one sensor
    ratios = [np.vdot(coil, s) / np.vdot(coil, coil) for s in sensors]
    assert np.abs(np.diff(ratios)).min() > 0.05


def test_filters_of_sensors_drift_slowly():
    listening = ether(TONE, n_channels=2)
    ratios = []
    for start_s in (0.0, 0.1, 40.0, 300.0):
        coil, sensor = listening.hear(window(400), frame(start_s), (0, 1))
        ratios.append((sensor / coil).mean())
    changes = np.abs(np.array(ratios) / ratios[0] - 1)
    assert changes[1] < 0.004
    assert 0.004 < changes[2:].max() < 0.25


@pytest.mark.parametrize("offset_hz", [0.0, 9e3, 57e3, 391e3, -1.2e6])
def test_a_tone_comes_out_of_the_decimator_as_out_of_a_cic_at_the_full_clock(offset_hz):
    """Far outside the band too, where its image folds back by what the sixth power of a sinc leaves."""
    decimation, n = 512, 40
    tone = Interference(kind=InterferenceKind.TONE, level=0.5, frequency_hz=offset_hz)
    place = window(n, decimation)
    signal = ether(tone).hear(place, frame(), (0,))[0].astype(np.complex64)
    emitted = place.tick + np.arange(1, n + 1) * decimation - 1
    stretch = Stretch(window=place, emit_ticks=emitted, is_fresh=True, lo=0)
    raw = Receiver(0).filter([stretch], [signal])[0] * cic_correction(decimation)
    ticks = np.arange(n * decimation)
    full = 0.5 * np.exp(2j * np.pi * offset_hz * (ticks + place.tick) / CLOCK_HZ)
    box = np.ones(decimation) / decimation
    out = full
    for _ in range(6):
        out = np.convolve(out, box)[: len(full)]
    wanted = out[decimation - 1 :: decimation][:n]
    factor = np.vdot(wanted[6:], raw[6:]) / np.vdot(wanted[6:], wanted[6:])
    assert abs(factor) == pytest.approx(1.0, abs=2e-4 + 1e-7 / np.abs(wanted[6:]).mean())
    assert np.abs(raw[6:] - factor * wanted[6:]).max() < 1e-4 * np.abs(wanted[6:]).mean() + 1e-7
