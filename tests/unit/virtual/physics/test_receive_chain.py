# SPDX-License-Identifier: MIT
"""Coil, gain, converter and lost samples: each fault as physics has it, and none of them changes another."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.events import TX_FULL_SCALE, Track
from isocenter.domain.scenario import CoilFaults, Interference, InterferenceKind, ReceiverFaults, Scenario
from isocenter.virtual.console.playback import Playback, RxWindow
from isocenter.virtual.physics.interference import Frame
from isocenter.virtual.physics.receive_chain import NOISE_PER_SQRT_HZ, ReceiveChain, clip

from .lab import CLOCK_HZ, LARMOR_HZ, make_scanner

HISS = Interference(kind=InterferenceKind.BROADBAND, level=0.01, width_hz=40e3)


def window(tick=200_000, n=400, decimation=1024):
    ticks = tick + 2.0 + np.arange(n) * decimation
    return RxWindow(tick=tick, stop_tick=tick + n * decimation, decimation=decimation, sample_ticks=ticks)


def hear(scenario, signal=None, windows=None, tracks=None, channels=(0,), start_s=0.0, chain=None, leak=None):
    windows = windows or (window(),)
    playback = Playback(
        tracks=tracks or {},
        lo_ticks=np.zeros(1, dtype=np.int64),
        lo_hz=np.array([LARMOR_HZ]),
        lo_reset_ticks=np.zeros(0, dtype=np.int64),
        windows=tuple(windows),
        end_tick=windows[-1].stop_tick + 1000,
        clock_hz=CLOCK_HZ,
        start_s=start_s,
        idle_s=0.0,
    )
    frame = Frame(start_s=start_s, clock_hz=CLOCK_HZ, lo_hz=LARMOR_HZ, lo_turns=0.0)
    chain = chain or ReceiveChain(make_scanner(), scenario)
    return chain.hear(playback, frame, windows, [signal] * len(windows), channels)


def steady(level, n=400):
    return np.full(n, level, dtype=np.complex64)


NOISY = Scenario(receiver=ReceiverFaults(noise=1.0))


@pytest.mark.parametrize(
    "change",
    [
        {"interference": (HISS,)},
        {"receiver": ReceiverFaults(noise=1.0, adc_bits=12)},
        {"receiver": ReceiverFaults(noise=1.0, dropouts_hz=1e-9)},
        {"n_sensors": 3},
        {"coil": CoilFaults(ring_down_s=1e-4, ring_down_level=1.0)},
    ],
    ids=["interference", "converter", "dropouts", "sensors", "ringing"],
)
def test_switching_a_fault_on_leaves_the_noise_as_it_was(change):
    plain = hear(NOISY)[0][0]
    changed = replace(NOISY, **change)
    receiver = replace(changed.receiver, noise=0.0)
    alone = hear(replace(changed, receiver=receiver))[0][0]
    np.testing.assert_allclose(hear(changed)[0][0] - alone, plain, atol=1e-8)


def test_every_channel_has_noise_of_its_own_and_sensors_hear_no_spins():
    scenario = replace(NOISY, n_sensors=2)
    windows = [window(n=4000)]
    heard = hear(scenario, steady(0.3, 4000), windows, channels=range(3))[0]
    sigma = NOISE_PER_SQRT_HZ * np.sqrt(CLOCK_HZ / 1024)
    noise = heard - np.array([[0.3], [0], [0]])
    assert noise.real.std(axis=1) == pytest.approx(sigma, rel=0.05)
    assert noise.imag.std(axis=1) == pytest.approx(sigma, rel=0.05)
    mutual = np.corrcoef(noise)
    assert np.abs(mutual[np.triu_indices(3, 1)]).max() < 0.06


def test_a_share_of_the_signal_may_leak_into_sensors():
    scenario = Scenario(n_sensors=2, receiver=ReceiverFaults(sensor_leak=0.01))
    heard = hear(scenario, steady(0.3), channels=range(3))[0]
    np.testing.assert_allclose(np.abs(heard).mean(axis=1), [0.3, 0.003, 0.003], rtol=1e-5)


def test_every_coil_of_a_ring_hears_its_own_signal_noise_and_interference():
    scenario = Scenario(
        coil=CoilFaults(n_receive=3, ring_down_s=20e-6, ring_down_level=0.5),
        receiver=ReceiverFaults(noise=1.0, sensor_leak=0.1),
        interference=(HISS,),
        n_sensors=1,
    )
    signal = np.array([[0.1], [0.2j], [-0.3]], dtype=np.complex64) * np.ones(400, dtype=np.complex64)
    quiet = replace(scenario, interference=(), receiver=ReceiverFaults(sensor_leak=0.1))
    heard = hear(quiet, signal, channels=range(4))[0]
    np.testing.assert_allclose(heard[:, 0], [0.1, 0.2j, -0.3, 0.01], atol=1e-6)
    ringing = hear(quiet, signal, channels=range(4), tracks=pulse(199_000))[0] - heard
    assert np.all(np.abs(ringing[:3, 0]) > 0.1)
    assert ringing[3, 0] == 0
    disturbed = hear(scenario, signal, channels=range(4))[0] - heard
    assert np.all(disturbed.std(axis=1) > 0.002)
    assert np.abs(np.diff(disturbed, axis=0)).mean() > 0.002
    one = hear(scenario, signal, channels=(2,))[0] - heard[2:3]
    assert one.std() > 0.002


def test_gain_acts_on_signal_noise_and_interference_alike():
    quiet = replace(NOISY, interference=(HISS,))
    loud = replace(quiet, receiver=ReceiverFaults(noise=1.0, gain_db=-12.0))
    np.testing.assert_allclose(hear(loud, steady(0.4))[0], hear(quiet, steady(0.4))[0] * 10 ** (-12 / 20), rtol=1e-5)


def test_a_broken_cable_leaves_noise_and_interference_only():
    coil = CoilFaults(is_disconnected=True, ring_down_s=1e-3, ring_down_level=1.0)
    broken = replace(NOISY, interference=(HISS,), coil=coil)
    np.testing.assert_array_equal(
        hear(broken, steady(0.5), tracks=pulse(199_000))[0], hear(replace(broken, coil=CoilFaults()))[0]
    )
    assert np.abs(hear(broken, steady(0.5))[0]).mean() > 0.005


# --- converter ---------------------------------------------------------------------------------------------------------


def mixed_down(real, cycles_per_sample):
    """Amplitude and phase of a real wave's part at a frequency that has whole periods in it."""
    n = np.arange(len(real))
    return 2 * np.mean(real * np.exp(-2j * np.pi * cycles_per_sample * n))


@pytest.mark.parametrize("amplitude", [0.2, 0.999, 1.05, 1.5, 4.0, 100.0])
def test_clipping_is_that_of_the_real_wave_at_the_converter(amplitude):
    frequency, n = 1007 / 65536, 65536
    wave = np.clip(amplitude * np.cos(2 * np.pi * frequency * np.arange(n) + 0.7), -1, 1)
    row = np.array([amplitude * np.exp(0.7j)])
    clip(row)
    assert row[0] == pytest.approx(mixed_down(wave, frequency), abs=2e-4)


def test_only_a_converter_with_bits_clips():
    assert np.abs(hear(Scenario(), steady(3.0))[0]).max() == pytest.approx(3.0)
    clipped = np.abs(hear(Scenario(receiver=ReceiverFaults(adc_bits=16)), steady(3.0))[0])
    assert clipped == pytest.approx(4 / np.pi, abs=0.03)
    pushed = np.abs(hear(Scenario(receiver=ReceiverFaults(adc_bits=16, gain_db=20.0)), steady(0.3))[0])
    assert pushed == pytest.approx(clipped, rel=1e-5)


@pytest.mark.parametrize("bits", [8, 12])
def test_rounding_is_as_loud_as_that_of_a_dithered_converter_at_the_full_clock(bits):
    """A real carrier with the noise of a front end, rounded at the clock, mixed down and averaged over 256 ticks."""
    decimation, n = 256, 3000
    rng = np.random.default_rng(5)
    step, ticks = 2.0 ** (1 - bits), np.arange(decimation * n)
    wave = 0.3 * np.cos(2 * np.pi * 0.0163 * ticks) + 0.6 * step * rng.standard_normal(len(ticks))
    error = np.round(wave / step) * step - wave
    down = (2 * error * np.exp(-2j * np.pi * 0.0163 * ticks)).reshape(n, decimation).mean(axis=1)
    scenario = Scenario(receiver=ReceiverFaults(adc_bits=bits))
    heard = hear(scenario, steady(0.3, n), [window(n=n, decimation=decimation)])[0][0] - 0.3
    assert heard.real.std() == pytest.approx(down.real.std(), rel=0.08)
    assert heard.imag.std() == pytest.approx(down.imag.std(), rel=0.08)


def test_sixteen_bits_are_far_below_the_noise_of_a_coil():
    rounding = hear(Scenario(receiver=ReceiverFaults(adc_bits=16)), steady(0.0))[0].std()
    assert rounding < 0.02 * hear(NOISY)[0].std()


# --- ring-down ---------------------------------------------------------------------------------------------------------


def pulse(stop, length=20_000, code=TX_FULL_SCALE * (0.6 + 0.8j)):
    ticks = np.array([0, stop - length, stop])
    real, imag = (np.array([0, part, 0], dtype=np.int32) for part in (int(code.real), int(code.imag)))
    return {"tx0_i": Track(ticks, real), "tx0_q": Track(ticks, imag)}


RINGING = Scenario(coil=CoilFaults(ring_down_s=20e-6, ring_down_level=0.5))


def test_a_receiver_that_opens_early_hears_the_coil_ring_down():
    late_s = 50e-6
    stop = 200_000 - round(late_s * CLOCK_HZ)
    heard = hear(RINGING, tracks=pulse(stop), windows=[window(decimation=256)])[0][0]
    expected = 0.5 * np.exp(-(window(decimation=256).sample_ticks - stop) / (20e-6 * CLOCK_HZ))
    charged = 1 - np.exp(-20_000 / (20e-6 * CLOCK_HZ))
    np.testing.assert_allclose(heard, expected * charged * (0.6 + 0.8j), rtol=1e-3, atol=1e-9)


def test_a_receiver_that_waits_hears_nothing_of_it():
    heard = hear(RINGING, tracks=pulse(200_000 - round(1e-3 * CLOCK_HZ)))[0]
    assert np.abs(heard).max() == 0.0


def test_a_pulse_that_ends_softly_rings_less():
    ticks = np.arange(180_000, 199_001, 100)
    codes = (TX_FULL_SCALE * np.hanning(len(ticks))).astype(np.int32)
    codes[-1] = 0
    soft = hear(RINGING, tracks={"tx0_i": Track(ticks, codes)}, windows=[window(199_000)])[0]
    hard = hear(RINGING, tracks=pulse(199_000), windows=[window(199_000)])[0]
    assert 0 < np.abs(soft).max() < 0.25 * np.abs(hard).max()


# --- lost samples --------------------------------------------------------------------------------------------------------


def lost_windows(rate_hz, start_s=0.0, seed=1, n=400):
    windows = [window(1000 + i * 1_228_800, 4) for i in range(n)]  # one every 10 ms
    scenario = Scenario(receiver=ReceiverFaults(dropouts_hz=rate_hz), seed=seed)
    return np.array([not part.any() for part in hear(scenario, steady(0.1, 4), windows, start_s=start_s)])


def test_readouts_are_lost_as_often_as_asked_at_moments_that_a_seed_chooses():
    lost = lost_windows(5.0)
    assert lost.sum() == pytest.approx(20, abs=10)
    np.testing.assert_array_equal(lost, lost_windows(5.0))
    assert np.any(lost != lost_windows(5.0, seed=2))
    np.testing.assert_array_equal(lost_windows(5.0, start_s=1.0, n=290)[:290], lost[100:390])
    assert not lost_windows(0.0).any()


def test_all_channels_lose_the_same_readouts_whoever_asks():
    windows = [window(1000 + i * 1_228_800, 4) for i in range(200)]
    scenario = Scenario(receiver=ReceiverFaults(dropouts_hz=10.0, noise=1.0), n_sensors=1)
    both = hear(scenario, steady(0.1, 4), windows, channels=(0, 1))
    sensor = hear(scenario, None, windows, channels=(1,))
    for pair, alone in zip(both, sensor, strict=True):
        assert pair[0].any() == pair[1].any() == alone[0].any()
    assert 5 < sum(not pair.any() for pair in both) < 45
