# SPDX-License-Identifier: MIT
"""Test objects: what their geometry says is what their labels show."""

import numpy as np
import pytest
from scipy import ndimage

from isocenter.virtual.phantoms.acr import CONTRASTS, DIAMETER_M, HOLES_M, LENGTH_M, SMALL, acr_geometry
from isocenter.virtual.phantoms.catalogue import PHANTOMS
from isocenter.virtual.phantoms.nema import NEMA_GEOMETRY
from isocenter.virtual.phantoms.simple import GRID_BALL_RADIUS_M, GRID_MARKER_LPS_M, GRID_PITCH_M, grid_points_m
from isocenter.virtual.phantoms.vials import T1_ARRAY, T2_ARRAY, VIALS, vial_centres_m

SIZES = [("acr", 1.0), ("acr-small", SMALL)]


def labels(name, left, back, up):
    """Labels on the grid of three axes."""
    places = np.stack(np.meshgrid(left, back, up, indexing="ij"), axis=-1)
    return PHANTOMS[name].label(places.reshape(-1, 3)).reshape(places.shape[:-1])


def edges(axis, line):
    """Where a line of labels changes from nothing to something and back."""
    change = np.flatnonzero(np.diff((line > 0).astype(int)))
    return (axis[change] + axis[change + 1]) / 2


@pytest.mark.parametrize(("name", "scale"), SIZES)
def test_acr_has_the_size_it_says(name, scale):
    found, axis = acr_geometry(scale), np.linspace(-0.12, 0.12, 24001)
    assert (found.diameter_m, found.length_m) == pytest.approx((scale * DIAMETER_M, scale * LENGTH_M))
    middle = [sum(found.uniform_m) / 2]
    for line in (labels(name, axis, [0.0], middle)[:, 0, 0], labels(name, [0.0], axis, middle)[0, :, 0]):
        assert np.diff(edges(axis, line)) == pytest.approx(found.diameter_m, abs=3e-5)
    outer = labels(name, [0.44 * found.diameter_m], [0.0], axis)[0, 0, :]
    assert np.diff(edges(axis, outer)) == pytest.approx(found.length_m, abs=3e-5)


@pytest.mark.parametrize(("name", "scale"), SIZES)
def test_acr_holes_are_where_they_are_said_to_be(name, scale):
    found = acr_geometry(scale)
    height = sum(found.resolution_m) / 2
    assert [array.diameter_m for array in found.holes] == list(HOLES_M)
    axis = np.arange(-0.36 * found.diameter_m, 0.36 * found.diameter_m, 1e-4)
    picture = labels(name, axis, axis[np.abs(axis) < 0.29 * found.diameter_m], [height])[:, :, 0]
    spots, n_spots = ndimage.label(picture)
    assert n_spots == sum(len(array.centres_m) for array in found.holes)
    middles = np.array(ndimage.center_of_mass(picture, spots, range(1, n_spots + 1)))
    middles = np.stack(
        [axis[0] + 1e-4 * middles[:, 0], axis[np.abs(axis) < 0.29 * found.diameter_m][0] + 1e-4 * middles[:, 1]], 1
    )
    areas = ndimage.sum(picture, spots, range(1, n_spots + 1)) * 1e-8
    for array in found.holes:
        for centre in array.centres_m:
            nearest = np.argmin(np.linalg.norm(middles - centre, axis=1))
            assert middles[nearest] == pytest.approx(centre, abs=1e-4)
            assert areas[nearest] == pytest.approx(np.pi * array.diameter_m**2 / 4, rel=0.08)
        assert np.ptp(array.centres_m[:, 0]) == pytest.approx(np.ptp(array.centres_m[:, 1]))


@pytest.mark.parametrize(("name", "scale"), SIZES)
@pytest.mark.parametrize("thickness_m", [0.003, 0.005])
def test_acr_ramps_show_the_thickness_of_a_slice(name, scale, thickness_m):
    found = acr_geometry(scale)
    across = np.linspace(-0.39, 0.39, 3201) * found.diameter_m
    up = sum(found.ramps_m) / 2 + 1e-3 + np.linspace(-0.5, 0.5, 101) * thickness_m  # a slice a little off the middle
    lengths, middles = [], []
    for ramp in found.ramps:
        profile = (labels(name, across, [ramp.middle_lps_m[1]], up)[:, 0, :] > 0).mean(axis=1)
        seen = across[profile > 0.5 * profile.max()]
        lengths.append(np.ptp(seen))
        middles.append(seen.mean())
    top, bottom = lengths
    assert 0.2 * top * bottom / (top + bottom) == pytest.approx(thickness_m, rel=0.03)
    assert middles[0] == pytest.approx(1e-3 / found.ramps[0].slope, abs=2e-4)
    assert middles[1] == pytest.approx(1e-3 / found.ramps[1].slope, abs=2e-4)


@pytest.mark.parametrize(("name", "scale"), SIZES)
def test_acr_grid_has_its_pitch(name, scale):
    found = acr_geometry(scale)
    axis = np.linspace(-found.grid_reach_m, found.grid_reach_m, 20001)
    off_line = found.grid_pitch_m / 2
    for line in (
        labels(name, axis, [off_line], [sum(found.grid_m) / 2])[:, 0, 0],
        labels(name, [off_line], axis, [sum(found.grid_m) / 2])[0, :, 0],
    ):
        cuts = edges(axis, line)
        middles = (cuts[1:-2:2] + cuts[2:-1:2]) / 2
        assert np.diff(middles) == pytest.approx(found.grid_pitch_m, abs=2e-5)
        assert cuts[2:-1:2] - cuts[1:-2:2] == pytest.approx(found.grid_line_m, abs=2e-5)


@pytest.mark.parametrize(("name", "scale"), SIZES)
def test_acr_discs_fade(name, scale):
    found, phantom = acr_geometry(scale), PHANTOMS[name]
    assert len(found.discs) == 4 * 30
    centres = np.array([disc.centre_lps_m for disc in found.discs])
    loss = np.array([1 - phantom.tissues[label - 1].density for label in phantom.label(centres)])
    assert loss == pytest.approx([disc.contrast for disc in found.discs])
    assert sorted(set(np.round(loss, 6)), reverse=True) == pytest.approx(CONTRASTS)
    edge = centres + np.array([[0.51 * disc.diameter_m, 0, 0] for disc in found.discs])
    assert (phantom.label(edge) == 1).all()


def test_acr_sections_follow_one_another_without_overlap():
    for _, scale in SIZES:
        found = acr_geometry(scale)
        ends = [*found.resolution_m, *found.ramps_m, *found.grid_m, *found.uniform_m, *found.contrast_m]
        assert ends == sorted(ends)
        assert max(np.abs(ends)) < found.length_m / 2


def test_nema_bars_have_their_widths():
    up = [sum(NEMA_GEOMETRY.bars_m) / 2]
    for group in NEMA_GEOMETRY.bars:
        reach = group.width_m * (2 * group.n_bars + 1) / 2
        axis = np.linspace(-reach, reach, 20001)
        left, back = group.centre_m
        if group.is_along_left:
            line = labels("nema", axis + left, [back], up)[:, 0, 0]
        else:
            line = labels("nema", [left], axis + back, up)[0, :, 0]
        cuts = edges(axis, line)
        assert len(cuts) == 2 * group.n_bars
        assert np.diff(cuts) == pytest.approx(group.width_m, abs=3e-6)
        assert cuts.mean() == pytest.approx(0.0, abs=3e-6)


def test_nema_wedges_rise_in_opposite_directions():
    across = np.linspace(-0.05, 0.05, 10001)
    for side in (-1.0, 1.0):
        back = [side * 0.6 * NEMA_GEOMETRY.wedge_width_m]
        for up in (-0.006, 0.0, 0.006):
            edge = edges(across, labels("nema", across, back, [up])[:, 0, 0])
            assert edge == pytest.approx([-side * up / NEMA_GEOMETRY.wedge_slope], abs=2e-5)


@pytest.mark.parametrize(("name", "fillings"), [("vials", VIALS), ("vials-t1", T1_ARRAY), ("vials-t2", T2_ARRAY)])
def test_each_vial_is_in_its_place(name, fillings):
    centres = vial_centres_m(len(fillings))
    assert PHANTOMS[name].label(centres).tolist() == list(range(1, len(fillings) + 1))
    axis = np.linspace(-0.075, 0.075, 301)
    n_spots = ndimage.label(labels(name, axis, axis, [0.0])[:, :, 0])[1]
    assert n_spots == len(fillings)
    with pytest.raises(ValueError, match="no set of 5 vials"):
        vial_centres_m(5)


def test_the_arrays_cover_low_field_relaxation():
    t1, t2 = np.array([t.t1_s for t in T1_ARRAY]), np.array([t.t2_s for t in T2_ARRAY])
    assert (t1.max(), t2.max()) == (2.0, 0.64)
    assert t1[:-1] / t1[1:] == pytest.approx(np.sqrt(2), rel=0.01)
    assert t2[:-1] / t2[1:] == pytest.approx(np.sqrt(2), rel=0.01)


def test_the_lattice_of_balls():
    points = grid_points_m()
    axis = np.arange(-0.085, 0.085, 1e-3)
    volume = labels("grid", axis, axis, axis)
    spots, n_spots = ndimage.label(volume)
    assert n_spots == len(points)
    middles = axis[0] + 1e-3 * np.array(ndimage.center_of_mass(volume, spots, range(1, n_spots + 1)))
    distance = np.linalg.norm(middles[:, None] - points[None], axis=2).min(axis=0)
    assert distance.max() < 2e-4
    sizes = ndimage.sum(volume, spots, range(1, n_spots + 1))
    assert middles[np.argmax(sizes)] == pytest.approx(GRID_MARKER_LPS_M, abs=2e-4)
    assert np.sort(sizes)[-1] > 3 * np.sort(sizes)[-2]
    assert 2 * GRID_BALL_RADIUS_M < GRID_PITCH_M
