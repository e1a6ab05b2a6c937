# SPDX-License-Identifier: MIT
"""Partial Fourier: an object with a smooth phase comes out nearly as from whole k-space, and far better than with zeros."""

import numpy as np
import pytest
from recon_scans import before, head, kspace_of, of_kspace

from isocenter.domain.geometry import Orientation, place
from isocenter.domain.pipeline import StepOrder
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.sequences.ordering import kept_from

PLACE = place(Orientation.AXIAL)
SIZE = (1, 96, 96)
NAMES = [order.step for order in CARTESIAN]
ZEROS = tuple(order for order in CARTESIAN if order.step != "partial_fourier")


def filled_by(method):
    return before(ZEROS, "filter", StepOrder(step="partial_fourier", parameters={"method": method}))


def error(image, truth):
    return float(np.linalg.norm(np.abs(image) - np.abs(truth)) / np.linalg.norm(truth))


def images(kspace, keep, pipeline, **arguments):
    (volume,) = reconstruct(of_kspace(kspace, PLACE, keep=keep, **arguments), pipeline=pipeline)
    return volume


@pytest.fixture(scope="module")
def flat():
    return kspace_of(head(SIZE), SIZE)[np.newaxis]


def lines(n_par, n_lin, *, lin=1.0, par=1.0, from_end=False):
    keep = np.zeros((n_par, n_lin), dtype=bool)
    keep[: round(par * n_par), : round(lin * n_lin)] = True
    return keep[::-1, ::-1] if from_end else keep


# Bounds: what these methods leave at the object's sharp inner edges, measured here, with a third to spare.
@pytest.mark.parametrize("method", ["pocs", "homodyne"])
@pytest.mark.parametrize(("part", "bound"), [(0.6, 0.03), (0.65, 0.024), (0.7, 0.02), (0.75, 0.02)])
@pytest.mark.parametrize("from_end", [False, True])
def test_missing_lines_are_filled(flat, method, part, bound, from_end):
    keep = lines(1, 96, lin=part, from_end=from_end)
    whole = images(flat, None, ZEROS).data
    found = images(flat, keep, filled_by(method))
    zeros = images(flat, keep, ZEROS).data
    assert error(found.data, whole) < bound * (0.6 if method == "pocs" else 1)
    assert error(found.data, whole) < 0.45 * error(zeros, whole)
    assert f"{100 * round(part * 96) / 96:.0f} % of lin measured" in dict(found.provenance)["partial_fourier"]


@pytest.mark.parametrize("method", ["pocs", "homodyne"])
def test_a_partial_echo_is_filled(flat, method):
    cut = flat[..., 34:]
    whole = images(flat, None, ZEROS).data
    found = images(cut, None, filled_by(method), centres=(48 - 34, 48, 0), fov_m=(0.24, 0.2, 0.16))
    zeros = images(cut, None, ZEROS, centres=(48 - 34, 48, 0), fov_m=(0.24, 0.2, 0.16)).data
    assert found.data.shape == (1, 96, 96)
    assert error(found.data, whole) < 0.08
    assert error(found.data, whole) < 0.5 * error(zeros, whole)
    assert "65 % of read measured" in dict(found.provenance)["partial_fourier"]


@pytest.mark.parametrize("method", ["pocs", "homodyne"])
def test_two_directions_at_once(method):
    shape = (24, 48, 40)
    kspace = kspace_of(head(shape), shape)[np.newaxis]
    keep = lines(24, 48, lin=0.7, par=0.7)
    whole = images(kspace, None, ZEROS).data
    found, zeros = images(kspace, keep, filled_by(method)), images(kspace, keep, ZEROS)
    bound = {"pocs": 0.6, "homodyne": 0.8}[method]
    assert error(found.data, whole) < bound * error(zeros.data, whole)
    said = dict(found.provenance)["partial_fourier"]
    assert "% of par measured" in said
    assert "% of lin measured" in said


def thin(n_par, keep, method, phase_rad=1.0):
    """A slab of few partitions of which some were measured: whole, with zeros, filled."""
    shape = (n_par, 40, 32)
    kspace = kspace_of(head(shape, phase_rad=phase_rad), shape)[np.newaxis]
    chosen = np.zeros((n_par, 40), dtype=bool)
    chosen[keep] = True
    return images(kspace, None, ZEROS), images(kspace, chosen, ZEROS), images(kspace, chosen, filled_by(method))


# The first sample of an even axis has no opposite: without it an error is left that nothing can take away.
SLABS = [
    (method, n_par, skip)
    for method, least in (("pocs", 1), ("homodyne", 2))
    for n_par in (6, 7, 8, 9, 10, 11, 16, 17, 24, 25)
    for skip in sorted({kept_from(n_par, fraction) for fraction in (0.55, 0.6, 0.7, 0.8)})
    if n_par // 2 - skip >= least and skip > (n_par + 1) % 2
]


@pytest.mark.parametrize(("method", "n_par", "skip"), SLABS)
def test_few_partitions_are_filled_from_either_side(method, n_par, skip):
    floor, end = 0.0, 2 * (n_par // 2) - skip + 1
    sides = [slice(skip, None)] + ([slice(0, end)] if end < n_par else [])
    for keep in sides:
        whole, zeros, found = thin(n_par, keep, method)
        if n_par % 2 == 0 and keep.start:
            floor = error(thin(n_par, slice(1, None), method)[1].data, whole.data)
        left, before_it = error(found.data, whole.data), error(zeros.data, whole.data)
        assert "of par measured" in dict(found.provenance)["partial_fourier"]
        assert left <= 1.01 * before_it
        assert left - floor < 0.6 * (before_it - floor) + 0.02
        floor = 0.0


def test_the_slab_of_eight_partitions_of_which_six_were_measured_is_filled():
    assert kept_from(8, 0.7) == 2
    whole, zeros, found = thin(8, slice(2, None), "pocs")
    assert "75 % of par measured" in dict(found.provenance)["partial_fourier"]
    assert error(found.data, whole.data) < 0.9 * error(zeros.data, whole.data)


@pytest.mark.parametrize("method", ["pocs", "homodyne"])
def test_what_has_no_opposite_is_no_reason_to_fill(method):
    _, zeros, found = thin(8, slice(1, None), method)
    assert "nothing is missing" in dict(found.provenance)["partial_fourier"]
    np.testing.assert_array_equal(found.data, zeros.data)


def test_pocs_keeps_what_was_measured(flat):
    kept = {}

    def watch(name, work):
        kept[name] = [grid.data.copy() for grid in work.grids]

    keep = lines(1, 96, lin=0.65)
    raw = of_kspace(flat, PLACE, keep=keep)
    reconstruct(raw, pipeline=filled_by("pocs"), watch=watch)
    before_it, after = kept["sort"][0], kept["partial_fourier"][0]
    np.testing.assert_array_equal(after[:, :, keep], before_it[:, :, keep])
    assert np.abs(after[:, :, ~keep]).max() > 0


def test_whole_kspace_is_left_alone(flat):
    whole = images(flat, None, ZEROS)
    same = images(flat, None, filled_by("pocs"))
    np.testing.assert_array_equal(same.data, whole.data)
    assert "nothing is missing" in dict(same.provenance)["partial_fourier"]


def test_a_scan_cut_short_is_not_filled(flat):
    keep = lines(1, 96, lin=0.65)
    cut = images(flat, keep, filled_by("pocs"), n_expected=96)
    np.testing.assert_array_equal(cut.data, images(flat, keep, ZEROS, n_expected=96).data)
    assert "cut short" in dict(cut.provenance)["partial_fourier"]


def test_lines_missing_between_are_not_this_steps_business(flat):
    keep = lines(1, 96, lin=0.8)
    keep[0, 5:40:2] = False
    kept = images(flat, keep, filled_by("pocs"))
    np.testing.assert_array_equal(kept.data, images(flat, keep, ZEROS).data)


def test_too_little_beyond_the_centre_is_said(flat):
    volume = images(flat, lines(1, 96, lin=0.52), filled_by("pocs"))
    assert "too few to tell the phase" in dict(volume.skipped)["partial_fourier"]
    np.testing.assert_array_equal(volume.data, images(flat, lines(1, 96, lin=0.52), ZEROS).data)


def test_every_channel_gets_its_own_phase(flat):
    rng = np.random.default_rng(3)
    two = np.concatenate([flat, flat * np.exp(1j * rng.uniform(0, 6))])
    keep = lines(1, 96, lin=0.65)
    found = images(two, keep, filled_by("pocs")).data
    np.testing.assert_allclose(found, np.sqrt(2) * images(flat, keep, filled_by("pocs")).data, rtol=1e-3, atol=1e-3)
