# SPDX-License-Identifier: MIT
"""Best shim of a sweep, both maxima seen; how much of the receiver a signal uses."""

import numpy as np
import pytest

from isocenter.acquisition.prescan.frequency import Doubt, Frequency, Refusal
from isocenter.acquisition.prescan.level import best_gain_db, measure_level
from isocenter.acquisition.prescan.search import FrequencySearch
from isocenter.acquisition.prescan.shim import find_best, limit_t_per_m, read_line, read_sweep
from isocenter.acquisition.prescan.step_frequency import agree
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.domain.units import GAMMA_HZ_PER_T

N, BAND_HZ, LO_HZ = 512, 50e3, 2.0e6
TIME_S = (np.arange(N) - N // 2) / BAND_HZ


def raw_of(shots, offsets=None, averages=1):
    shots = np.asarray(shots, dtype=np.complex64)
    definitions = {} if offsets is None else {"Offsets": " ".join(f"{value:.9g}" for value in offsets)}
    return RawScan(
        samples=shots[:, None],
        labels={"SET": np.repeat(np.arange(len(shots) // averages, dtype=np.int32), averages)},
        dwell_s=1 / BAND_HZ,
        lo_hz=LO_HZ,
        encoding=None,
        placement=Placement(),
        facts=None,
        definitions=definitions,
    )


def noise(shape, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return sigma * (rng.normal(size=shape) + 1j * rng.normal(size=shape))


def echoes(offsets, best, half_m=0.07, amplitude=0.1):
    """A bar of a length in a field that ``-best`` makes slanted."""
    slope = GAMMA_HZ_PER_T * (np.asarray(offsets)[:, None] - best)
    return amplitude * np.sinc(2 * slope * half_m * TIME_S) * np.exp(-np.abs(TIME_S) / 0.03)


@pytest.mark.parametrize("best", [0.0, 0.031e-3, -0.12e-3])
def test_the_best_shim_lies_between_the_points_of_the_sweep(best):
    offsets = np.linspace(best - 0.17e-3, best + 0.13e-3, 9)
    sweep = read_sweep(raw_of(echoes(offsets, best) + noise((9, N), 1e-3), offsets))
    got = find_best(sweep.offset_t_per_m, sweep.peak)
    assert got.offset_t_per_m == pytest.approx(best, abs=0.012e-3)
    assert len(got.maxima_t_per_m) == 1
    assert not got.is_at_edge


def test_two_maxima_are_both_seen_and_the_higher_is_first():
    offsets = np.linspace(-0.5e-3, 0.5e-3, 21)
    two = echoes(offsets, -0.3e-3, amplitude=0.1) + 0.8 * echoes(offsets, 0.25e-3) * np.exp(2j * np.pi * 4000 * TIME_S)
    sweep = read_sweep(raw_of(two + noise(two.shape, 1e-3), offsets))
    got = find_best(sweep.offset_t_per_m, sweep.peak)
    assert got.maxima_t_per_m == pytest.approx([-0.3e-3, 0.25e-3], abs=0.051e-3)
    assert got.offset_t_per_m == pytest.approx(-0.3e-3, abs=0.03e-3)


def test_a_maximum_at_the_end_of_the_sweep_is_said_to_be_there():
    offsets = np.linspace(-0.1e-3, 0.1e-3, 9)
    sweep = read_sweep(raw_of(echoes(offsets, 0.3e-3) + noise((9, N), 1e-4), offsets))
    assert find_best(sweep.offset_t_per_m, sweep.peak).is_at_edge


def test_a_tone_stronger_than_the_signal_does_not_count_once_it_is_known():
    offsets = np.linspace(-0.2e-3, 0.2e-3, 9)
    tone = 0.3 * np.exp(2j * np.pi * 6000 * TIME_S)
    raw = raw_of(echoes(offsets, 0.05e-3) + tone + noise((9, N), 1e-3), offsets)
    sweep = read_sweep(raw, (LO_HZ + 6000.0,))
    assert find_best(sweep.offset_t_per_m, sweep.peak).offset_t_per_m == pytest.approx(0.05e-3, abs=0.02e-3)


def test_a_sweep_of_noise_and_a_clipped_one_are_refused():
    offsets = np.linspace(-0.1e-3, 0.1e-3, 9)
    for shots, doubt in ((noise((9, N), 1e-2), Doubt.NO_SIGNAL), (echoes(offsets, 0.0, amplitude=3.0), Doubt.CLIPPED)):
        got = read_sweep(raw_of(shots, offsets))
        assert isinstance(got, Refusal)
        assert got.doubt is doubt


def test_a_narrow_peak_on_a_wide_foot_is_spread():
    narrow = read_line(raw_of([np.exp(-np.abs(TIME_S) / 0.003)]))
    footed = read_line(raw_of([0.3 * np.exp(-np.abs(TIME_S) / 0.003) + 3 * np.exp(-np.abs(TIME_S) / 5e-5)]))
    assert footed.spread_hz > 5 * narrow.spread_hz
    assert footed.width_hz < 3 * narrow.width_hz


def test_a_shim_is_at_most_a_tenth_of_the_amplifier_and_what_a_scan_may_switch():
    assert limit_t_per_m(-3e-3) == pytest.approx(0.3e-3)
    assert limit_t_per_m(15e-3) == pytest.approx(0.5e-3)


def test_level_of_an_echo_and_of_a_clipped_one():
    good = measure_level(raw_of([0.6 * np.exp(-np.abs(TIME_S) / 0.002) + noise(N, 1e-3)]))
    assert good.peak == pytest.approx(0.6, abs=0.01)
    assert good.snr > 100
    assert not good.is_clipped
    assert measure_level(raw_of([np.minimum(2 * np.exp(-np.abs(TIME_S) / 0.002), 1.0)])).is_clipped
    flat = measure_level(raw_of([np.minimum(2 * np.exp(-np.abs(TIME_S) / 0.002), 0.95)]))
    assert flat.is_clipped, "equal samples just below full scale"
    assert measure_level(raw_of([noise(N, 1e-3)])).snr < 8


def test_the_gain_brings_the_peak_near_the_target_and_never_beyond():
    gains = (30.0, 36.0, 42.0, 48.0)
    assert best_gain_db(gains, 30.0, 0.1) == 48.0  # 0.79
    assert best_gain_db(gains, 30.0, 0.2) == 42.0  # 0.80
    assert best_gain_db(gains, 30.0, 0.25) == 36.0  # 0.5; the next would be 0.995
    assert best_gain_db(gains, 36.0, 1.0) == 30.0
    fine = tuple(range(30, 60))
    assert best_gain_db(fine, 30.0, 0.1) == 45.0, "0.56 leaves room for a subject that is stronger than this echo"


def frequency(larmor_hz, offset_hz):
    return Frequency(larmor_hz=larmor_hz, sd_hz=1.0, offset_hz=offset_hz, snr=50.0, linewidth_hz=50.0)


def test_two_measurements_agree_move_or_are_mirrored():
    good = agree(frequency(2e6, 300.0), frequency(2e6 + 8, -992.0))
    assert good.larmor_hz == pytest.approx(2e6 + 4)
    assert good.sd_hz >= 4
    moved = agree(frequency(2e6, 300.0), frequency(2e6 + 180, -820.0))
    assert moved.doubt is Doubt.UNSTEADY
    assert "+180 Hz" in moved.problem
    # true line at 2.0e6 + 300, oscillator at 2.0e6 + 600 and then 2.0e6 - 700; the receiver takes -300 for +300
    mirrored = agree(frequency(2e6 + 600 + 300, 300.0), frequency(2e6 - 700 - 1000, -1000.0))
    assert mirrored.doubt is Doubt.INVERTED


def test_the_search_names_a_mirrored_spectrum():
    search = FrequencySearch(2.0e6, 50e3, 100e3)
    for _ in range(20):
        lo_hz = search.next_lo_hz()
        if lo_hz is None:
            break
        offset_hz = -(2.0e6 + 9000.0 - lo_hz)
        search.report(frequency(lo_hz + offset_hz, offset_hz))
    with pytest.raises(AcquisitionError, match=r"(?s)mirrored.*I and Q"):
        search.result()
