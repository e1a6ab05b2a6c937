# SPDX-License-Identifier: MIT
"""Readouts that differ for no good reason are made alike: both polarities of an echo planar scan, the echoes of a train."""

import numpy as np
import pytest
from recon_scans import before, head, kspace_of, of_kspace, replace

from isocenter.domain.errors import ReconError
from isocenter.domain.events import ScanFacts
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.pipeline import StepOrder
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.reference_train import echo_gains
from isocenter.recon.trains import echo_numbers

PLACE = place(Orientation.AXIAL)
SIZE = (1, 64, 64)


def with_first(step, **parameters):
    return before(tuple(o for o in CARTESIAN if o.step != step), "sort", StepOrder(step=step, parameters=parameters))


def without(step):
    return tuple(o for o in CARTESIAN if o.step != step)


def image_of(raw, pipeline):
    return reconstruct(raw, pipeline=pipeline)[0]


@pytest.fixture(scope="module")
def clean():
    return of_kspace(kspace_of(head(SIZE, phase_rad=0.3), SIZE)[np.newaxis], PLACE)


def noisy(samples, level, seed=1):
    rng = np.random.default_rng(seed)
    size = level * 0.02
    noise = rng.normal(size=samples.shape) + 1j * rng.normal(size=samples.shape)
    return (samples + size * noise).astype(np.complex64)


def turned(samples, constant_rad, shift):
    """Lines with a constant phase, and k = 0 moved by some samples."""
    image = np.fft.fft(samples, axis=-1)
    n = samples.shape[-1]
    image = image * np.exp(1j * constant_rad) * np.exp(-2j * np.pi * np.fft.fftfreq(n) * shift)
    return np.fft.ifft(image, axis=-1)


def echo_planar(clean, constant_rad, shift, *, references=0, noise=0.0):
    """Every second line read backwards, with the phase that gradient delay and eddy currents give it."""
    n = len(clean.samples)
    backwards = (clean.labels["LIN"] % 2 == 1).astype(np.int32)
    samples = clean.samples.copy()
    labels = {**clean.labels, "REV": backwards}
    if references:
        middle = samples[labels["LIN"] == 32]
        samples = np.concatenate([samples, np.repeat(middle, references, axis=0)])
        labels = {name: np.concatenate([values, np.zeros(references, np.int32)]) for name, values in labels.items()}
        labels["LIN"][n:] = 32
        labels["REV"][n:] = np.arange(references) % 2
        labels["REF"] = (np.arange(n + references) >= n).astype(np.int32)
    back = labels["REV"] == 1
    samples[back] = turned(samples[back], constant_rad, shift)
    samples = noisy(samples, noise)
    samples[back] = samples[back][:, :, ::-1]
    return replace(clean, samples=samples.astype(np.complex64), labels=labels)


def ghost_part(image, truth):
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("method", ["reference", "entropy", "auto"])
@pytest.mark.parametrize(("constant_rad", "shift"), [(0.4, 0.0), (-0.7, 0.6), (0.9, -1.3), (0.0, 0.25)])
def test_the_ghost_of_reversed_readouts_goes(clean, method, constant_rad, shift):
    raw = echo_planar(clean, constant_rad, shift, references=2 if method == "reference" else 0, noise=0.01)
    truth = image_of(clean, without("ghost")).data
    left = image_of(raw, without("ghost")).data
    found = image_of(raw, with_first("ghost", method=method))
    floor = ghost_part(image_of(echo_planar(clean, 0, 0, noise=0.01), without("ghost")).data, truth)
    assert ghost_part(left, truth) > 0.1
    assert ghost_part(found.data, truth) - floor < 0.05 * ghost_part(left, truth)
    said = dict(found.provenance)["ghost"]
    assert said.startswith("from reference" if method == "reference" else "from entropy")


def test_the_phase_found_is_the_phase_put_in(clean):
    raw = echo_planar(clean, -0.7, 0.6, references=4)
    said = dict(image_of(raw, with_first("ghost")).provenance)["ghost"]
    assert said.startswith("from reference lines: up to -0.700 rad and -0.600 samples")


def test_a_scan_without_ghost_keeps_its_image(clean):
    raw = echo_planar(clean, 0.0, 0.0)
    truth = image_of(raw, without("ghost")).data
    found = image_of(raw, with_first("ghost", method="entropy")).data
    assert ghost_part(found, truth) < 0.01
    one_way = image_of(clean, with_first("ghost"))
    np.testing.assert_array_equal(one_way.data, image_of(clean, without("ghost")).data)
    assert "same way" in dict(one_way.provenance)["ghost"]


def test_echoes_that_all_run_one_way_have_no_ghost(clean):
    # The second echo of a bipolar gradient echo is reversed as a whole: nothing to compare within a volume.
    n = len(clean.samples)
    back = clean.samples[:, :, ::-1]
    labels = {name: np.tile(values, 2) for name, values in clean.labels.items()}
    labels |= {"REV": np.repeat([0, 1], n).astype(np.int32), "ECO": np.repeat([0, 1], n).astype(np.int32)}
    raw = replace(clean, samples=np.concatenate([clean.samples, back]), labels=labels, n_expected=2 * n)
    volumes = reconstruct(raw, pipeline=with_first("ghost"))
    assert "same way" in dict(volumes[1].provenance)["ghost"]
    for volume, same in zip(volumes, reconstruct(raw, pipeline=without("ghost")), strict=True):
        np.testing.assert_array_equal(volume.data, same.data)


def test_missing_or_useless_reference_lines_are_said(clean):
    raw = echo_planar(clean, 0.5, 0.0)
    volume = image_of(raw, with_first("ghost", method="reference"))
    assert "no reference lines of both polarities" in dict(volume.skipped)["ghost"]
    raw = echo_planar(clean, 0.5, 0.0, references=2)
    raw.samples[-2:] = noisy(np.zeros_like(raw.samples[-2:]) + 1e-3, 1.0) * np.random.default_rng(1).normal(size=64)
    volume = image_of(raw, with_first("ghost"))
    assert "agree only by" in dict(volume.skipped)["ghost"]


N_ECHOES = 8


def train(shape, phases_rad, amplitudes, *, has_reference=False, noise=0.0, labels_seg=True):
    """A linear order: echo e measures the band of lines [e n / 8, (e + 1) n / 8)."""
    raw = of_kspace(kspace_of(head(shape, phase_rad=0.3), shape)[np.newaxis], PLACE)
    n_lin = shape[1]
    band = n_lin // N_ECHOES
    echoes = raw.labels["LIN"] // band
    order = np.lexsort((echoes, raw.labels["LIN"] % band, raw.labels["PAR"]))
    samples = raw.samples[order]
    labels = {name: values[order] for name, values in raw.labels.items()}
    echoes = echoes[order]
    time_s = np.arange(len(order)) // N_ECHOES * 0.5 + echoes * 0.01
    if has_reference:
        middle = samples[(labels["LIN"] == n_lin // 2) & (labels["PAR"] == shape[0] // 2)]
        samples = np.concatenate([np.repeat(middle, N_ECHOES, axis=0), samples])
        labels = {name: np.concatenate([np.zeros(N_ECHOES, np.int32), values]) for name, values in labels.items()}
        labels["LIN"][:N_ECHOES] = n_lin // 2
        labels["REF"] = (np.arange(len(samples)) < N_ECHOES).astype(np.int32)
        echoes = np.concatenate([np.arange(N_ECHOES), echoes])
        time_s = np.concatenate([np.arange(N_ECHOES) * 0.01, time_s + 0.5])
    factor = (amplitudes * np.exp(1j * phases_rad))[echoes]
    samples = noisy(samples * factor[:, np.newaxis, np.newaxis], noise)
    if labels_seg:
        labels["SEG"] = echoes.astype(np.int32)
    facts = ScanFacts(**dict.fromkeys(ScanFacts.__dataclass_fields__, 0.0) | {"echo_train_length": N_ECHOES})
    return replace(
        raw, samples=samples.astype(np.complex64), labels=labels, time_s=time_s, facts=facts, n_expected=len(samples)
    )


PHASES = np.array([0.5, -0.4, 0.3, -0.2, 0.0, 0.35, -0.45, 0.2])
FLAT = np.ones(N_ECHOES)
DECAY = np.exp(-np.arange(N_ECHOES) / 6) / np.exp(-4 / 6)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_phases_of_echoes_go_with_a_reference_train(noise):
    truth = image_of(train(SIZE, 0 * PHASES, FLAT), without("echo_train")).data
    raw = train(SIZE, PHASES, FLAT, has_reference=True, noise=noise)
    left = ghost_part(image_of(raw, without("echo_train")).data, truth)
    found = image_of(raw, with_first("echo_train"))
    floor = ghost_part(image_of(train(SIZE, 0 * PHASES, FLAT, noise=noise), without("echo_train")).data, truth)
    assert left > 0.04
    assert ghost_part(found.data, truth) - floor < 0.05 * left
    assert "from the reference train: phases up to 0.500 rad against echo 5" in dict(found.provenance)["echo_train"]


def test_amplitudes_of_echoes_go_too_when_asked():
    truth = image_of(train(SIZE, 0 * PHASES, FLAT), without("echo_train")).data
    raw = train(SIZE, PHASES, DECAY, has_reference=True)
    left = ghost_part(image_of(raw, with_first("echo_train")).data, truth)
    found = ghost_part(image_of(raw, with_first("echo_train", amplitude="equal")).data, truth)
    assert left > 0.05
    assert found < 0.05 * left


def shifted(raw, samples_by_echo):
    """k = 0 of every echo moved along the readout."""
    samples = raw.samples.copy()
    for echo, shift in enumerate(samples_by_echo):
        rows = raw.labels["SEG"] == echo
        samples[rows] = turned(samples[rows], 0.0, shift)
    return replace(raw, samples=samples.astype(np.complex64))


def test_echoes_whose_centres_lie_apart_are_brought_together():
    truth = image_of(train(SIZE, 0 * PHASES, FLAT), without("echo_train")).data
    raw = shifted(train(SIZE, PHASES, FLAT, has_reference=True, noise=0.01), np.tile([0.7, 0.0], 4))
    left = ghost_part(image_of(raw, without("echo_train")).data, truth)
    found = image_of(raw, with_first("echo_train", method="measured"))
    floor = ghost_part(image_of(train(SIZE, 0 * PHASES, FLAT, noise=0.01), without("echo_train")).data, truth)
    assert left > 0.2
    assert ghost_part(found.data, truth) - floor < 0.05 * left
    assert "up to 0.700 samples" in dict(found.provenance)["echo_train"]


def test_sensors_of_interference_have_no_say():
    raw = train(SIZE, PHASES, FLAT, has_reference=True, noise=0.01)
    loud = 100 * noisy(np.zeros_like(raw.samples), 1.0, seed=4)
    both = replace(raw, samples=np.concatenate([raw.samples, loud], axis=1), sensor_channels=(1,))
    found, alone = (image_of(scan, with_first("echo_train", method="measured")) for scan in (both, raw))
    assert dict(found.provenance)["echo_train"] == dict(alone.provenance)["echo_train"]
    np.testing.assert_allclose(found.data, alone.data, rtol=1e-5, atol=1e-6 * alone.data.max())


def test_measured_does_nothing_without_a_reference_train_and_is_not_skipped():
    raw = train(SIZE, PHASES, FLAT)
    found = image_of(raw, with_first("echo_train", method="measured", amplitude="even"))
    np.testing.assert_array_equal(found.data, image_of(raw, without("echo_train")).data)
    assert not found.skipped
    assert dict(found.provenance)["echo_train"].startswith("no reference train, so nothing to go by")
    asked = image_of(raw, with_first("echo_train", method="reference"))
    assert "There is no reference train" in dict(asked.skipped)["echo_train"]


@pytest.mark.parametrize("amplitude", ["leave", "even"])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_echoes_that_do_not_differ_stay_bit_by_bit(noise, amplitude):
    raw = train(SIZE, 0 * PHASES, DECAY, has_reference=True, noise=noise)
    found = image_of(raw, with_first("echo_train", method="measured", amplitude=amplitude))
    np.testing.assert_array_equal(found.data, image_of(raw, without("echo_train")).data)
    assert "no phase of an echo stands out" in dict(found.provenance)["echo_train"]


def test_a_reference_train_lost_in_noise_changes_nothing_and_says_so():
    raw = train(SIZE, PHASES, FLAT, has_reference=True)
    is_reference = raw.labels["REF"] == 1
    samples = raw.samples.copy()
    samples[is_reference] = noisy(0.001 * samples[is_reference], 1.0)
    raw = replace(raw, samples=samples)
    found = image_of(raw, with_first("echo_train", method="measured", amplitude="equal"))
    assert "reference train is too weak: noise hides the phase of" in dict(found.skipped)["echo_train"]
    np.testing.assert_array_equal(found.data, image_of(raw, without("echo_train")).data)


def test_the_weaker_the_reference_the_less_is_changed_and_never_for_the_worse():
    truth = image_of(train(SIZE, 0 * PHASES, FLAT), without("echo_train")).data
    for level in (0.02, 0.1, 0.3, 1.0):
        before_it, after = [], []
        for seed in range(8):
            raw = train(SIZE, 0.15 * PHASES, FLAT, has_reference=True)
            is_reference, samples = raw.labels["REF"] == 1, raw.samples.copy()
            samples[is_reference] = noisy(samples[is_reference], level, seed)
            raw = replace(raw, samples=samples)
            before_it.append(ghost_part(image_of(raw, without("echo_train")).data, truth))
            after.append(ghost_part(image_of(raw, with_first("echo_train")).data, truth))
        assert np.mean(after) < 1.05 * np.mean(before_it)
        assert level > 0.05 or np.mean(after) < 0.2 * np.mean(before_it)


OSCILLATING = DECAY * np.array([0.9, 1.08, 0.95, 1.03, 1.0, 1.02, 0.99, 1.0])


def test_even_takes_what_oscillates_and_leaves_the_decay():
    decayed = image_of(train(SIZE, 0 * PHASES, DECAY), without("echo_train")).data
    raw = train(SIZE, 0 * PHASES, OSCILLATING, has_reference=True)
    left = ghost_part(image_of(raw, without("echo_train")).data, decayed)
    found = image_of(raw, with_first("echo_train", amplitude="even"))
    assert left > 0.015
    assert ghost_part(found.data * np.vdot(found.data, decayed) / np.vdot(found.data, found.data), decayed) < 0.5 * left
    assert "strength changed by" in dict(found.provenance)["echo_train"]


def test_gains_are_bounded_by_noise_and_by_the_limit():
    amplitude = np.array([1.0, 0.5, 0.1, 0.01, 1e-6, np.nan])
    free = echo_gains(amplitude, 0.0, 1e9)
    np.testing.assert_allclose(free[:4], [1, 2, 10, 100], rtol=1e-6)
    assert free[5] == 1
    assert echo_gains(amplitude, 0.0, 3.0).max() == 3
    careful = echo_gains(amplitude, 0.1, 1e9)
    assert careful[0] == pytest.approx(1)
    assert 1.8 < careful[1] < 2
    assert careful.max() < 1 / (2 * 0.1) * 1.02  # the largest a Wiener filter ever gives
    assert careful[4] < 0.01  # pure noise is not raised


def test_noise_in_late_echoes_is_not_raised_without_bound():
    faint = np.exp(-np.arange(N_ECHOES) * 1.2) / np.exp(-4 * 1.2)
    raw = train(SIZE, 0 * PHASES, faint, has_reference=True, noise=0.1)
    found = image_of(raw, with_first("echo_train", amplitude="equal", factor=20.0))
    noise_only = replace(raw, samples=np.where((raw.labels["REF"] == 1)[:, None, None], raw.samples, 0))
    rng = np.random.default_rng(5)
    grain = (rng.normal(size=raw.samples.shape) + 1j * rng.normal(size=raw.samples.shape)).astype(np.complex64)
    noise_only.samples[raw.labels["REF"] == 0] = grain[raw.labels["REF"] == 0]
    raised = np.sqrt(np.mean(image_of(noise_only, with_first("echo_train", amplitude="equal", factor=20.0)).data ** 2))
    plain = np.sqrt(np.mean(image_of(noise_only, without("echo_train")).data ** 2))
    said = dict(found.provenance)["echo_train"]
    bound = float(said.split(" to ")[-1].split(",")[0].split(";")[0])
    assert bound < 20
    assert raised <= 1.02 * bound * plain


@pytest.mark.parametrize("shape", [SIZE, (16, 64, 64)])
@pytest.mark.parametrize(("noise", "left_over"), [(0.0, 0.2), (0.01, 0.3)])
def test_phases_of_echoes_are_found_from_the_background(shape, noise, left_over):
    truth = image_of(train(shape, 0 * PHASES, FLAT), without("echo_train")).data
    raw = train(shape, PHASES, FLAT, noise=noise, labels_seg=False)
    left = ghost_part(image_of(raw, without("echo_train")).data, truth)
    found = image_of(raw, with_first("echo_train", method="background"))
    floor = ghost_part(image_of(train(shape, 0 * PHASES, FLAT, noise=noise), without("echo_train")).data, truth)
    assert not found.skipped
    assert ghost_part(found.data, truth) ** 2 - floor**2 < left_over**2 * (left**2 - floor**2)


def test_a_train_without_errors_keeps_its_image():
    raw = train(SIZE, 0 * PHASES, FLAT, noise=0.01)
    truth = image_of(raw, without("echo_train")).data
    assert ghost_part(image_of(raw, with_first("echo_train")).data, truth) < 0.02


def test_when_nothing_tells_the_phases_it_is_said():
    raw = train(SIZE, PHASES, FLAT, noise=3.0)
    volume = image_of(raw, with_first("echo_train"))
    assert "there is no background to tell" in dict(volume.skipped)["echo_train"]
    np.testing.assert_array_equal(volume.data, image_of(raw, without("echo_train")).data)
    nameless = replace(raw, time_s=np.zeros(0), labels={k: v for k, v in raw.labels.items() if k != "SEG"})
    volume = image_of(nameless, with_first("echo_train"))
    assert "which echo of its train" in dict(volume.skipped)["echo_train"]
    with pytest.raises(ReconError, match=r"which echo[\s\S]*SEG"):
        echo_numbers(nameless)


def test_echo_numbers_from_times_bridge_echoes_left_out():
    raw = train(SIZE, PHASES, FLAT, labels_seg=False)
    expected = np.tile(np.arange(N_ECHOES), 8)
    np.testing.assert_array_equal(echo_numbers(raw), expected)
    keep = np.ones(len(expected), dtype=bool)
    keep[[3, 4, 7, 15, 21]] = False  # in mid-train and at the end
    rows = np.flatnonzero(keep)
    cut = replace(
        raw, samples=raw.samples[rows], time_s=raw.time_s[rows], labels={k: v[rows] for k, v in raw.labels.items()}
    )
    np.testing.assert_array_equal(echo_numbers(cut), expected[rows])


def test_decay_along_the_train_is_undone_and_its_price_said():
    truth = image_of(train(SIZE, 0 * PHASES, FLAT), without("deblur")).data
    spacing_s, t2_s = 0.01, 0.06  # DECAY is exp(-echo / 6)
    raw = train(SIZE, 0 * PHASES, DECAY)
    left = ghost_part(image_of(raw, without("deblur")).data, truth)
    found = image_of(raw, with_first("deblur", t2_s=t2_s, noise=0.01))
    assert spacing_s / t2_s == pytest.approx(1 / 6)
    assert left > 0.03
    assert ghost_part(found.data, truth) < 0.05 * left
    gain = np.sqrt(np.mean((1 / DECAY) ** 2))
    assert dict(found.provenance)["deblur"].startswith(f"noise is {gain:.2f} times")
    careful = image_of(raw, with_first("deblur", t2_s=t2_s, noise=1.0))
    assert 0.05 * left < ghost_part(careful.data, truth) < left


def test_deblurring_needs_to_know_the_echoes():
    raw = train(SIZE, 0 * PHASES, DECAY)
    timeless = replace(raw, time_s=np.zeros(0))
    assert "how far apart" in dict(image_of(timeless, with_first("deblur")).skipped)["deblur"]
    told = replace(timeless, definitions={"EchoSpacing": "0.01"})
    assert not image_of(told, with_first("deblur")).skipped
    single = image_of(of_kspace(kspace_of(head(SIZE), SIZE)[np.newaxis], PLACE), with_first("deblur"))
    assert "which echo" in dict(single.skipped)["deblur"]
