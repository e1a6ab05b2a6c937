# SPDX-License-Identifier: MIT
"""What a user depends on: the samples of a readout are those of the signal at the times that the sequence asked for."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.errors import CompileError
from isocenter.domain.events import Readouts
from isocenter.domain.receiver import CIC_ORDER, CIC_SETTLING, cic_response, raw_sample_ticks
from isocenter.recon.receive import ReceiveFilter

CLOCK_HZ = 122.88e6


def make_readouts(
    n=1, *, decimation=300, ratio=4.0, n_samples=64, margin_dwells=3.0, phase_rad=0.0, frequency_hz=0.0, shift_ticks=0.0
):
    """Readouts whose window leaves ``margin_dwells`` of clean raw samples on both sides."""
    dwell = decimation * ratio
    margin = margin_dwells * dwell
    clean_from = 3.0 * decimation + 2.0  # centre of raw sample CIC_SETTLING after the window opens
    first = np.ceil(clean_from + margin) + shift_ticks
    last_needed = first + (n_samples - 1) * dwell + margin
    n_raw = int(np.ceil((last_needed - (-2 * decimation + 2)) / decimation)) + 1
    window = 10_000 + np.arange(n, dtype=np.int64) * (n_raw * decimation + 5000)
    full = np.ones(n)
    return Readouts(
        block=np.arange(n, dtype=np.int64),
        window_tick=window,
        decimation=np.full(n, decimation, np.int32),
        n_raw=np.full(n, n_raw, np.int32),
        n_samples=np.full(n, n_samples, np.int32),
        first_sample_tick=window + first,
        dwell_ticks=dwell * full,
        phase_rad=phase_rad * full,
        frequency_hz=frequency_hz * full,
    )


def raw_tone(readouts, frequency_hz, amplitude=1.0):
    """What the receiver delivers for a tone: the CIC's amplitude at the tone, garbage while it settles."""
    rng = np.random.default_rng(3)
    parts = []
    for row in range(len(readouts)):
        decimation = int(readouts.decimation[row])
        ticks = raw_sample_ticks(float(readouts.window_tick[row]), decimation, int(readouts.n_raw[row]))
        gain = cic_response(np.array([frequency_hz * decimation / CLOCK_HZ]))[0]
        part = amplitude * gain * np.exp(2j * np.pi * frequency_hz * ticks / CLOCK_HZ)
        part[:CIC_SETTLING] = rng.normal(size=CIC_SETTLING) * 10
        parts.append(part)
    return np.concatenate(parts).astype(np.complex64)


def true_tone(readouts, frequency_hz):
    i = np.arange(readouts.n_samples[0])
    ticks = readouts.first_sample_tick[:, None] + i * readouts.dwell_ticks[:, None]
    return np.exp(2j * np.pi * frequency_hz * ticks / CLOCK_HZ)


def rate_hz(readouts):
    return CLOCK_HZ / readouts.dwell_ticks[0]


@pytest.mark.parametrize("ratio", [2.0, 4.0, 4.37, 8.0])
@pytest.mark.parametrize("fraction", [0.0, 0.1, -0.3, 0.45, -0.45])
def test_a_tone_in_the_band_keeps_amplitude_and_phase(ratio, fraction):
    readouts = make_readouts(2, ratio=ratio, shift_ticks=0.37)
    f = fraction * rate_hz(readouts)
    got = ReceiveFilter(readouts, CLOCK_HZ).apply(raw_tone(readouts, f), readouts)
    error = got / true_tone(readouts, f)
    inner = error[:, 4:-4]
    assert np.abs(np.abs(inner) - 1).max() < 0.005
    assert np.abs(np.angle(inner, deg=True)).max() < 0.2
    # With three dwells of margin the edges too stay good enough not to be seen in an image.
    assert np.abs(error - 1).max() < 0.01


@pytest.mark.parametrize("fraction", [0.7, -0.7, 0.9, 1.3])
def test_a_tone_outside_the_band_is_rejected_by_40_db(fraction):
    readouts = make_readouts(ratio=4.0)
    f = fraction * rate_hz(readouts)
    # Full amplitude at the raw rate: without the help that the CIC itself gives.
    raw = raw_tone(readouts, f) / cic_response(np.array([fraction / 4.0]))[0]
    got = ReceiveFilter(readouts, CLOCK_HZ).apply(raw.astype(np.complex64), readouts)
    assert np.abs(got[0, 4:-4]).max() < 0.01


@pytest.mark.parametrize("margin_dwells", [0.0, 0.5, 1.0, 3.0])
def test_a_constant_is_exact_at_the_edges_however_short_the_margin(margin_dwells):
    readouts = make_readouts(ratio=5.0, margin_dwells=margin_dwells)
    got = ReceiveFilter(readouts, CLOCK_HZ).apply(raw_tone(readouts, 0.0), readouts)
    assert np.abs(got - 1).max() < 1e-3


def test_white_noise_at_the_converter_has_the_variance_of_an_ideal_band_filter():
    # Through a real CIC, tick by tick: the variance of an ideal filter of the same band is sigma^2 / dwell_ticks.
    decimation, ratio, n_samples = 8, 4.0, 600
    readouts = make_readouts(1, decimation=decimation, ratio=ratio, n_samples=n_samples)
    rng = np.random.default_rng(11)
    filter_ = ReceiveFilter(readouts, CLOCK_HZ)
    box = np.ones(1)
    for _ in range(CIC_ORDER):
        box = np.convolve(box, np.ones(decimation) / decimation)
    powers = []
    for _ in range(20):
        n = int(readouts.n_raw[0]) * decimation
        noise = (rng.normal(size=n) + 1j * rng.normal(size=n)) / np.sqrt(2)
        raw = np.convolve(noise, box)[decimation - 1 : n : decimation].astype(np.complex64)
        powers.append(np.mean(np.abs(filter_.apply(raw, readouts)) ** 2))
    expected = 1 / (decimation * ratio)
    assert np.mean(powers) == pytest.approx(expected, rel=0.10)


def test_white_raw_noise_is_not_raised_at_the_edges():
    readouts = make_readouts(400, ratio=16.0, n_samples=48, margin_dwells=1.0)  # so fine that droop plays no part
    rng = np.random.default_rng(12)
    n = int(readouts.n_raw.sum())
    raw = ((rng.normal(size=n) + 1j * rng.normal(size=n)) / np.sqrt(2)).astype(np.complex64)
    power = np.mean(np.abs(ReceiveFilter(readouts, CLOCK_HZ).apply(raw, readouts)) ** 2, axis=0) * 16.0
    assert power[8:-8].mean() == pytest.approx(1.0, rel=0.1)
    assert power.max() < 2.0


def test_phase_and_frequency_turn_the_samples_back_from_the_start_of_the_readout():
    offset = 0.8  # of the band: the wanted band lies beside the local oscillator
    plain = make_readouts(2, ratio=4.0)
    f = offset * rate_hz(plain)
    readouts = make_readouts(2, ratio=4.0, phase_rad=0.7, frequency_hz=f)
    tone = f + 0.4 * rate_hz(plain)
    got = ReceiveFilter(readouts, CLOCK_HZ).apply(raw_tone(readouts, tone), readouts)
    i = np.arange(64)
    since_start_s = (i + 0.5) * readouts.dwell_ticks[0] / CLOCK_HZ
    expected = true_tone(readouts, tone) * np.exp(-1j * (0.7 + 2 * np.pi * f * since_start_s))
    assert np.abs(got - expected)[:, 4:-4].max() < 0.006


def test_a_bend_turns_each_sample_by_its_own_phase():
    plain = make_readouts(3, ratio=4.0, phase_rad=0.2)
    bend = np.random.default_rng(4).uniform(-np.pi, np.pi, (3, 70)).astype(np.float32)  # padded for a longer readout
    bent = replace(plain, bend_rad=bend)
    raw = raw_tone(plain, 0.1 * rate_hz(plain))
    filters = ReceiveFilter(bent, CLOCK_HZ)
    wanted = ReceiveFilter(plain, CLOCK_HZ).apply(raw, plain) * np.exp(-1j * bend[:, :64])
    np.testing.assert_allclose(filters.apply(raw, bent), wanted, atol=1e-5)
    stop = int(bent.n_raw[0])
    np.testing.assert_allclose(filters.apply(raw[stop:], bent.slice(1, 3)), wanted[1:], atol=1e-5)
    two = filters.apply(np.stack([raw, 2 * raw]), bent)
    np.testing.assert_allclose(two, np.stack([wanted, 2 * wanted], axis=1), atol=2e-5)


def test_different_readouts_in_one_segment_come_back_in_order():
    long, short = make_readouts(1, n_samples=64), make_readouts(1, n_samples=32, ratio=6.0)
    both = Readouts(**{
        name: np.concatenate([getattr(short, name), getattr(long, name)])
        for name in Readouts.__dataclass_fields__
        if name not in {"labels", "bend_rad"}
    })  # fmt: skip
    raw = np.concatenate([raw_tone(short, 1000.0), raw_tone(long, 2000.0)])
    filter_ = ReceiveFilter(both, CLOCK_HZ)
    got = filter_.apply(raw, both)
    assert [len(row) for row in got] == [32, 64]
    np.testing.assert_allclose(got[0], true_tone(short, 1000.0)[0], atol=0.01)
    np.testing.assert_allclose(got[1], true_tone(long, 2000.0)[0], atol=0.01)
    views = filter_.split(raw, both)
    assert [len(view) for view in views] == both.n_raw.tolist()
    assert np.shares_memory(views[1], raw)


def test_missing_raw_samples_give_the_whole_windows_only():
    readouts = make_readouts(5)
    raw = raw_tone(readouts, 500.0)
    n_raw = int(readouts.n_raw[0])
    filter_ = ReceiveFilter(readouts, CLOCK_HZ)
    assert filter_.apply(raw[: 3 * n_raw + 7], readouts).shape == (3, 64)
    assert len(filter_.split(raw[: 3 * n_raw + 7], readouts)) == 3
    assert len(filter_.apply(raw[:0], readouts)) == 0


def test_long_windows_do_not_need_a_huge_matrix():
    readouts = make_readouts(1, n_samples=16_384, ratio=4.3)
    filter_ = ReceiveFilter(readouts, CLOCK_HZ)
    got = filter_.apply(raw_tone(readouts, 3000.0), readouts)
    np.testing.assert_allclose(got, true_tone(readouts, 3000.0), atol=0.01)
    held = sum(block.weights.nbytes for blocks in filter_._blocks.values() for block in blocks)
    assert held < 50e6


def test_too_short_a_window_and_too_far_an_offset_are_refused_with_numbers():
    short = make_readouts(1)
    object.__setattr__(short, "n_raw", np.array([4], np.int32))
    with pytest.raises(CompileError, match=r"holds 4 raw samples[\s\S]*Lengthen the readout"):
        ReceiveFilter(short, CLOCK_HZ)
    far = make_readouts(1, ratio=4.0, frequency_hz=200e3)
    with pytest.raises(CompileError, match=r"200\.\d kHz off[\s\S]*nearer to the isocenter"):
        ReceiveFilter(far, CLOCK_HZ)


def test_channels_are_filtered_as_each_alone_would_be():
    readouts = make_readouts(5, phase_rad=0.4, frequency_hz=300.0)
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(3, int(readouts.n_raw.sum()), 2)).astype(np.float32).view(np.complex64)[..., 0]
    receive = ReceiveFilter(readouts, CLOCK_HZ)
    together = receive.apply(raw, readouts)
    assert together.shape == (5, 3, 64)
    for channel in range(3):
        np.testing.assert_allclose(together[:, channel], receive.apply(raw[channel], readouts), atol=1e-6)
    cut = raw[:, : int(readouts.n_raw[:3].sum()) + 7]
    assert receive.apply(cut, readouts).shape == (3, 3, 64)
    assert [window.shape[0] for window in receive.split(cut, readouts)] == [3, 3, 3]
