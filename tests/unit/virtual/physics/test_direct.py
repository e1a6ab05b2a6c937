# SPDX-License-Identifier: MIT
"""Scans without a wire: what belongs to the image, what to the noise, what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import ReceiverFaults
from isocenter.sequences.build import build
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.receive_chain import NOISE_PER_SQRT_HZ
from isocenter.virtual.physics.scenario import find_scenario

PLACE = place(Orientation.AXIAL)
GRE = {"n_phase": 4, "n_slab": 2, "n_read": 32, "dummy_shots": 0}


@pytest.fixture(scope="module")
def scanner():
    return load_scanner("osii-one")


@pytest.fixture(scope="module")
def gre(scanner):
    text = build("gre_3d", GRE, scanner).seq
    return compile_scan(read_pulseq(text), scanner, nominal_calibration(scanner), PLACE)


def small(name, **changes):
    return replace(find_scenario(name), n_spins=1000, **changes)


def labelled(scan, **labels):
    values = {name: np.array(value, dtype=np.int32) for name, value in labels.items()}
    readouts = replace(scan.readouts, labels=scan.readouts.labels | values)
    edges = np.cumsum([0, *(len(segment.readouts) for segment in scan.segments)])
    segments = tuple(
        replace(segment, readouts=replace(segment.readouts, labels=readouts.slice(int(a), int(b)).labels))
        for segment, a, b in zip(scan.segments, edges[:-1], edges[1:], strict=True)
    )
    return replace(scan, readouts=readouts, segments=segments)


def test_noise_readouts_come_apart_and_navigators_are_left_out(scanner, gre):
    n = len(gre.readouts)
    scan = labelled(gre, NOISE=[1, 1] + [0] * (n - 2), NAV=[0] * (n - 1) + [1])
    plain = simulate(gre, scanner, small("ideal-block"), PLACE)
    raw = simulate(scan, scanner, small("ideal-block"), PLACE)
    np.testing.assert_array_equal(raw.samples, plain.samples[2:-1])
    np.testing.assert_array_equal(raw.noise, plain.samples[:2])
    np.testing.assert_array_equal(raw.label("LIN"), plain.label("LIN")[2:-1])
    np.testing.assert_array_equal(raw.time_s, plain.time_s[2:-1])
    assert raw.n_expected == n - 3
    whole = simulate(scan, scanner, small("ideal-block"), PLACE, with_navigators=True)
    np.testing.assert_array_equal(whole.samples, plain.samples[2:])
    assert whole.label("NAV").tolist() == [0] * (n - 3) + [1]


def test_the_same_seed_gives_the_same_noise_and_another_seed_does_not(scanner, gre):
    noisy = small("uniform", receiver=ReceiverFaults(noise=1.0))
    first, again = (simulate(gre, scanner, noisy, PLACE, n_threads=threads).samples for threads in (1, 2))
    np.testing.assert_array_equal(first, again)
    other = simulate(gre, scanner, replace(noisy, seed=2), PLACE).samples
    assert not np.array_equal(first, other)


def test_noise_that_passed_the_receive_filter_has_the_level_of_the_samples_own_bandwidth(scanner):
    text = build("noise", {"n_samples": 2048, "windows": 8}, scanner).seq
    scan = compile_scan(read_pulseq(text), scanner, nominal_calibration(scanner), PLACE)
    raw = simulate(scan, scanner, small("uniform", receiver=ReceiverFaults(noise=1.0)), PLACE)
    assert raw.encoding is None
    expected = NOISE_PER_SQRT_HZ * np.sqrt(1 / raw.dwell_s)
    assert raw.samples.real.std() == pytest.approx(expected, rel=0.05)
    assert raw.samples.imag.std() == pytest.approx(expected, rel=0.05)


def test_shape_type_and_times_follow_the_compiled_scan(scanner, gre):
    raw = simulate(gre, scanner, small("ideal-vials"), PLACE, name="GRE")
    assert raw.samples.shape == (8, 1, gre.encoding.n_samples)
    assert raw.samples.dtype == np.complex64
    assert raw.time_s[0] == pytest.approx(gre.readouts.first_sample_tick[0] / gre.clock_hz)
    assert np.diff(raw.time_s) == pytest.approx(gre.facts.tr_s, rel=1e-6)
    assert (raw.name, raw.sensor_channels, raw.noise) == ("GRE", (), None)


def test_twelve_sensors_beside_four_coils(scanner, gre):
    crowd = small("noisy-ward")
    crowd = replace(crowd, n_sensors=12, coil=replace(crowd.coil, n_receive=4))
    raw = simulate(gre, scanner, crowd, PLACE)
    assert raw.samples.shape[:2] == (8, 16)
    assert raw.sensor_channels == tuple(range(4, 16))
    assert np.all(np.abs(raw.samples).mean(axis=(0, 2)) > 5e-4)
    few = simulate(gre, scanner, replace(crowd, n_sensors=2), PLACE)
    np.testing.assert_array_equal(few.samples, raw.samples[:, :6])
