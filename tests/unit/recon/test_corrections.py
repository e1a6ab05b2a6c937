# SPDX-License-Identifier: MIT
"""Corrections as steps of a pipeline: each undoes what was put into known data, and says what it did."""

import dataclasses

import numpy as np
import pytest
from recon_scans import before, head, kspace_of, make_scan, of_kspace, replace, with_step

from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.pipeline import StepOrder
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN, NONCARTESIAN
from isocenter.recon.options import ReconOptions
from isocenter.recon.places import voxel_positions_m
from isocenter.recon.plan import plan_cartesian
from isocenter.recon.steps.distortion import measured_field

PLACE = place(Orientation.AXIAL)
SIZE = (1, 64, 64)


def noise(rng, shape, level=1.0):
    return level * (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def without(*names):
    return tuple(order for order in CARTESIAN if order.step not in names)


def error(image, truth):
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def clean():
    raw = of_kspace(kspace_of(head(SIZE), SIZE)[np.newaxis], PLACE)
    return replace(raw, time_s=np.arange(len(raw.samples)) * 0.1)


def test_interference_that_sensors_hear_goes(clean):
    rng = np.random.default_rng(1)
    n = len(clean.samples)
    source = noise(rng, (n, 64))
    heard = [source * gain + noise(rng, (n, 64), 0.02) for gain in (1.0, 0.6j, -0.8)]
    coil = clean.samples[:, 0] + 0.02 * source * np.exp(1j * np.linspace(0, 1, n))[:, np.newaxis]
    raw = replace(clean, samples=np.stack([coil, *heard], axis=1).astype(np.complex64), sensor_channels=(1, 2, 3))
    truth = reconstruct(clean, pipeline=without("interference"))[0].data
    left = reconstruct(raw, pipeline=without("interference"))[0].data
    found = reconstruct(raw)[0]
    air = truth < 0.03 * truth.max()
    assert left[air].mean() - truth[air].mean() > 5 * truth[air].mean()
    assert found.data[air].mean() < 0.25 * left[air].mean()
    assert "before" in dict(found.provenance)["interference"]


def test_a_scan_without_interference_or_sensors_stays_as_it_is(clean):
    rng = np.random.default_rng(2)
    quiet = noise(rng, (len(clean.samples), 2, 64), 0.02)
    raw = replace(clean, samples=np.concatenate([clean.samples, quiet], axis=1), sensor_channels=(1, 2))
    found = reconstruct(raw)[0]
    np.testing.assert_array_equal(found.data, reconstruct(clean)[0].data)
    assert "explain nothing" in dict(found.provenance)["interference"]
    assert "no sensor channels" in dict(reconstruct(clean)[0].provenance)["interference"]


def test_a_tone_goes_and_a_quiet_scan_stays_as_it_is(clean):
    rng = np.random.default_rng(6)
    shape = clean.samples.shape
    quiet = replace(clean, samples=clean.samples + noise(rng, shape, 1e-3), noise=noise(rng, (64, *shape[1:]), 1e-3))
    turns = 0.31 * np.arange(64)
    tone = 0.05 * np.exp(2j * np.pi * (turns + rng.uniform(size=(shape[0], 1, 1))))
    also = 0.05 * np.exp(2j * np.pi * (turns + rng.uniform(size=(64, 1, 1))))
    loud = replace(
        quiet, samples=(quiet.samples + tone).astype(np.complex64), noise=(quiet.noise + also).astype(np.complex64)
    )
    orders = before(without("whiten"), "average", StepOrder(step="tones"))
    truth = reconstruct(quiet, pipeline=without("whiten"))[0].data
    left = reconstruct(loud, pipeline=without("whiten"))[0].data
    found = reconstruct(loud, pipeline=orders)[0]
    assert error(found.data, truth) < 0.2 * error(left, truth)
    assert dict(found.provenance)["tones"].startswith(f"{0.31 / clean.dwell_s:.0f} Hz")
    same = reconstruct(quiet, pipeline=orders)[0]
    np.testing.assert_array_equal(same.data, truth)
    assert "no tone was found" in dict(same.provenance)["tones"]


def test_brightness_is_evened_out():
    shape = (8, 48, 48)
    fall = np.exp(-np.linspace(0, 1.6, 96))[np.newaxis, np.newaxis, :]
    ball = np.abs(head(shape)) > 0.1
    kspace = kspace_of(ball * fall, shape)[np.newaxis]
    raw = of_kspace(kspace + noise(np.random.default_rng(3), kspace.shape, 2e-5), PLACE)
    plain = reconstruct(raw)[0].data
    found = reconstruct(raw, pipeline=(*CARTESIAN, StepOrder(step="intensity")))[0]
    assert not found.skipped
    inside = np.s_[4, 24, 14:34]
    spread = [float(image[inside].max() / image[inside].min()) for image in (plain, found.data)]
    assert spread[1] - 1 < 0.5 * (spread[0] - 1)


def drifting(clean, change_hz, *, n_navigators):
    """A gradient echo whose frequency runs away evenly, with navigators of the central line in between."""
    n = len(clean.samples)
    rows = np.sort(np.concatenate([np.arange(n), np.linspace(0, n - 1, n_navigators).astype(int)]))
    is_navigator = np.concatenate([[False], np.diff(rows) == 0])
    source = np.where(is_navigator, 32, rows)
    time_s = np.arange(len(rows)) * 0.1
    evolution_s = 5e-3
    sample_s = evolution_s + (np.arange(64) - 32) * clean.dwell_s
    turn = np.exp(2j * np.pi * (change_hz * time_s / time_s[-1])[:, np.newaxis] * sample_s)
    labels = {name: values[source] for name, values in clean.labels.items()}
    labels["NAV"] = is_navigator.astype(np.int32)
    return replace(
        clean,
        samples=(clean.samples[source] * turn[:, np.newaxis]).astype(np.complex64),
        labels=labels,
        time_s=time_s,
        evolution_s=np.full(len(rows), evolution_s - 32 * clean.dwell_s),
        n_expected=len(rows),
    )


def test_drift_that_navigators_show_goes(clean):
    raw = drifting(clean, 800.0, n_navigators=9)
    truth = reconstruct(clean)[0].data
    left, found = reconstruct(raw, pipeline=without("drift"))[0].data, reconstruct(raw)[0]
    assert error(left, truth) > 0.3
    assert error(found.data, truth) < 0.05 * error(left, truth)
    said = dict(found.provenance)["drift"]
    assert float(said.split(" Hz")[0]) == pytest.approx(800, rel=0.02)


def test_without_navigators_drift_is_left_alone_unless_asked_for(clean):
    assert "no navigators" in dict(reconstruct(clean)[0].provenance)["drift"]
    asked = reconstruct(clean, pipeline=with_step(CARTESIAN, "drift", method="repeated"))[0]
    assert "no navigators and no line measured twice" in dict(asked.skipped)["drift"]
    timeless = reconstruct(replace(clean, time_s=np.zeros(0)), pipeline=with_step(CARTESIAN, "drift", method="repeated"))[0]
    assert "do not say when" in dict(timeless.skipped)["drift"]


@pytest.mark.parametrize("method", ["cartesian", "balanced"])
def test_drift_between_measurements_in_pauses_goes(clean, method):
    raw = drifting(clean, 300.0, n_navigators=0)
    if method == "balanced":  # its echo is refocused whatever the frequency is
        turn = np.exp(-2j * np.pi * 300.0 * raw.time_s / raw.time_s[-1] * 5e-3)
        raw = replace(raw, samples=(raw.samples * turn[:, None, None]).astype(np.complex64))
        raw = replace(raw, definitions={**raw.definitions, "SteadyState": "balanced"})
    truth, left = reconstruct(clean)[0].data, reconstruct(raw)[0].data
    found = reconstruct(replace(raw, drift_hz=300.0 * raw.time_s / raw.time_s[-1]))[0]
    assert error(left, truth) > 0.03
    assert error(found.data, truth) < 0.05 * error(left, truth)
    assert dict(found.provenance)["drift"].startswith("300.0 Hz from the oscillator")


class Shear:
    """A field that grows along device y."""

    def __init__(self, hz_per_m):
        self.hz_per_m = hz_per_m

    def frequency_hz(self, position_m):
        return self.hz_per_m * np.asarray(position_m)[..., 1]


POINTS = ((0.03, 0.02, 0.0), (-0.04, -0.05, 0.0), (0.0, 0.06, 0.0), (-0.06, 0.01, 0.0))


def sheared(placement, field, *, oversampling=2, shift_s=0.0):
    """Points whose signal also turns with the field's frequency while each line is read; LPS places."""
    raws = [
        make_scan(placement, [point], sizes=(48, 40, 1), oversampling=oversampling, centres=(48, 20, 0)) for point in POINTS
    ]
    device_from_lps = np.linalg.inv(placement.lps_from_logical @ placement.device_from_logical.T)
    total = np.zeros_like(raws[0].samples, dtype=np.complex128)
    for raw, point in zip(raws, POINTS, strict=True):
        hz = float(field.frequency_hz(device_from_lps @ np.array(point)))
        time_s = (np.arange(raw.samples.shape[2]) - 48) * raw.dwell_s + shift_s
        total += raw.samples * np.exp(2j * np.pi * hz * time_s)
    return replace(raws[0], samples=total.astype(np.complex64))


def places_of(volume, n):
    """LPS places of the n brightest peaks, centre of their mass."""
    data = np.abs(volume.data[0]).astype(float).copy()
    found = []
    for _ in range(n):
        row, column = np.unravel_index(data.argmax(), data.shape)
        part = np.s_[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        weights = data[part] ** 2
        rows, columns = np.mgrid[part]
        index = np.array([0, (rows * weights).sum() / weights.sum(), (columns * weights).sum() / weights.sum()])
        found.append(volume.geometry.lps_m(index))
        data[part] = 0
    return np.array(found)


def misplaced(volume):
    """Mean distance of each point's image from the point [m], in the plane of the picture."""
    found = places_of(volume, len(POINTS))
    return float(np.mean([np.linalg.norm((found - point)[:, :2], axis=1).min() for point in np.array(POINTS)]))


B0_STEPS = before(with_step(CARTESIAN, "transform", keeps_readout=True), "combine", StepOrder(step="b0"))


@pytest.mark.parametrize(
    "placement",
    [
        PLACE,
        place(Orientation.AXIAL, PatientPosition.HFP, swap_read_phase=True),
        place(Orientation.AXIAL, PatientPosition.FFS),
    ],
)
@pytest.mark.parametrize("method", ["auto", "model", "conjugate-phase"])
def test_points_in_an_uneven_field_come_back_to_their_places(placement, method):
    field = Shear(50e3)  # 5 kHz over 0.1 m: several voxels of the readout
    raw = sheared(placement, field)
    steps = with_step(B0_STEPS, "b0", method=method)
    (left,), (found,) = reconstruct(raw, pipeline=CARTESIAN), reconstruct(raw, pipeline=steps, field=field)
    assert found.data.shape == left.data.shape
    assert misplaced(left) > 0.006
    assert misplaced(found) < 0.2 * misplaced(left)
    assert "moved by up to" in dict(found.provenance)["b0"]


def test_two_echoes_of_a_scan_make_their_own_map():
    field = Shear(8e3)
    first, second = sheared(PLACE, field), sheared(PLACE, field, shift_s=2e-4)
    n = len(first.samples)
    wide = [kspace_like(raw, field, shift_s) for raw, shift_s in ((first, 0.0), (second, 2e-4))]
    labels = {name: np.tile(values, 2) for name, values in first.labels.items()}
    labels["SET"] = np.repeat([0, 1], n).astype(np.int32)
    start_s = -48 * first.dwell_s
    raw = replace(
        first,
        samples=np.concatenate(wide),
        labels=labels,
        n_expected=2 * n,
        evolution_s=np.repeat([start_s, start_s + 2e-4], n),
    )
    plain = reconstruct(raw)[0].data
    volumes = reconstruct(raw, pipeline=with_step(B0_STEPS, "b0", n_order=2))
    truth = reconstruct(replace(first, samples=kspace_like(first, Shear(0.0), 0.0)))[0].data
    assert not volumes[0].skipped
    assert error(volumes[0].data, truth) < 0.35 * error(plain, truth)


def kspace_like(raw, field, shift_s):
    """A disc of many points in the field, as lines of the same scan; PLACE only, where device y is -P."""
    encoding = raw.encoding
    grid = np.stack(np.meshgrid(np.arange(-0.07, 0.07, 0.0024), np.arange(-0.06, 0.06, 0.0024)), axis=-1).reshape(-1, 2)
    grid = grid[(grid**2).sum(axis=1) < 0.06**2]
    device = np.column_stack([grid, np.zeros(len(grid))])
    time_s = (np.arange(encoding.n_samples) - 48) * raw.dwell_s + shift_s
    read = np.exp(
        2j * np.pi * (np.outer(device @ encoding.step_read_per_m, np.arange(encoding.n_samples) - 48))
        + 2j * np.pi * np.outer(field.frequency_hz(device), time_s)
    )
    phase = np.exp(2j * np.pi * np.outer(raw.labels["LIN"] - encoding.centre_lin, device @ encoding.step_lin_per_m))
    return (phase @ read)[:, np.newaxis].astype(np.complex64)


def test_a_map_of_another_scan_counts_from_its_own_frequency():
    field, lo_hz = Shear(8e3), 2e6
    first = sheared(PLACE, field)
    n = len(first.samples)
    labels = {name: np.tile(values, 2) for name, values in first.labels.items()}
    labels["SET"] = np.repeat([0, 1], n).astype(np.int32)
    start_s = -48 * first.dwell_s
    mapped = replace(
        first,
        samples=np.concatenate([kspace_like(first, field, shift_s) for shift_s in (0.0, 2e-4)]),
        labels=labels,
        n_expected=2 * n,
        evolution_s=np.repeat([start_s, start_s + 2e-4], n),
        lo_hz=lo_hz,
    )
    places = np.stack(np.meshgrid([-0.04, 0.0, 0.03], [-0.05, 0.0, 0.05], [0.0]), axis=-1)
    found = measured_field(mapped, lo_hz - 300.0, order=2).frequency_hz(places)
    np.testing.assert_allclose(found, field.frequency_hz(places) + 300.0, atol=40.0)


def test_without_a_map_the_image_stays_and_says_so(clean):
    volume = reconstruct(clean, pipeline=B0_STEPS)[0]
    assert "no map of the main field" in dict(volume.skipped)["b0"]
    np.testing.assert_array_equal(volume.data, reconstruct(clean)[0].data)


@pytest.mark.parametrize("swap", [False, True])
def test_voxels_lie_where_the_display_says(swap):
    placement = place(Orientation.CORONAL, PatientPosition.HFDR, (0.01, -0.02, 0.03), (0.2, -0.1), swap)
    raw = make_scan(placement, [(0, 0, 0)], oversampling=2)
    plan = plan_cartesian(raw.encoding, placement, raw.definitions, ReconOptions())
    display = plan.stacks[0].display
    shape = (plan.par.n_kept, plan.lin.n_kept, plan.read.n_kept)
    places = voxel_positions_m(display, shape, None, shape[2])
    # The voxel at the centre of every axis is the centre of the field of view; steps follow the encoding
    centre = tuple(n // 2 for n in shape)
    np.testing.assert_allclose(places[centre], raw.encoding.centre_device_m, atol=1e-12)
    step = raw.encoding.step_read_per_m
    expected = step / (step @ step) / plan.read.n_image
    np.testing.assert_allclose(places[0, 0, 1] - places[0, 0, 0], expected, atol=1e-12)
    whole = voxel_positions_m(display, shape, plan.read.kept, plan.read.n_image)
    np.testing.assert_allclose(whole[:, :, plan.read.kept], places, atol=1e-12)


def test_straight_gradients_change_nothing_and_bent_ones_move_the_edges(clean):
    straight = reconstruct(clean, pipeline=before(CARTESIAN, "output", StepOrder(step="gradients")))[0]
    np.testing.assert_array_equal(straight.data, reconstruct(clean)[0].data)
    share, radius_m = 0.3, 0.1
    # A point at device x = 0.06 appears at x (1 - share x^2 / 3 R^2)
    true_m = 0.06
    apparent_m = true_m * (1 - share * true_m**2 / (3 * radius_m**2))
    raw = make_scan(PLACE, [(apparent_m, 0.0, 0.0)], sizes=(96, 40, 1))  # voxels of 2.5 mm
    bent = StepOrder(step="gradients", parameters={"x_share": share, "radius_m": radius_m})
    volume = reconstruct(raw, pipeline=before(CARTESIAN, "output", bent))[0]
    plain = reconstruct(raw)[0]
    assert places_of(plain, 1)[0][0] == pytest.approx(apparent_m, abs=7e-4)
    assert places_of(volume, 1)[0][0] == pytest.approx(true_m, abs=7e-4)


def test_the_denoised_image_is_a_second_labelled_one():
    rng = np.random.default_rng(5)
    shape = (8, 48, 48)
    kspace = kspace_of(head(shape), shape)[np.newaxis]
    truth = reconstruct(of_kspace(kspace, PLACE))[0].data
    raw = of_kspace(kspace + noise(rng, kspace.shape, 0.05 / np.sqrt(np.prod(shape))), PLACE)
    plain = reconstruct(raw)[0]
    original, second = reconstruct(raw, pipeline=(*CARTESIAN, StepOrder(step="denoise")))
    np.testing.assert_array_equal(original.data, plain.data)
    assert (original.label, second.label) == ("", "denoised")
    assert original.kind == second.kind == "magnitude"
    assert error(second.data, truth) < 0.8 * error(original.data, truth)
    assert "before, " in dict(second.provenance)["denoise"]
    np.testing.assert_array_equal(second.geometry.first_voxel_m, original.geometry.first_voxel_m)


def radial(n_spokes=80, n=48):
    """Spokes through points in a plane, by the definition of k-space."""
    raw = make_scan(PLACE, [(0, 0, 0)], sizes=(n, 8, 1))
    angles = np.pi * np.arange(n_spokes) / n_spokes
    k = (np.arange(2 * n) - n) / 2 / 0.2
    directions = np.outer(np.cos(angles), PLACE.device_from_logical[:, 0])
    directions += np.outer(np.sin(angles), PLACE.device_from_logical[:, 1])
    trajectory = directions[:, np.newaxis] * k[:, np.newaxis]
    device_from_lps = np.linalg.inv(PLACE.lps_from_logical @ PLACE.device_from_logical.T)
    signal = sum(np.exp(2j * np.pi * trajectory @ (device_from_lps @ np.array(point))) for point in POINTS)
    return dataclasses.replace(
        raw,
        samples=signal[:, np.newaxis].astype(np.complex64),
        labels={"LIN": np.arange(n_spokes, dtype=np.int32)},
        encoding=None,
        trajectory_per_m=trajectory.astype(np.float32),
        definitions={"FOV": "0.2 0.2 0.005", "Matrix": f"{n} {n} 1"},
        n_expected=n_spokes,
    )


def test_a_radial_scan_with_late_gradients_is_put_right():
    # Samples lie where the path was a moment earlier than the sequence says
    true = radial()
    late_s = (6e-6, -4e-6, 0.0)
    slope = np.gradient(true.trajectory_per_m, axis=1) / true.dwell_s
    said = dataclasses.replace(true, trajectory_per_m=(true.trajectory_per_m + slope * np.array(late_s)).astype(np.float32))
    order = StepOrder(step="delays", parameters={"x_delay_s": late_s[0], "y_delay_s": late_s[1]})
    truth = reconstruct(true, pipeline=NONCARTESIAN)[0].data
    left = reconstruct(said, pipeline=NONCARTESIAN)[0].data
    found = reconstruct(said, pipeline=before(NONCARTESIAN, "nufft", order))[0].data
    assert error(left, truth) > 0.1
    assert error(found, truth) < 0.1 * error(left, truth)


def test_a_radial_scan_runs_through_its_own_pipeline():
    (volume,) = reconstruct(radial(), pipeline=NONCARTESIAN)
    assert volume.data.dtype == np.float32
    assert volume.kind == "magnitude"
    found = places_of(volume, len(POINTS))
    voxel_m = volume.geometry.spacing_m[1]
    for point in np.array(POINTS):
        assert np.linalg.norm((found - point)[:, :2], axis=1).min() < 0.5 * voxel_m
    said = dict(volume.provenance)["nufft"]
    assert "NUFFT" in said
    assert "method cg" in said
    preview = reconstruct(radial(), pipeline=with_step(NONCARTESIAN, "nufft", method="gridding", n_matrix=32))[0]
    assert preview.data.shape[1:] == (32, 32)
