# SPDX-License-Identifier: MIT
"""From raw data with a trajectory to volumes: size, place, orientation, and what is done with labels and damage.

The object is a sum of Gaussians, whose transform is known: amplitude a, width w, place r0 give
``a (2 pi w^2)^(d/2) exp(-2 pi^2 w^2 |k|^2) exp(+2 pi i k . r0)``.
"""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.domain.geometry import Orientation, PatientPosition, Placement, lps_from_device, place
from isocenter.domain.raw import RawScan
from isocenter.recon.nufft.inverse import InverseOptions, Method
from isocenter.recon.nufft.noncartesian import NonCartesianOptions, reconstruct_noncartesian

GRIDDING = NonCartesianOptions(inverse=InverseOptions(method=Method.GRIDDING))


def spokes_2d(n_spokes, n_samples, reach_per_m):
    angle = np.pi * np.arange(n_spokes) / n_spokes
    radius = (np.arange(n_samples) - n_samples // 2) / (n_samples // 2) * reach_per_m
    x, y = radius * np.cos(angle)[:, np.newaxis], radius * np.sin(angle)[:, np.newaxis]
    return np.stack([x, y, np.zeros_like(x)], axis=-1)


def spiral_2d(n_arms, n_samples, reach_per_m, turns):
    t = np.linspace(0, 1, n_samples)
    angle = 2 * np.pi * (turns * t + np.arange(n_arms)[:, np.newaxis] / n_arms)
    return reach_per_m * t[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)


def sphere(n):
    i = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1 - 2 * i / n), np.pi * (1 + 5**0.5) * i
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)


def spokes_3d(n_spokes, n_samples, reach_per_m, first=0.0):
    radius = np.linspace(first, 1, n_samples) * reach_per_m
    return sphere(n_spokes)[:, np.newaxis] * radius[:, np.newaxis]


def signal(trajectory_per_m, blobs, n_dim):
    """Blobs are (amplitude, width_m, place in device axes from the middle of the field of view [m])."""
    squared = (trajectory_per_m**2).sum(axis=-1)
    total = np.zeros(trajectory_per_m.shape[:-1], dtype=complex)
    for amplitude, width_m, place_m in blobs:
        spread = (2 * np.pi * width_m**2) ** (n_dim / 2) * np.exp(-2 * np.pi**2 * width_m**2 * squared)
        total += amplitude * spread * np.exp(2j * np.pi * trajectory_per_m @ np.asarray(place_m))
    return total


def raw_scan(logical_per_m, samples, placement, labels=None, definitions=None, **more):
    """A scan whose trajectory is given in logical axes."""
    n_readouts = len(samples)
    given = {"FOV": "0.2 0.2 0.2", "Matrix": "40 40 40"} if definitions is None else definitions
    return RawScan(
        samples=samples.astype(np.complex64),
        labels={name: np.asarray(values, dtype=np.int32) for name, values in (labels or {}).items()},
        dwell_s=10e-6,
        lo_hz=2e6,
        encoding=None,
        placement=placement,
        facts=None,
        definitions=given,
        n_expected=n_readouts,
        trajectory_per_m=(logical_per_m @ placement.device_from_logical.T).astype(np.float32),
        **more,
    )


def brightest_lps(volume):
    return volume.geometry.lps_m(np.array(np.unravel_index(np.abs(volume.data).argmax(), volume.data.shape)))


PLACEMENTS = [
    Placement(),
    place(Orientation.CORONAL, PatientPosition.FFP, (0.01, -0.02, 0.03)),
    place(Orientation.SAGITTAL, PatientPosition.HFS, (-0.015, 0.0, 0.02), swap_read_phase=True),
    place(Orientation.AXIAL, PatientPosition.HFDR, (0.0, 0.02, -0.01), tilt_rad=(0.3, -0.2)),
]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("kind", ["radial", "spiral", "kooshball"])
def test_a_marked_object_lies_where_it_is(placement, kind):
    rng = np.random.default_rng(1)
    logical = {
        "radial": lambda: spokes_2d(64, 80, 100.0),
        "spiral": lambda: spiral_2d(16, 200, 100.0, 4),
        "kooshball": lambda: spokes_3d(2500, 24, 100.0),
    }[kind]()
    n_dim = 3 if kind == "kooshball" else 2
    # Two blobs of different strength, off the middle in every direction that is encoded, so that no flip goes unseen.
    strong = np.array([0.045, -0.03, 0.02 if n_dim == 3 else 0.0])
    weak = np.array([-0.02, -0.05, 0.04 if n_dim == 3 else 0.0])
    blobs = [(1.0, 5e-3, strong), (0.6, 5e-3, weak)]
    samples = signal(logical, blobs, n_dim)[:, np.newaxis]
    samples += 1e-7 * rng.standard_normal(samples.shape)
    raw = raw_scan(logical, samples, placement, definitions={"FOV": "0.2 0.2 0.2", "Matrix": "40 40 40"})
    (found,) = reconstruct_noncartesian(raw)
    volume, geometry = found.volume, found.volume.geometry
    assert volume.data.dtype == np.complex64
    assert volume.data.shape == ((40, 40, 40) if n_dim == 3 else (1, 40, 40))
    lps = lps_from_device(placement.position)
    for amplitude, _, where in blobs:
        expected_m = placement.centre_lps_m + lps @ placement.device_from_logical @ where
        index = np.linalg.solve(
            np.column_stack([
                geometry.slice_direction * geometry.spacing_m[0],
                geometry.column_direction * geometry.spacing_m[1],
                geometry.row_direction * geometry.spacing_m[2],
            ]),
            expected_m - geometry.first_voxel_m,
        )  # fmt: skip
        nearest = np.round(index).astype(int)
        around = tuple(slice(max(i - 3, 0), i + 4) for i in nearest)
        peak = np.unravel_index(np.abs(volume.data[around]).argmax(), volume.data[around].shape)
        peak = np.array(peak) + [s.start for s in around]
        assert np.abs(peak - index).max() <= 0.75  # voxels
        # Density times the volume of a voxel, and hardly any phase.
        voxel = 5e-3**n_dim
        assert abs(volume.data[tuple(peak)]) == pytest.approx(amplitude * voxel, rel=0.12)
    assert (
        np.linalg.norm(brightest_lps(volume) - placement.centre_lps_m - lps @ placement.device_from_logical @ strong) < 5e-3
    )


def test_least_squares_are_nearer_to_the_truth_than_gridding_and_residuals_fall():
    logical = spokes_2d(50, 80, 100.0)
    blobs = [(1.0, 12e-3, (0.03, 0.0, 0.0)), (0.7, 4e-3, (-0.02, -0.05, 0.0))]
    raw = raw_scan(logical, signal(logical, blobs, 2)[:, np.newaxis], Placement())
    x = (np.arange(40) - 20) * 5e-3
    truth = sum(a * np.exp(-((x - p[0]) ** 2 + (x[:, np.newaxis] - p[1]) ** 2) / 2 / w**2) for a, w, p in blobs)
    errors = {}
    for method in (Method.GRIDDING, Method.CG):
        options = NonCartesianOptions(inverse=InverseOptions(method=method))
        (found,) = reconstruct_noncartesian(raw, options=options)
        shown = np.abs(found.volume.data[0])[::-1] / 5e-3**2  # rows grow towards P, against the device's Y
        errors[method] = np.linalg.norm(shown - truth) / np.linalg.norm(truth)
        residuals = found.slices[0].residuals
        assert (method is Method.GRIDDING) == (residuals == ())
        assert list(residuals) == sorted(residuals, reverse=True)
    assert errors[Method.CG] < 0.02
    assert errors[Method.CG] < 0.7 * errors[Method.GRIDDING]


def test_channels_seen_together_make_up_for_missing_spokes():
    y, x = np.mgrid[-32:32, -32:32] / 64
    body = ((x / 0.4) ** 2 + (y / 0.33) ** 2 < 1) * (1.0 + (np.abs(x - 0.1) < 0.03) - 0.6 * (np.hypot(x + 0.15, y) < 0.08))
    coils = np.stack([np.exp(-4 * ((x - np.cos(a) / 2) ** 2 + (y - np.sin(a) / 2) ** 2) + 1j * a)
                      for a in np.arange(6) * np.pi / 3])  # fmt: skip
    from isocenter.recon.nufft.transform import Nufft

    logical = spokes_2d(24, 128, 0.5 * 64 / 0.2)
    points = logical.reshape(-1, 3)[:, 1::-1]
    values = Nufft(points, (64, 64), (0.2 / 64,) * 2).forward((coils * body).astype(np.complex64))
    samples = values.reshape(6, 24, 128).transpose(1, 0, 2)
    raw = raw_scan(logical, samples, Placement(), definitions={"FOV": "0.2 0.2", "Matrix": "64 64"})
    rss = np.sqrt((np.abs(coils * body) ** 2).sum(axis=0))
    errors = {}
    for method in Method:
        inverse = InverseOptions(method=method, n_iterations=20)
        (found,) = reconstruct_noncartesian(raw, options=NonCartesianOptions(inverse=inverse))
        shown = np.abs(found.volume.data[0])[::-1]  # rows grow towards P, against +Y
        errors[method] = np.linalg.norm(shown - rss) / np.linalg.norm(rss)
    assert errors[Method.CG_SENSE] < 0.8 * errors[Method.CG]
    assert errors[Method.CG] < errors[Method.GRIDDING]


def test_an_uneven_field_is_corrected_with_its_map():
    y, x = np.mgrid[-24:24, -24:24] / 48
    body = ((x / 0.4) ** 2 + (y / 0.42) ** 2 < 1) * (1.0 + 0.5 * (np.abs(x) < 0.06))
    b0_hz = 2500 * (x * y * 3 + y**2 - 0.1)
    logical = spokes_2d(76, 96, 0.5 * 48 / 0.2)
    from isocenter.recon.nufft.encoder import Encoder
    from isocenter.recon.nufft.offresonance import split_field
    from isocenter.recon.nufft.transform import Nufft

    time_s = np.tile(3e-3 + np.arange(96) * 10e-6, 76)
    field = split_field(b0_hz, time_s, tolerance=1e-5)
    transform = Nufft(logical.reshape(-1, 3)[:, 1::-1], (48, 48), (0.2 / 48,) * 2)
    values = Encoder(transform, field=field).forward(body[np.newaxis].astype(np.complex64))
    more = {"evolution_s": np.full(76, 3e-3)}
    definitions = {"FOV": "0.2 0.2", "Matrix": "48 48"}
    raw = raw_scan(logical, values.reshape(76, 1, 96), Placement(), definitions=definitions, **more)
    error = {}
    for name, given in (("without", None), ("with", b0_hz[np.newaxis, ::-1])):  # the map lies as the image does
        (found,) = reconstruct_noncartesian(raw, b0_hz=given)
        error[name] = np.linalg.norm(np.abs(found.volume.data[0])[::-1] - body) / np.linalg.norm(body)
    assert error["with"] < 0.15
    assert error["with"] < 0.55 * error["without"]
    assert ("off-resonance", f"field map, {found.slices[0].rank} terms") in found.volume.provenance
    with pytest.raises(ReconError, match=r"(?s)map of the field has 1 x 48 x 47 voxels, the image 1 x 48 x 48.*Resample"):
        reconstruct_noncartesian(raw, b0_hz=b0_hz[np.newaxis, :, :47])


def test_slices_are_in_order_along_the_normal_and_labels_make_volumes():
    logical = spokes_2d(40, 40, 50.0)
    strengths = {0: 1.0, 1: 3.0, 2: 2.0}
    positions = "0.01 -0.01 0.0"  # of SLC 0, 1, 2
    readouts, slc, eco = [], [], []
    for echo in (0, 1):
        for number, amplitude in strengths.items():
            readouts.append(signal(logical, [(amplitude * (1 + echo), 8e-3, (0.02, 0.01, 0.0))], 2))
            slc += [number] * 40
            eco += [echo] * 40
    definitions = {"FOV": "0.2 0.2 0.03", "Matrix": "20 20 3", "SlicePositions": positions, "SliceThickness": "0.008"}
    placement = place(Orientation.AXIAL, PatientPosition.HFS, (0.0, 0.0, 0.005))
    samples = np.concatenate(readouts)[:, np.newaxis]
    raw = raw_scan(np.tile(logical, (6, 1, 1)), samples, placement, {"SLC": slc, "ECO": eco}, definitions)
    first, second = reconstruct_noncartesian(raw, options=GRIDDING)
    geometry = first.volume.geometry
    assert first.volume.data.shape == (3, 20, 20)
    assert geometry.spacing_m[0] == pytest.approx(0.01)
    assert geometry.slice_thickness_m == pytest.approx(0.008)
    peaks = np.abs(first.volume.data).max(axis=(1, 2))
    normal = placement.lps_from_logical[:, 2]
    for index, peak in enumerate(peaks):
        height_m = (geometry.lps_m(np.array([index, 10, 10])) - placement.centre_lps_m) @ normal
        number = [0.01, -0.01, 0.0].index(min([0.01, -0.01, 0.0], key=lambda p, h=height_m: abs(p - h)))
        assert peak / peaks.max() == pytest.approx(strengths[number] / 3, rel=0.01)
    np.testing.assert_allclose(np.abs(second.volume.data), 2 * np.abs(first.volume.data), rtol=1e-3, atol=1e-9)
    assert ("sort", "ECO 1") in second.volume.provenance


def test_a_slice_that_was_not_reached_is_black():
    logical = spokes_2d(30, 40, 50.0)
    samples = np.tile(signal(logical, [(1.0, 8e-3, (0.02, 0.01, 0.0))], 2), (3, 1))[:, np.newaxis]
    labels = {"SLC": [0] * 30 + [1] * 30 + [0] * 30, "REP": [0] * 60 + [1] * 30}
    definitions = {"FOV": "0.2 0.2 0.02", "SlicePositions": "-0.005 0.005", "Matrix": "20 20 2"}
    first, second = reconstruct_noncartesian(
        raw_scan(np.tile(logical, (3, 1, 1)), samples, Placement(), labels, definitions)
    )
    assert np.abs(first.volume.data).max(axis=(1, 2)).min() > 0
    bright = np.abs(second.volume.data).max(axis=(1, 2))
    assert bright.min() == 0 < bright.max()
    assert first.volume.data.shape == second.volume.data.shape == (2, 20, 20)


def test_counting_all_samples_alike_is_better_for_noise():
    logical, rng = spokes_2d(80, 80, 100.0), np.random.default_rng(21)
    clean = signal(logical, [(1.0, 30e-3, (0.0, 0.0, 0.0))], 2)[:, np.newaxis]
    dirty = clean + 0.05 * np.abs(clean).std() * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    error = {}
    for weighting in (0.0, 1.0):
        options = NonCartesianOptions(inverse=InverseOptions(weighting=weighting, n_iterations=30, tolerance=0.0))
        images = [
            reconstruct_noncartesian(raw_scan(logical, s, Placement()), options=options)[0].volume.data
            for s in (clean, dirty)
        ]
        error[weighting] = np.linalg.norm(images[1] - images[0])
    assert error[0.0] < 0.9 * error[1.0]
    with pytest.raises(ReconError, match=r"(?s)weighting of 2.*from 0 to 1"):
        InverseOptions(weighting=2.0)


def test_slices_of_unknown_place_are_refused():
    logical = spokes_2d(30, 40, 50.0)
    samples = signal(logical, [(1.0, 8e-3, (0.02, 0.01, 0.0))], 2)[:, np.newaxis]
    raw = raw_scan(logical, samples, Placement(), {"SLC": np.arange(30) % 2}, {"FOV": "0.2 0.2"})
    with pytest.raises(ReconError, match=r"(?s)where slice 1 lies.*SlicePositions"):
        reconstruct_noncartesian(raw)


def test_outer_samples_are_left_out_of_a_small_matrix_and_it_is_said():
    logical = spokes_2d(60, 80, 100.0)
    samples = signal(logical, [(1.0, 8e-3, (0.04, 0.01, 0.0))], 2)[:, np.newaxis]
    raw = raw_scan(logical, samples, Placement())
    (found,) = reconstruct_noncartesian(raw, options=NonCartesianOptions(matrix=(20, 20)))
    assert found.volume.data.shape == (1, 20, 20)
    beyond = np.count_nonzero((np.abs(logical[..., :2]) > 50.001).any(axis=-1))
    assert found.n_left_out == beyond > 0
    assert ("left out", f"{beyond} samples beyond what the voxels resolve") in found.volume.provenance
    assert np.linalg.norm(brightest_lps(found.volume) - lps_from_device(PatientPosition.HFS) @ [0.04, 0.01, 0]) < 10e-3


def test_noise_navigators_sensors_and_the_end_of_short_readouts_do_not_count():
    logical = spokes_2d(40, 80, 100.0)
    samples = signal(logical, [(1.0, 8e-3, (0.04, 0.01, 0.0))], 2)
    plain = reconstruct_noncartesian(raw_scan(logical, samples[:, np.newaxis], Placement()), options=GRIDDING)[0]
    rng = np.random.default_rng(9)
    dirty = np.stack([samples, 1e3 * rng.standard_normal(samples.shape)], axis=1)
    dirty = np.concatenate([dirty, 1e3 * rng.standard_normal((2, 2, 80))])
    longer = np.concatenate([dirty, np.full((42, 2, 5), 1e6)], axis=2)
    ways = np.full((42, 85, 3), np.nan)
    ways[:40, :80] = logical
    ways[40:, :80] = logical[:2]
    raw = raw_scan(ways, longer, Placement(), {"NAV": [0] * 41 + [1], "NOISE": [0] * 40 + [1, 0]}, sensor_channels=(1,))
    (found,) = reconstruct_noncartesian(raw, options=GRIDDING)
    assert found.n_left_out == 0
    np.testing.assert_allclose(found.volume.data, plain.volume.data, atol=1e-4 * np.abs(plain.volume.data).max())


def test_a_scan_cut_short_still_gives_a_picture():
    logical = spokes_3d(2500, 24, 100.0)[:1200]  # one hemisphere, about
    samples = signal(logical, [(1.0, 8e-3, (0.04, 0.01, -0.02))], 3)[:, np.newaxis]
    (found,) = reconstruct_noncartesian(raw_scan(logical, samples, Placement()))
    assert np.linalg.norm(brightest_lps(found.volume) - lps_from_device(PatientPosition.HFS) @ [0.04, 0.01, -0.02]) < 5e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trajectory_per_m": None}, r"(?s)Nothing says where the samples.*FFT"),
        ({"definitions": {}}, r"(?s)field of view of this scan is not known.*definition FOV"),
        ({"labels": {"NOISE": np.ones(10, np.int32)}}, r"(?s)Not one imaging readout"),
        ({"trajectory_per_m": np.zeros((10, 7, 3), np.float32) + np.arange(7)[:, None]}, r"(?s)on one line of k-space"),
        ({"definitions": {"FOV": "0.2 0.2", "Matrix": "5000 5000"}}, r"(?s)5000 voxels is not possible.*2048"),
    ],
)
def test_what_cannot_be_reconstructed_says_why(change, message):
    logical = spokes_2d(10, 40, 50.0)
    raw = raw_scan(logical, np.ones((10, 1, 40)), Placement())
    values = {name: getattr(raw, name) for name in raw.__dataclass_fields__} | change
    with pytest.raises(ReconError, match=message):
        reconstruct_noncartesian(RawScan(**values))


def test_a_trajectory_of_another_scan_is_refused():
    logical = spokes_2d(10, 40, 50.0)
    raw = raw_scan(logical, np.ones((10, 1, 39)), Placement())
    with pytest.raises(ReconError, match=r"(?s)does not have a place for each sample"):
        reconstruct_noncartesian(raw)


def test_samples_that_are_not_finite_are_refused():
    logical = spokes_2d(10, 40, 50.0)
    samples = np.ones((10, 1, 40), dtype=complex)
    samples[3, 0, 7] = np.nan
    with pytest.raises(ReconError, match=r"1 samples are not finite"):
        reconstruct_noncartesian(raw_scan(logical, samples, Placement()))


def test_impossible_options_are_refused():
    with pytest.raises(ReconError, match=r"(?s)0 steps.*1 step or more"):
        InverseOptions(n_iterations=0)
    with pytest.raises(ReconError, match=r"damping -1"):
        InverseOptions(damping=-1.0)


# --- PETRA


def petra(n_spokes=3000, n_matrix=32, hidden=2.6, fov_m=0.2, blobs=None, b0=None):
    step = 1 / fov_m
    along = spokes_3d(n_spokes, 56, n_matrix / 2 * step, first=hidden / (n_matrix / 2))
    span = range(-int(hidden), int(hidden) + 1)
    ball = np.array([(a, b, c) for a in span for b in span for c in span if a * a + b * b + c * c <= hidden**2]) * step
    points = np.full((len(ball), 56, 3), 1.0) * ball[:, np.newaxis] * np.linspace(1, 4, 56)[:, np.newaxis]
    logical = np.concatenate([points, along])
    part = [1] * len(ball) + [0] * n_spokes
    samples = signal(logical, blobs, 3)
    samples[: len(ball), 1:] = 1e3  # only the first sample of a point counts
    definitions = {"FOV": f"{fov_m} {fov_m} {fov_m}", "Matrix": " ".join([str(n_matrix)] * 3), "Trajectory": "petra"}
    return logical, samples[:, np.newaxis], {"SET": part}, definitions


def test_petra_needs_its_points_and_weights_them_as_what_they_stand_for():
    blobs = [(1.0, 25e-3, (0.02, -0.01, 0.015)), (0.8, 7e-3, (-0.05, 0.04, 0.0))]
    logical, samples, labels, definitions = petra(blobs=blobs)
    axis = (np.arange(32) - 16) * 0.2 / 32
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    truth = (
        sum(a * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / 2 / w**2) for a, w, p in blobs)
        * (0.2 / 32) ** 3
    )

    def error(rows, method):
        kept = {name: np.asarray(values)[rows] for name, values in labels.items()}
        raw = raw_scan(logical[rows], samples[rows], Placement(), kept, definitions)
        (found,) = reconstruct_noncartesian(raw, options=NonCartesianOptions(inverse=InverseOptions(method=method)))
        lps = lps_from_device(PatientPosition.HFS)
        geometry = found.volume.geometry
        index = np.stack(np.meshgrid(*(np.arange(32),) * 3, indexing="ij"), axis=-1)
        device = geometry.lps_m(index) @ lps
        expected = sum(a * np.exp(-((device - np.array(p)) ** 2).sum(axis=-1) / 2 / w**2) for a, w, p in blobs)
        expected = expected * (0.2 / 32) ** 3
        assert np.isclose(expected.sum(), truth.sum(), rtol=0.05)
        return np.linalg.norm(np.abs(found.volume.data) - expected) / np.linalg.norm(expected)

    everything = np.arange(len(samples))
    only_spokes = np.flatnonzero(np.asarray(labels["SET"]) == 0)
    gridding, least_squares = error(everything, Method.GRIDDING), error(everything, Method.CG)
    assert least_squares < gridding < 0.2
    assert least_squares < 0.05
    assert error(only_spokes, Method.CG) > 2 * least_squares


def test_repeated_petra_points_share_their_weight():
    blobs = [(1.0, 20e-3, (0.02, -0.01, 0.015))]
    logical, samples, labels, definitions = petra(n_spokes=1500, n_matrix=20, blobs=blobs)
    one = reconstruct_noncartesian(raw_scan(logical, samples, Placement(), labels, definitions), options=GRIDDING)[0]
    points = np.flatnonzero(np.asarray(labels["SET"]) == 1)
    rows = np.concatenate([points, np.arange(len(samples))])
    twice = {"SET": np.asarray(labels["SET"])[rows]}
    two = reconstruct_noncartesian(
        raw_scan(logical[rows], samples[rows], Placement(), twice, definitions), options=GRIDDING
    )[0]
    assert np.linalg.norm(two.volume.data - one.volume.data) < 1e-4 * np.linalg.norm(one.volume.data)
