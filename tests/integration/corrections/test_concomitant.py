# SPDX-License-Identifier: MIT
"""Concomitant fields on, their correction on: it knows nothing but what the raw data say."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.geometry import Orientation, place
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scenario import MagnetFaults
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN, NONCARTESIAN, with_field
from isocenter.storage.foreign import read_foreign
from isocenter.storage.mrd_write import write_mrd

_SPEC = importlib.util.spec_from_file_location("imperfect_scans", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

READ_ALONG_Y = place(Orientation.AXIAL, swap_read_phase=True)  # across B0, where it is worst
# With a TR of 150 ms what is left of the shots before is heard too, which no correction of this shot's echo puts right.
ONE_ECHO = scans.TSE | {"bandwidth_hz": 50e3, "echo_train_length": 1, "n_slab": 1, "fov_slab_m": 0.1, "tr_s": 0.6}
STEP = StepOrder(step="concomitant", parameters={"field_axis": "x"})
CORRECTED = tuple(STEP if order.step == "b0" else order for order in with_field(CARTESIAN))


def pair(sequence, values, placement, n_spins=30_000):
    """The scan without and with concomitant fields."""
    return tuple(
        scans.measured(sequence, values, placement, n_spins=n_spins, magnet=MagnetFaults(has_concomitant=is_on))
        for is_on in (False, True)
    )


def error(volume, truth):
    return float(np.linalg.norm(volume.data - truth.data) / np.linalg.norm(truth.data))


@pytest.fixture(scope="module")
def single_echoes():
    return pair("tse_3d", ONE_ECHO, READ_ALONG_Y)


def test_single_echoes_are_put_right_by_80_percent_from_the_stored_file_alone(single_echoes, tmp_path):
    ideal, raw = single_echoes
    write_mrd(raw, tmp_path / "raw.h5")
    truth, plain = reconstruct(ideal)[0], reconstruct(raw)[0]
    fixed = reconstruct(read_foreign(tmp_path / "raw.h5"), pipeline=CORRECTED)[0]
    whole = slice(0, 1)
    true_mm = scans.places_mm(truth, whole)
    before, after = (scans.rms(scans.places_mm(volume, whole)[:, :2] - true_mm[:, :2]) for volume in (plain, fixed))
    errors = error(plain, truth), error(fixed, truth)
    said = dict(fixed.provenance)["concomitant"]
    print(f"single echoes: {before:.3f} mm -> {after:.3f} mm, image {errors[0]:.4f} -> {errors[1]:.4f}; {said}")
    assert before > 0.05
    assert after < 0.2 * before
    assert errors[1] < 0.2 * errors[0]
    assert "moved by up to 0.1" in said


def test_the_wrong_direction_of_the_main_field_is_no_help(single_echoes):
    ideal, raw = single_echoes
    truth, plain = reconstruct(ideal)[0], reconstruct(raw)[0]
    wrong = tuple(replace(o, parameters={"field_axis": "y"}) if o.step == "concomitant" else o for o in CORRECTED)
    assert error(reconstruct(raw, pipeline=wrong)[0], truth) > 0.5 * error(plain, truth)


def test_without_moments_the_image_stays_and_says_so(single_echoes):
    _, raw = single_echoes
    old = replace(raw, square_moments_per_m2=raw.square_moments_per_m2[:0])
    orders = tuple(order for order in CORRECTED if order.step != "concomitant")
    volume = reconstruct(old, pipeline=CORRECTED)[0]
    assert "do not say what the gradients' squares left behind" in dict(volume.skipped)["concomitant"]
    np.testing.assert_array_equal(volume.data, reconstruct(old, pipeline=orders)[0].data)


def low_field(monkeypatch):
    """The same scanner at 12 mT: everything four times as bad."""
    magnet = replace(scans.SCANNER.magnet, larmor_hz=0.5e6)
    monkeypatch.setattr(scans, "SCANNER", replace(scans.SCANNER, magnet=magnet))


@pytest.mark.slow
def test_spirals_at_12_mt_are_sharp_again(monkeypatch):
    low_field(monkeypatch)
    values = {"thickness_m": 0.06, "n_interleaves": 8}
    ideal, raw = pair("spiral_2d", values, place(Orientation.AXIAL), n_spins=40_000)
    aware = tuple(replace(o, parameters={"field_axis": "x"}) if o.step == "nufft" else o for o in NONCARTESIAN)
    truth, plain = (reconstruct(each, pipeline=NONCARTESIAN)[0] for each in (ideal, raw))
    fixed = reconstruct(raw, pipeline=aware)[0]
    errors = error(plain, truth), error(fixed, truth)
    print(f"spirals: image {errors[0]:.4f} -> {errors[1]:.4f}; {dict(fixed.provenance)['nufft'].split('; ')[-9:]}")
    assert errors[0] > 0.1
    assert errors[1] < 0.22 * errors[0]  # the rest: k-space that slice selection has shifted, and conjugate phase


def test_echo_trains_at_12_mt_get_better_and_say_what_stays(monkeypatch):
    low_field(monkeypatch)
    values = scans.TSE | {"bandwidth_hz": 50e3, "echo_train_length": 4, "n_slab": 6, "fov_slab_m": 0.1, "tr_s": 0.15}
    ideal, raw = pair("tse_3d", values, READ_ALONG_Y)
    truth, plain = (reconstruct(each)[0] for each in (ideal, raw))
    fixed = reconstruct(raw, pipeline=CORRECTED)[0]
    errors = error(plain, truth), error(fixed, truth)
    print(f"echo trains: image {errors[0]:.4f} -> {errors[1]:.4f}")
    assert errors[1] < 0.9 * errors[0]
    assert "refocusing of the echo trains stays" in dict(fixed.provenance)["concomitant"]


def test_a_scan_at_the_isocenter_without_concomitant_fields_is_hardly_changed(single_echoes):
    # what is corrected is computed, not measured; so it must be small where the fields are
    ideal, _ = single_echoes
    small = replace(ideal, square_moments_per_m2=1e-6 * ideal.square_moments_per_m2, lo_hz=ideal.lo_hz * 1e6)
    plain, fixed = reconstruct(small)[0], reconstruct(small, pipeline=CORRECTED)[0]
    np.testing.assert_allclose(fixed.data, plain.data, atol=1e-4 * plain.data.max())
