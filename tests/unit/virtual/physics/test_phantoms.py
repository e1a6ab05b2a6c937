# SPDX-License-Identifier: MIT
"""Phantoms lie where they should, weigh what they should, and their images look like them."""

import numpy as np
import pytest

from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.virtual.phantoms.catalogue import PHANTOMS
from isocenter.virtual.phantoms.simple import BLOCK_SIZE_M, BOX_SIZE_M, CYLINDER_RADIUS_M, MARKER_LPS_M, MARKER_RADIUS_M
from isocenter.virtual.phantoms.vials import VIAL_CIRCLE_M, VIALS
from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.phantoms import SIGNAL_PER_M3, density_map, label_map, phantom_spins

from .lab import LARMOR_HZ, Table, make_scanner, sampled, tick

RNG = np.random.default_rng(11)


def grid_lps(size_m, n):
    axis = (np.arange(n) - (n - 1) / 2) * size_m / n
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


@pytest.mark.parametrize("position", list(PatientPosition))
def test_the_marker_is_at_its_place_in_the_patient_however_he_lies(position):
    spins = phantom_spins("block", n_spins=20000, position=position)
    in_marker = spins.tissue == 1
    centre_lps = lps_from_device(position) @ spins.position_m[in_marker].astype(float).mean(axis=0)
    assert centre_lps == pytest.approx(MARKER_LPS_M, abs=5e-4)


@pytest.mark.parametrize("name", ["head", "block"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_flip_is_seen(name, axis):
    labels = label_map(name, grid_lps(0.24, 60))
    assert (labels != np.flip(labels, axis)).mean() > 5e-4


@pytest.mark.parametrize("name", list(PHANTOMS))
def test_weights_add_up_to_the_volume(name):
    spins, phantom, n = phantom_spins(name, n_spins=20000), PHANTOMS[name], 70
    low, size = np.array(phantom.low_m), np.subtract(phantom.high_m, phantom.low_m)
    places = low + size * (np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1) + RNG.random((n, n, n, 3))) / n
    truth = density_map(phantom, places, np.eye(3), supersample=1).mean() * np.prod(size)
    assert np.abs(spins.weight.sum()) == pytest.approx(truth * SIGNAL_PER_M3, rel=0.02)
    assert len(spins) == pytest.approx(20000, rel=0.05)
    inside = label_map(name, spins.position_m @ lps_from_device(PatientPosition.HFS).T)
    assert np.mean(inside == spins.tissue + 1) > 0.999


def test_known_sizes():
    half = np.array(BOX_SIZE_M) / 2
    places = np.array([half * 0.99, half * [1.01, 0.9, 0.9], half * [0.9, 1.01, 0.9], half * [0.9, 0.9, 1.01]])
    assert label_map("box", places).tolist() == [1, 0, 0, 0]
    radius = CYLINDER_RADIUS_M
    assert label_map("cylinder", np.array([[0, 0.99 * radius, 0.05], [0, 1.01 * radius, 0.05]])).tolist() == [1, 0]
    marker = np.array(MARKER_LPS_M)
    edge = MARKER_RADIUS_M * np.array([[0.99, 0, 0], [1.01, 0, 0]])
    assert label_map("block", marker + edge).tolist() == [2, 1]
    assert max(np.abs(MARKER_LPS_M) * 2) < min(BLOCK_SIZE_M)


def test_vials_hold_what_they_say():
    angle = 2 * np.pi * np.arange(len(VIALS)) / len(VIALS)
    centres = VIAL_CIRCLE_M * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    image = density_map("vials", centres, np.eye(3) * 1e-3, te_s=0.05, tr_s=0.4)
    expected = [v.density * np.exp(-0.05 / v.t2_s) * (1 - np.exp(-0.4 / v.t1_s)) for v in VIALS]
    assert image == pytest.approx(expected)


def test_tissues_have_their_relaxation_at_50_millitesla():
    found = {t.name: (t.t1_s, t.t2_s) for t in PHANTOMS["head"].tissues}
    assert found["white matter"] == (0.275, 0.102)
    assert found["grey matter"] == (0.327, 0.102)
    assert found["csf"] == (3.695, 1.584)
    assert found["muscle"] == (0.171, 0.039)
    assert found["fat"] == (0.130, 0.090)


def test_the_same_seed_gives_the_same_spins():
    first, again, other = (phantom_spins("head", n_spins=3000, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.position_m, again.position_m)
    assert np.array_equal(first.offset_hz, again.offset_hz)
    assert len(first) != len(other) or not np.array_equal(first.position_m, other.position_m)


def test_crushers_leave_nothing_of_a_uniform_sphere():
    spins = phantom_spins("sphere", n_spins=100_000)
    weight = spins.weight / spins.weight.sum()
    for axis in range(3):
        for k in (400.0, 1000.0, 2000.0, 3000.0):
            left = np.abs((weight * np.exp(2j * np.pi * k * spins.position_m[:, axis].astype(float))).sum())
            assert left < 0.015


def test_an_unknown_phantom_is_refused_with_a_list():
    with pytest.raises(ConfigError, match=r"'heart'.*\n.*head, block"):
        phantom_spins("heart")


def test_a_scan_of_the_block_looks_like_the_block():
    """3D gradient echo of 24 x 24 x 12 by hand; the image must be the phantom in device axes, flips included."""
    shape, fov = (12, 24, 24), np.array([0.16, 0.16, 0.16])  # (z, y, x), FOV along x, y, z
    simulator = Simulator(phantom_spins("block", n_spins=30000, has_t2_prime=False), make_scanner())
    kspace = np.zeros(shape, complex)
    dwell_s, step = 20e-6, 1e-3
    for iz in range(shape[0]):
        for iy in range(shape[1]):
            table = Table()
            table.hard(1e-3, np.pi / 2, np.pi / 2, 25e-6)  # about +y: starts along +x, so the image is real
            table.grad(2, 2e-3, 2e-3 + step, (iz - shape[0] // 2) / fov[2] / step)
            table.grad(1, 2e-3, 2e-3 + step, (iy - shape[1] // 2) / fov[1] / step)
            read_hz_per_m = 1 / dwell_s / fov[0]
            table.grad(0, 2e-3, 2e-3 + step, -12 * dwell_s * read_hz_per_m / step)
            table.grad(0, 4e-3, 4e-3 + 26 * dwell_s, read_hz_per_m)
            simulator.reset()
            window = sampled(4e-3, dwell_s, 24)
            kspace[iz, iy] = simulator.play(table.tracks(), [window], end_tick=tick(6e-3), lo_hz=LARMOR_HZ)[0]
    image = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(kspace))).real
    expected = band_limited("block", shape, fov, factor=3, te_s=3.5e-3)
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.995


def band_limited(name, shape, fov, factor, te_s):
    """Truth on a finer grid in device axes, cut to the k-space that was measured."""
    fine = np.array(shape) * factor
    axes = [(np.arange(n) - n // 2) * size / n for n, size in zip(fine, fov[::-1], strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    matrix = lps_from_device(PatientPosition.HFS)
    truth = density_map(
        name, np.stack([x, y, z], -1) @ matrix.T, np.diag(fov / fine[::-1]) @ matrix.T, te_s=te_s, supersample=2
    )
    spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))
    first = fine // 2 - np.array(shape) // 2
    cut = spectrum[tuple(slice(f, f + n) for f, n in zip(first, shape, strict=True))]
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(cut))).real
