# SPDX-License-Identifier: MIT
"""A point that lies somewhere in the patient appears there in the images, whatever the scan looked like."""

import itertools

import numpy as np
import pytest
from recon_scans import make_scan, replace

from isocenter.domain.errors import ReconError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Orientation, PatientPosition, orientation_letters, place
from isocenter.recon.cartesian import LiveReconstruction, reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.options import ReconOptions
from isocenter.recon.steps import STEPS
from isocenter.recon.windows import Filter

NAMES = {Orientation.AXIAL: ("L", "P"), Orientation.CORONAL: ("L", "F"), Orientation.SAGITTAL: ("P", "F")}


def peak_lps_m(volume):
    """Place of the strongest voxel, in units of LPS metres."""
    index = np.unravel_index(np.abs(volume.data).argmax(), volume.data.shape)
    return volume.geometry.lps_m(np.array(index))


def assert_point_is_at(volume, point_lps_m):
    """Within half a voxel along each image axis, and the strongest by the value of a whole point's signal."""
    geometry = volume.geometry
    offset = np.asarray(point_lps_m) - peak_lps_m(volume)
    steps = (geometry.slice_direction, geometry.column_direction, geometry.row_direction)
    for direction, spacing_m in zip(steps, geometry.spacing_m, strict=True):
        assert abs(offset @ direction) <= 0.5 * spacing_m + 1e-9


ALL = list(itertools.product(PatientPosition, Orientation, (False, True)))


@pytest.mark.parametrize(("position", "orientation", "swap"), ALL, ids=str)
def test_point_appears_where_it_lies_in_3d(position, orientation, swap):
    point = np.array([0.031, -0.024, 0.017])
    rng = np.random.default_rng(ALL.index((position, orientation, swap)))
    for tilt, sizes, zero_fill in (
        ((0.0, 0.0), (24, 20, 16), None),
        ((0.3, -0.25), (25, 21, 15), None),
        ((-0.2, 0.35), (24, 19, 16), 2.0),
        ((0.1, 0.1), (23, 20, 17), 1.5),
    ):
        centre = tuple(rng.uniform(-0.02, 0.02, 3))
        placement = place(orientation, position, centre, tilt, swap)
        raw = make_scan(placement, [point], sizes=sizes)
        (volume,) = reconstruct(raw, options=ReconOptions(zero_fill=zero_fill))
        assert_point_is_at(volume, point)
        geometry = volume.geometry
        assert orientation_letters(geometry.row_direction)[0] == NAMES[orientation][0]
        assert orientation_letters(geometry.column_direction)[0] == NAMES[orientation][1]
        np.testing.assert_allclose(
            np.cross(geometry.row_direction, geometry.column_direction), geometry.slice_direction, atol=1e-12
        )
        assert geometry.position is position


@pytest.mark.parametrize(("position", "orientation", "swap"), ALL, ids=str)
def test_point_appears_where_it_lies_in_slices(position, orientation, swap):
    placement = place(orientation, position, (0.004, -0.01, 0.006), (0.2, -0.1), swap)
    positions = np.array([0.006, -0.012, -0.006, 0.0, 0.012])  # as an interleaved scan may number them
    # A point in the slice with the label 1, away from the field of view's centre
    device = placement.centre_device_m + placement.device_from_logical @ [0.043, -0.028, -0.0115]
    point = placement.lps_from_logical @ placement.device_from_logical.T @ device
    raw = make_scan(placement, [point], slice_positions_m=positions, slice_thickness_m=0.005)
    (volume,) = reconstruct(raw)
    assert volume.data.shape[0] == 5
    assert volume.geometry.spacing_m[0] == pytest.approx(0.006)
    assert volume.geometry.slice_thickness_m == 0.005
    assert_point_is_at(volume, point)
    others = np.abs(volume.data).max(axis=(1, 2))
    assert np.count_nonzero(others > 1e-3 * others.max()) == 1


@pytest.mark.parametrize("senses", list(itertools.product((1, -1), repeat=3)), ids=str)
def test_reversed_encoding_does_not_mirror(senses):
    # Wiring and gradient signs may turn any encoding axis round; the picture stays.
    placement = place(Orientation.AXIAL, PatientPosition.FFS, (0.01, 0.0, -0.01))
    point = np.array([0.035, 0.02, -0.03])
    (volume,) = reconstruct(make_scan(placement, [point], senses=senses))
    assert_point_is_at(volume, point)
    np.testing.assert_allclose(volume.geometry.row_direction, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(volume.geometry.column_direction, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(volume.geometry.slice_direction, [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("sizes", [(24, 20, 16), (25, 21, 15), (1 + 24, 20, 15)])
def test_image_equals_the_sum_over_samples(sizes):
    # The complex image is the convention's own sum, evaluated at each voxel's place.
    placement = place(Orientation.CORONAL, PatientPosition.HFDR, (0.01, 0.02, -0.01), (0.1, 0.2))
    raw = make_scan(placement, [(0.02, 0.03, 0.01), (-0.04, -0.01, 0.02)], sizes=sizes)
    (volume,) = reconstruct(raw, options=ReconOptions(keep_phase=True))
    assert volume.data.dtype == np.complex64
    encoding = raw.encoding
    sample = np.arange(encoding.n_samples) - encoding.centre_sample
    rest = np.outer(raw.labels["LIN"] - encoding.centre_lin, encoding.step_lin_per_m)
    rest = rest + np.outer(raw.labels["PAR"] - encoding.centre_par, encoding.step_par_per_m)
    k = rest[:, np.newaxis] + sample[:, np.newaxis] * encoding.step_read_per_m
    lps = placement.lps_from_logical @ placement.device_from_logical.T
    for index in ((0, 0, 0), (3, 7, 5), tuple(n - 1 for n in volume.data.shape)):
        device = lps.T @ volume.geometry.lps_m(np.array(index)) - encoding.centre_device_m
        expected = (raw.samples[:, 0] * np.exp(-2j * np.pi * (k @ device))).sum()
        assert volume.data[index] == pytest.approx(expected, abs=2e-5 * raw.samples.size)


def test_field_of_view_and_first_voxel_by_hand():
    # 24 columns over 240 mm: voxel 12 is at the centre, the first one 120 mm to the right of it (-L).
    (volume,) = reconstruct(make_scan(place(Orientation.AXIAL), [(0, 0, 0)]))
    assert volume.data.shape == (16, 20, 24)
    assert volume.geometry.spacing_m == pytest.approx((0.01, 0.01, 0.01))
    np.testing.assert_allclose(volume.geometry.first_voxel_m, [-0.12, -0.10, -0.08], atol=1e-12)
    (odd,) = reconstruct(make_scan(place(Orientation.AXIAL), [(0, 0, 0)], sizes=(25, 21, 15)))
    expected = [-12 * 0.24 / 25, -10 * 0.20 / 21, -7 * 0.16 / 15]
    np.testing.assert_allclose(odd.geometry.first_voxel_m, expected, atol=1e-12)


def test_zero_filling_keeps_field_of_view_and_values():
    raw = make_scan(place(Orientation.AXIAL), [(0.02, 0.01, -0.02)])
    (plain,) = reconstruct(raw)
    (fine,) = reconstruct(raw, options=ReconOptions(zero_fill=2))
    (other,) = reconstruct(raw, options=ReconOptions(matrix=(48, 40, 32)))
    assert fine.data.shape == (32, 40, 48)
    assert fine.geometry.spacing_m == pytest.approx((0.005, 0.005, 0.005))
    np.testing.assert_allclose(fine.data[::2, ::2, ::2], plain.data, atol=2e-3 * plain.data.max())
    np.testing.assert_allclose(fine.geometry.first_voxel_m, plain.geometry.first_voxel_m, atol=1e-12)
    np.testing.assert_array_equal(fine.data, other.data)


def test_smaller_matrix_is_a_blurred_image_in_the_same_place():
    raw = make_scan(place(Orientation.AXIAL), [(0.06, 0.04, -0.02)], sizes=(48, 40, 16))
    (volume,) = reconstruct(raw, options=ReconOptions(matrix=(24, 20, 0)))
    assert volume.data.shape == (16, 20, 24)
    assert_point_is_at(volume, (0.06, 0.04, -0.02))


@pytest.mark.parametrize("oversampling", [2, 3])
def test_readout_oversampling_is_cut_off_around_the_centre(oversampling):
    raw = make_scan(place(Orientation.AXIAL), [(0.051, 0.02, 0.0)], oversampling=oversampling)
    (volume,) = reconstruct(raw)
    assert volume.data.shape == (16, 20, 24)
    assert_point_is_at(volume, (0.051, 0.02, 0.0))
    assert dict(volume.provenance)["oversampling"].startswith(f"factor {oversampling}")
    # What lies outside the wanted field of view does not fold in
    (outside,) = reconstruct(make_scan(place(Orientation.AXIAL), [(0.2, 0.02, 0.0)], oversampling=oversampling))
    assert outside.data.max() < 0.2 * volume.data.max()


def test_definitions_that_do_not_say_cut_nothing_off():
    raw = make_scan(place(Orientation.AXIAL), [(0.051, 0.02, 0.0)], oversampling=2, definitions={"FOV": "wide"})
    assert reconstruct(raw)[0].data.shape[2] == 48
    matrix = replace(raw, definitions={"Matrix": "24 20 16"})
    assert reconstruct(matrix)[0].data.shape[2] == 24
    assert reconstruct(raw, options=ReconOptions(oversampling=2.0))[0].data.shape[2] == 24


@pytest.mark.parametrize("centre", [8.0, 7.5, 16.0, 15.5])
def test_partial_echo_keeps_the_resolution_of_the_whole(centre):
    # 24 of 32 samples: the centre lies at a third or at two thirds.
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.0)], centres=(centre, 10, 8))
    (volume,) = reconstruct(raw)
    assert volume.data.shape == (16, 20, 32)
    assert volume.geometry.spacing_m[2] == pytest.approx(0.24 / 32)
    assert_point_is_at(volume, (0.03, 0.02, 0.0))


def test_partial_fourier_in_phase_from_matrix_definition():
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)], centres=(11.5, 4, 8))
    (volume,) = reconstruct(raw)
    assert volume.data.shape == (16, 32, 24)
    assert_point_is_at(volume, (0.03, 0.02, 0.01))


def test_averages_are_averaged_and_contrasts_kept_apart():
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)])
    (once,) = reconstruct(raw)
    n = len(raw.samples)
    labels = {name: np.tile(value, 4) for name, value in raw.labels.items()}
    labels["AVG"] = np.repeat([0, 1, 0, 1], n).astype(np.int32)
    labels["ECO"] = np.repeat([0, 0, 1, 1], n).astype(np.int32)
    scale = np.repeat([1.5, 0.5, 3.0, 3.0], n).astype(np.float32)[:, np.newaxis, np.newaxis]
    both = replace(raw, samples=np.tile(raw.samples, (4, 1, 1)) * scale, labels=labels, n_expected=4 * n)
    first, second = reconstruct(both)
    np.testing.assert_allclose(first.data, once.data, atol=1e-4 * once.data.max())
    np.testing.assert_allclose(second.data, 3 * once.data, atol=1e-3 * once.data.max())
    assert "ECO 1" in dict(second.provenance)["sort"]
    assert "mean of lines measured up to 2 times" in dict(first.provenance)["sort"]
    assert "mean" not in dict(once.provenance)["sort"]


def test_partial_average_is_a_mean_of_what_there_is():
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)])
    (once,) = reconstruct(raw)
    n, extra = len(raw.samples), len(raw.samples) // 3
    labels = {name: np.concatenate([value, value[:extra]]) for name, value in raw.labels.items()}
    cut = replace(raw, samples=np.concatenate([raw.samples, raw.samples[:extra]]), labels=labels, n_expected=2 * n)
    (volume,) = reconstruct(cut)
    np.testing.assert_allclose(volume.data, once.data, atol=1e-4 * once.data.max())
    assert f"{n - extra} readouts of the scan missing" in dict(volume.provenance)["sort"]


def test_noise_navigator_and_calibration_lines_are_left_out():
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)])
    (clean,) = reconstruct(raw)
    junk = 100 * np.ones((4, 1, 24), dtype=np.complex64)
    labels = {name: np.concatenate([value, np.zeros(4, np.int32)]) for name, value in raw.labels.items()}
    for row, names in enumerate((["NOISE"], ["NAV"], ["REF"], ["OFF"])):
        for name in names:
            labels.setdefault(name, np.zeros(len(raw.samples) + 4, np.int32))[len(raw.samples) + row] = 1
    (volume,) = reconstruct(replace(raw, samples=np.concatenate([raw.samples, junk]), labels=labels))
    np.testing.assert_array_equal(volume.data, clean.data)


@pytest.mark.parametrize("centre", [11.5, 12.0, 10.7, 5.0])
def test_reversed_readouts_run_through_the_same_places_backwards(centre):
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)], centres=(centre, 10, 8))
    backwards = (raw.labels["LIN"] % 2).astype(np.int32)
    samples = raw.samples.copy()
    samples[backwards == 1] = samples[backwards == 1][:, :, ::-1]
    mixed = replace(raw, samples=samples, labels={**raw.labels, "REV": backwards})
    without = tuple(order for order in CARTESIAN if order.step != "ghost")
    (forward,), (volume,) = reconstruct(raw, pipeline=without), reconstruct(mixed, pipeline=without)
    np.testing.assert_array_equal(volume.data, forward.data)
    (corrected,) = reconstruct(mixed)  # nothing is wrong with them, so the ghost correction finds next to nothing
    np.testing.assert_allclose(corrected.data, forward.data, atol=0.02 * forward.data.max())


def test_missing_lines_are_zero_and_nothing_is_scaled():
    raw = make_scan(place(Orientation.AXIAL), [(0.0, 0.0, 0.0)])
    keep = raw.labels["LIN"] < 12
    cut = replace(raw, samples=raw.samples[keep], labels={name: value[keep] for name, value in raw.labels.items()})
    (volume,) = reconstruct(cut)
    assert volume.data.shape == (16, 20, 24)
    assert volume.data.max() == pytest.approx(12 * 16 * 24, rel=1e-3)  # the centre voxel is the plain sum
    assert f"{12 * 16} of {20 * 16} lines" in dict(volume.provenance)["sort"]


def test_channels_are_combined_by_root_sum_of_squares():
    point, gains = (0.03, 0.02, 0.0), [np.array([0.6, 0.8j])]
    (single,) = reconstruct(make_scan(place(Orientation.AXIAL), [point]))
    (volume,) = reconstruct(make_scan(place(Orientation.AXIAL), [point], n_channels=2, weights=gains))
    np.testing.assert_allclose(volume.data, single.data, atol=1e-4 * single.data.max())
    assert volume.data.dtype == np.float32
    assert dict(volume.provenance)["combine"].startswith("root sum of squares of 2 channels")


@pytest.mark.parametrize("kind", [Filter.HANN, Filter.TUKEY, Filter.FERMI, Filter.GAUSS])
def test_filter_lowers_side_lobes_and_keeps_the_place(kind):
    raw = make_scan(place(Orientation.AXIAL), [(0.034, 0.015, 0.0)])
    (plain,), (smooth,) = reconstruct(raw), reconstruct(raw, options=ReconOptions(filter=kind))
    assert_point_is_at(smooth, (0.034, 0.015, 0.0))
    far = np.s_[8, 10, 3]  # on the row of the point, far from it
    assert smooth.data[far] / smooth.data.max() < 0.6 * plain.data[far] / plain.data.max()
    assert dict(smooth.provenance)["filter"].startswith(f"kind {kind.value}")
    assert dict(plain.provenance)["filter"].startswith("none")


def test_filter_by_hand():
    window = ReconOptions(filter=Filter.HANN).window(9, 4, 4)
    np.testing.assert_allclose(window, [0, 0.146447, 0.5, 0.853553, 1, 0.853553, 0.5, 0.146447, 0], atol=1e-6)
    tukey = ReconOptions(filter=Filter.TUKEY, filter_width=0.5).window(9, 4, 4)
    np.testing.assert_allclose(tukey, [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0], atol=1e-6)
    fermi = ReconOptions(filter=Filter.FERMI).window(201, 100, 100)
    assert fermi[100] == pytest.approx(1)
    assert fermi[190] == pytest.approx(0.5, abs=1e-3)


def test_uneven_slices_become_volumes_of_their_own():
    placement = place(Orientation.AXIAL)
    raw = make_scan(placement, [(0.02, 0.0, 0.031)], slice_positions_m=(0.0, 0.01, 0.03), slice_thickness_m=0.005)
    volumes = reconstruct(raw)
    assert [volume.data.shape[0] for volume in volumes] == [1, 1, 1]
    assert [volume.geometry.first_voxel_m[2] for volume in volumes] == pytest.approx([0.0, 0.01, 0.03])
    assert volumes[2].data.max() > 100 * max(volumes[0].data.max(), volumes[1].data.max())
    assert_point_is_at(volumes[2], (0.02, 0.0, 0.031))


def test_slices_without_a_known_position_are_left_out():
    # A label that no readout has: its position is not a number.
    raw = make_scan(place(Orientation.AXIAL), [(0.02, 0.0, 0.01)], slice_positions_m=(0.0, 0.01), slice_thickness_m=0.005)
    values = {name: getattr(raw.encoding, name) for name in raw.encoding.__dataclass_fields__}
    values["slice_positions_m"] = np.array([0.0, 0.01, np.nan, -0.01])
    (volume,) = reconstruct(replace(raw, encoding=Encoding(**values)))
    assert volume.data.shape[0] == 3
    assert volume.geometry.spacing_m[0] == pytest.approx(0.01)
    assert_point_is_at(volume, (0.02, 0.0, 0.01))
    values["slice_positions_m"] = np.full(2, np.nan)
    with pytest.raises(ReconError, match=r"known position[\s\S]*SLC"):
        reconstruct(replace(raw, encoding=Encoding(**values)))


def test_projection_takes_its_depth_from_the_field_of_view():
    raw = make_scan(place(Orientation.AXIAL), [(0.02, 0.01, 0.0)], sizes=(24, 20, 1))
    (volume,) = reconstruct(raw)
    assert volume.data.shape == (1, 20, 24)
    assert volume.geometry.slice_thickness_m == pytest.approx(0.16)


def test_live_images_grow_into_the_final_one():
    raw = make_scan(place(Orientation.SAGITTAL), [(0.03, 0.02, 0.01)])
    live = LiveReconstruction(raw.encoding, raw.placement, definitions=raw.definitions)
    assert live.volumes() == ()
    order = np.random.default_rng(4).permutation(len(raw.samples))
    for part in np.array_split(order, 7):
        live.add(raw.samples[part], {name: value[part] for name, value in raw.labels.items()})
        (volume,) = live.volumes()
        assert_point_is_at(volume, (0.03, 0.02, 0.01))
    (whole,) = reconstruct(raw)
    np.testing.assert_array_equal(volume.data, whole.data)
    left_out = [step.name for step in STEPS.values() if not step.is_live]
    assert {"ghost", "partial_fourier"} <= set(left_out)
    assert volume.provenance == tuple(note for note in whole.provenance if note[0] not in left_out)


def test_images_are_single_precision_from_end_to_end():
    raw = make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01)])
    assert reconstruct(raw)[0].data.dtype == np.float32
    assert reconstruct(raw, options=ReconOptions(keep_phase=True, filter=Filter.HANN))[0].data.dtype == np.complex64


def test_label_outside_the_encoding_is_named():
    raw = make_scan(place(Orientation.AXIAL), [(0, 0, 0)])
    wrong = raw.labels["LIN"].copy()
    wrong[5] = 20
    with pytest.raises(ReconError, match=r"LIN = 20.*0 \.\.\. 19[\s\S]*Correct the label LIN"):
        reconstruct(replace(raw, labels={**raw.labels, "LIN": wrong}))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"zero_fill": 0.5}, r"0\.5[\s\S]*1 to 16"),
        ({"zero_fill": float("nan")}, r"nan[\s\S]*1 to 16"),
        ({"matrix": (-1, 2, 2)}, r"-1 x 2 x 2[\s\S]*2048"),
        ({"matrix": (64, 64, 64), "zero_fill": 2.0}, r"Both[\s\S]*one of the two"),
        ({"oversampling": 0.0}, r"oversampling of 0[\s\S]*1 or more"),
        ({"filter_width": 2.0}, r"width of 2[\s\S]*at most 1"),
    ],
)
def test_impossible_options_are_refused(options, text):
    with pytest.raises(ReconError, match=text):
        ReconOptions(**options)


def test_scans_without_an_image_say_so():
    raw = make_scan(place(Orientation.AXIAL), [(0, 0, 0)])
    with pytest.raises(ReconError, match=r"not encoded on a Cartesian grid[\s\S]*spectrum"):
        reconstruct(replace(raw, encoding=None))
    with pytest.raises(ReconError, match=r"Not one imaging readout of 'points'[\s\S]*again"):
        reconstruct(replace(raw, samples=raw.samples[:0], labels={}))
    with pytest.raises(ReconError, match=r"20 samples where the encoding says 24"):
        reconstruct(replace(raw, samples=raw.samples[:, :, :20]))


def test_directions_that_are_not_at_right_angles_are_refused():
    raw = make_scan(place(Orientation.AXIAL), [(0, 0, 0)])
    values = {name: getattr(raw.encoding, name) for name in raw.encoding.__dataclass_fields__}
    values["step_lin_per_m"] = values["step_lin_per_m"] + 0.5 * values["step_read_per_m"]
    with pytest.raises(ReconError, match=r"67\.\d degrees[\s\S]*right angles"):
        reconstruct(replace(raw, encoding=Encoding(**values)))
