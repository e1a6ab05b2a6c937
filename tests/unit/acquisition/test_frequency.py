# SPDX-License-Identifier: MIT
"""The prescan's frequency: right where there is a signal, refused with a reason where there is none or it is doubtful."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.acquisition.prescan.frequency import Doubt, Frequency, Refusal, measure_frequency
from isocenter.acquisition.prescan.search import FrequencySearch
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan

LO_HZ = 2.0e6
BAND_HZ = 100e3
N = 1024


def raw_of(shots):
    return RawScan(
        samples=np.asarray(shots, dtype=np.complex64)[:, None],
        labels={},
        dwell_s=1 / BAND_HZ,
        lo_hz=LO_HZ,
        encoding=None,
        placement=Placement(),
        facts=None,
    )


def noise(seed, n_shots=2, sigma=0.01):
    rng = np.random.default_rng(seed)
    return sigma / np.sqrt(2) * (rng.normal(size=(n_shots, N)) + 1j * rng.normal(size=(n_shots, N)))


def echo(offset_hz, width_hz, amplitude=0.1):
    """Lorentzian line of full width ``width_hz`` (amplitude spectrum squared falls to half there), echo in the middle."""
    time_s = (np.arange(N) - N // 2) / BAND_HZ
    return amplitude * np.exp(2j * np.pi * offset_hz * time_s - np.pi * width_hz * np.abs(time_s))


def decay(offset_hz, width_hz, amplitude=0.1):
    time_s = np.arange(N) / BAND_HZ
    return amplitude * np.exp(2j * np.pi * offset_hz * time_s - np.pi * width_hz * time_s)


def tone(offset_hz, amplitude=0.1, phase=0.0):
    return amplitude * np.exp(2j * np.pi * offset_hz * np.arange(N) / BAND_HZ + 1j * phase)


@pytest.mark.parametrize("shape", [echo, decay])
@pytest.mark.parametrize("offset_hz", [0.0, 1234.5, -17_321.0, 40_000.0])
def test_a_clean_line_is_found_within_five_hertz(shape, offset_hz):
    for seed in range(5):
        got = measure_frequency(raw_of(shape(offset_hz, 100.0) + noise(seed)))
        assert isinstance(got, Frequency), got
        assert abs(got.larmor_hz - LO_HZ - offset_hz) < 5
        assert got.snr > 50
        assert got.spurs_hz == ()


@pytest.mark.parametrize("width_hz", [300.0, 1000.0, 3000.0])
def test_a_wide_line_is_found_within_a_tenth_of_its_width(width_hz):
    for seed in range(10):
        got = measure_frequency(raw_of(echo(5000.0, width_hz) + noise(seed, sigma=0.02)))
        assert isinstance(got, Frequency), got
        assert abs(got.offset_hz - 5000) < 0.1 * width_hz
        assert got.linewidth_hz < 2 * width_hz


def test_the_stated_uncertainty_is_honest():
    errors, stated = [], []
    for seed in range(60):
        got = measure_frequency(raw_of(echo(3000.0, 400.0, 0.03) + noise(seed, sigma=0.02)))
        errors.append(got.offset_hz - 3000)
        stated.append(got.sd_hz)
    assert np.std(errors) < 3 * np.mean(stated)
    assert np.mean(stated) < 10 * np.std(errors)


def test_noise_alone_is_refused_every_time():
    doubts = [measure_frequency(raw_of(noise(seed))) for seed in range(300)]
    assert sum(isinstance(doubt, Refusal) for doubt in doubts) >= 299
    assert doubts[0].doubt is Doubt.NO_SIGNAL
    assert "No signal was found near 2.0000 MHz" in doubts[0].problem
    assert "Check that the patient or phantom is in the coil" in doubts[0].remedy


def test_a_weak_line_is_refused_or_right_but_never_wrong():
    for seed in range(60):
        got = measure_frequency(raw_of(echo(-8000.0, 300.0, 0.006) + noise(seed, sigma=0.02)))
        assert isinstance(got, Refusal) or abs(got.offset_hz + 8000) < 300


@pytest.mark.parametrize("offset_hz", [0.0, 12_345.6, -30_000.0])
def test_a_tone_that_does_not_decay_is_not_the_patient(offset_hz):
    for seed in range(20):
        got = measure_frequency(raw_of(tone(offset_hz) + noise(seed)))
        assert isinstance(got, Refusal)
        assert got.doubt is Doubt.SPUR
        assert abs(got.offset_hz - offset_hz) < 5
        assert "interference, not the patient's signal" in got.problem
        assert "Switch off chargers" in got.remedy
    assert ("receiver's own frequency" in got.problem) == (offset_hz == 0.0)


def test_a_mains_comb_alone_is_refused_as_such():
    comb = sum(tone(k * 2500.0 + 600.0, 0.02, phase=k) for k in range(-4, 5))
    got = measure_frequency(raw_of(comb + noise(1)))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.SPUR
    assert "9 tones at equal distances" in got.problem


def test_a_signal_is_found_beside_stronger_spurs_and_an_offset_of_the_receiver():
    spurs = tone(0.0, 0.2) + tone(20_000.0, 0.3, 1.0) + tone(-33_333.0, 0.15)
    for seed in range(10):
        got = measure_frequency(raw_of(echo(-6000.0, 300.0, 0.1) + spurs + noise(seed)))
        assert isinstance(got, Frequency), got
        assert abs(got.offset_hz + 6000) < 10
        np.testing.assert_allclose(sorted(got.spurs_hz), LO_HZ + np.array([-33_333, 0, 20_000]), atol=5)


def test_a_signal_on_resonance_is_no_spur():
    got = measure_frequency(raw_of(echo(0.0, 150.0) + noise(2)))
    assert isinstance(got, Frequency)
    assert abs(got.offset_hz) < 5


@pytest.mark.parametrize("offset_hz", [46_000.0, -49_000.0])
def test_a_line_at_the_edge_of_the_band_is_refused(offset_hz):
    got = measure_frequency(raw_of(echo(offset_hz, 200.0) + noise(3)))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.EDGE
    assert "may really be outside" in got.problem
    assert got.offset_hz == pytest.approx(offset_hz, abs=50)


def test_two_peaks_of_a_bad_shim_give_the_middle_and_two_objects_are_refused():
    close = echo(2000.0, 300.0) + echo(3000.0, 300.0)
    got = measure_frequency(raw_of(close + noise(4)))
    assert isinstance(got, Frequency)
    assert abs(got.offset_hz - 2500) < 150
    far = echo(-12_000.0, 300.0) + echo(9000.0, 300.0)
    got = measure_frequency(raw_of(far + noise(4)))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.SPLIT
    assert "There are 2 signals of similar strength, 21." in got.problem


def test_clipped_samples_are_refused():
    strong = 3 * echo(1000.0, 100.0, 1.0)
    clipped = np.clip(strong.real, -1, 1) + 1j * np.clip(strong.imag, -1, 1)
    got = measure_frequency(raw_of([clipped, clipped]))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.CLIPPED
    assert "Lower the receiver's gain" in got.remedy


def test_bursts_that_change_from_shot_to_shot_are_refused():
    burst = echo(7000.0, 500.0)
    got = measure_frequency(raw_of(np.stack([burst, burst * np.exp(1.7j), burst * np.exp(-2.9j), burst]) + noise(5, 4)))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.UNSTEADY


def test_tones_that_beat_like_an_echo_are_told_by_their_phase_over_four_shots():
    rng = np.random.default_rng(8)
    accepted = 0
    for seed in range(60):
        phases = rng.uniform(0, 2 * np.pi, (4, 2))
        shots = np.stack([tone(9000.0, 0.1, a) + tone(9120.0, 0.07, b) for a, b in phases])
        accepted += isinstance(measure_frequency(raw_of(shots + noise(seed, 4))), Frequency)
    assert accepted <= 3


def test_a_tone_that_wavers_is_no_signal():
    wavering = tone(9000.0) * (1 + 0.02 * np.cos(2 * np.pi * 150 * np.arange(N) / BAND_HZ))
    got = measure_frequency(raw_of(wavering + noise(6, sigma=0.001)))
    assert isinstance(got, Refusal)
    assert got.doubt is Doubt.SPUR


def burst(offset_hz, at, width):
    return np.exp(-0.5 * ((np.arange(N) - at) / width) ** 2) * tone(offset_hz, 0.12)


@pytest.mark.parametrize("n_shots", [2, 4])
def test_a_burst_in_one_shot_alone_is_no_signal(n_shots):
    for seed in range(20):
        shots = noise(seed, n_shots)
        shots[seed % n_shots] += burst(9000.0 - 700 * seed, 200 + 30 * seed, 20 + 5 * seed)
        got = measure_frequency(raw_of(shots))
        assert isinstance(got, Refusal), (seed, got)


def test_bursts_at_other_times_and_frequencies_in_each_shot_are_no_signal():
    rng = np.random.default_rng(5)
    for seed in range(20):
        bursts = [burst(rng.uniform(-3e4, 3e4), rng.integers(150, 850), rng.uniform(15, 100)) for _ in range(4)]
        assert isinstance(measure_frequency(raw_of(bursts + noise(seed, 4))), Refusal), seed


@pytest.mark.parametrize("colour", ["falls to both sides", "one over f", "resonance of the coil"])
def test_noise_that_has_a_colour_is_no_signal(colour):
    offset_hz = np.fft.fftfreq(N, 1 / BAND_HZ)
    gain = {
        "falls to both sides": np.exp(-0.5 * (offset_hz / 8e3) ** 2) + 0.01,
        "one over f": 1 / np.sqrt(np.abs(offset_hz) / 100 + 1),
        "resonance of the coil": 0.2 + 3 / (1 + ((offset_hz - 15e3) / 2e3) ** 2),
    }[colour]
    for seed in range(20):
        got = measure_frequency(raw_of(np.fft.ifft(gain * np.fft.fft(noise(seed, 4), axis=1), axis=1)))
        assert isinstance(got, Refusal), (seed, got)


def test_a_single_shot_of_noise_that_has_a_colour_says_that_nothing_stands_out():
    gain = np.exp(-0.5 * (np.fft.fftfreq(N, 1 / BAND_HZ) / 8e3) ** 2) + 0.01
    got = [measure_frequency(raw_of(np.fft.ifft(gain * np.fft.fft(noise(seed, 1), axis=1), axis=1))) for seed in range(20)]
    assert all(isinstance(one, Refusal) for one in got)
    assert any("uneven noise" in one.problem and "two averages" in one.remedy for one in got)


@pytest.mark.parametrize("n_shots", [1, 2, 4])
@pytest.mark.parametrize("width_hz", [150.0, 800.0])
def test_a_weak_signal_that_a_person_would_see_is_taken(n_shots, width_hz):
    strength = 0.0015 * np.sqrt(width_hz) / np.sqrt(n_shots)
    taken = 0
    for seed in range(20):
        got = measure_frequency(raw_of(echo(7000.0, width_hz, strength) + noise(seed, n_shots)))
        taken += isinstance(got, Frequency) and abs(got.offset_hz - 7000) < width_hz
    assert taken >= 19


def test_a_signal_on_its_way_to_a_steady_state_is_taken():
    strengths = np.array([[1.0], [0.25], [0.3], [0.28]])
    got = measure_frequency(raw_of(strengths * echo(1500.0, 200.0) + noise(7, 4, sigma=0.002)))
    assert isinstance(got, Frequency), got
    assert abs(got.offset_hz - 1500) < 5


def test_nothing_at_all_is_refused_too():
    for shots in (np.zeros((2, N)), np.zeros((0, N))):
        assert measure_frequency(raw_of(shots)).doubt is Doubt.NO_SIGNAL


# --- where to look next ------------------------------------------------------------------------------------------------


def scanner_at(true_hz, folds=False):
    """Measures a line at ``true_hz`` as a scanner would; ``folds`` brings a line just outside the band back into it."""

    def measure(lo_hz):
        offset_hz = true_hz - lo_hz
        if folds and 0.5 * BAND_HZ < abs(offset_hz) < 0.62 * BAND_HZ:
            offset_hz -= np.sign(offset_hz) * BAND_HZ
        elif abs(offset_hz) > 0.5 * BAND_HZ:
            return measure_at(noise(int(abs(lo_hz)) % 1000), lo_hz)
        return measure_at(echo(offset_hz, 300.0) + noise(int(abs(lo_hz)) % 1000), lo_hz)

    return measure


def measure_at(shots, lo_hz):
    raw = raw_of(shots)
    object.__setattr__(raw, "lo_hz", lo_hz)
    return measure_frequency(raw)


def run_search(search, measure):
    tried = []
    while (lo_hz := search.next_lo_hz()) is not None:
        tried.append(lo_hz)
        search.report(measure(lo_hz))
        assert len(tried) < 100
    return tried


def test_where_nothing_changed_two_measurements_are_enough():
    search = FrequencySearch(LO_HZ, 200e3, BAND_HZ)
    tried = run_search(search, scanner_at(LO_HZ + 1700))
    assert len(tried) == 2
    assert tried[0] == LO_HZ
    assert search.result().larmor_hz == pytest.approx(LO_HZ + 1700, abs=5)


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("true_hz", LO_HZ + np.linspace(-199e3, 199e3, 23))
def test_a_line_anywhere_in_the_span_is_found_and_a_folded_one_is_never_believed(true_hz, folds):
    search = FrequencySearch(LO_HZ, 200e3, BAND_HZ)
    run_search(search, scanner_at(true_hz, folds))
    assert search.result().larmor_hz == pytest.approx(true_hz, abs=10)


def test_with_no_phantom_the_search_ends_and_says_where_it_looked():
    search = FrequencySearch(LO_HZ, 200e3, BAND_HZ)
    planned = search.n_left
    tried = run_search(search, lambda lo_hz: measure_at(noise(int(lo_hz) % 997), lo_hz))
    assert len(tried) == search.n_tries == planned
    assert min(tried) - BAND_HZ / 2 <= LO_HZ - 200e3
    assert max(tried) + BAND_HZ / 2 >= LO_HZ + 200e3
    message = r"between 1\.8000 and 2\.2000 MHz in \d measurements\. No signal[\s\S]*patient or phantom is in the coil"
    with pytest.raises(AcquisitionError, match=message):
        search.result()


def test_a_line_outside_the_span_is_not_taken():
    search = FrequencySearch(LO_HZ, 20e3, BAND_HZ)
    run_search(search, scanner_at(LO_HZ + 35e3))
    with pytest.raises(AcquisitionError, match=r"found at 2\.0350 MHz, more than 20 kHz[\s\S]*magnet's temperature"):
        search.result()


def test_the_reason_that_tells_most_is_the_one_given():
    search = FrequencySearch(LO_HZ, 100e3, BAND_HZ)
    run_search(
        search, lambda lo_hz: measure_at(noise(3) + (tone(2010e3 - lo_hz) if abs(lo_hz - 2010e3) < 5e4 else 0), lo_hz)
    )
    with pytest.raises(AcquisitionError, match="interference, not the patient's signal"):
        search.result()


@pytest.mark.parametrize("start_hz", [LO_HZ, LO_HZ + 30e3, LO_HZ - 48e3])
def test_the_oscillator_never_goes_where_the_gate_would_refuse_it(start_hz):
    search = FrequencySearch(start_hz, 50e3, BAND_HZ, allowed_hz=(LO_HZ - 50e3, LO_HZ + 50e3))
    tried = run_search(search, lambda lo_hz: measure_at(noise(int(lo_hz) % 997), lo_hz))
    assert len(tried) == len(set(tried)) > 1
    assert max(abs(lo_hz - LO_HZ) for lo_hz in tried) <= 50e3


def test_a_line_that_only_repeats_near_resonance_is_looked_at_closer():
    """As a spin echo far from resonance, whose phase follows the phase cycle."""
    true_hz = LO_HZ + 15.4e3

    def at(lo_hz):
        found = scanner_at(true_hz)(lo_hz)
        if abs(true_hz - lo_hz) < 5e3:
            return found
        return Refusal(doubt=Doubt.UNSTEADY, problem="It changes.", remedy="Look closer.", offset_hz=true_hz - lo_hz)

    search = FrequencySearch(LO_HZ, 50e3, BAND_HZ)
    assert len(run_search(search, at)) == 3
    assert search.result().larmor_hz == pytest.approx(true_hz, abs=10)


def cycled(shots):
    """As the sequence 'frequency' measures: pulses and receiver turn by 180 degrees from shot to shot."""
    return replace(raw_of(shots), definitions={"PhaseCycle": "0 180"})


@pytest.mark.parametrize("offset_hz", [0.0, 4321.0])
def test_an_even_phantom_whose_echo_does_not_decay_is_told_by_its_phases(offset_hz):
    got = measure_frequency(cycled(tone(offset_hz) + noise(1, n_shots=4)))
    assert isinstance(got, Frequency), got
    assert abs(got.offset_hz - offset_hz) < 5


def test_a_steady_tone_is_refused_though_the_pulses_turn():
    rng = np.random.default_rng(8)
    for _ in range(50):
        phases = rng.uniform(0, 2 * np.pi, 4)
        shots = np.stack([tone(2000.0, phase=phase) for phase in phases]) + noise(2, n_shots=4)
        assert isinstance(measure_frequency(cycled(shots)), Refusal)
    # The receiver's own carrier: the same phase at every shot, which the receiver then turns.
    leak = np.stack([tone(0.0, phase=np.pi * (shot % 2)) for shot in range(4)]) + noise(3, n_shots=4)
    assert isinstance(measure_frequency(cycled(leak)), Refusal)
