# SPDX-License-Identifier: MIT
"""NIfTI files and contact sheets say where the images lie, and say nothing where nobody knows."""

import json
import math
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image

from isocenter.domain.errors import StorageError
from isocenter.domain.events import ScanFacts
from isocenter.domain.geometry import standard_axes_lps
from isocenter.domain.volume import PLACE_UNKNOWN, ImageGeometry, Volume
from isocenter.storage.nifti import write_nifti
from isocenter.storage.png import contact_sheet

FACTS = ScanFacts(
    duration_s=100.0,
    tr_s=0.5,
    te_s=0.08,
    ti_s=math.nan,
    echo_train_length=8,
    flip_rad=math.pi / 2,
    peak_b1_t=1e-5,
    rf_duty=0.01,
    b1_rms_t=1e-6,
    peak_gradient_t_per_m=(0.0, 0.0, 0.0),
    peak_slew_t_per_m_s=(0.0, 0.0, 0.0),
    rms_gradient_t_per_m=(0.0, 0.0, 0.0),
)


def make_volume(orientation="sagittal", provenance=(), shape=(3, 4, 5)):
    axes = standard_axes_lps(orientation)
    geometry = ImageGeometry(
        first_voxel_m=np.array([0.03, -0.02, 0.01]),
        row_direction=axes[:, 0],
        column_direction=axes[:, 1],
        slice_direction=axes[:, 2],
        spacing_m=(0.006, 0.002, 0.001),
        slice_thickness_m=0.005,
    )
    data = np.random.default_rng(2).random(shape, dtype=np.float32)
    return Volume(data=data, geometry=geometry, provenance=provenance)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_each_voxel_lies_where_the_geometry_says(orientation, name, tmp_path):
    volume = make_volume(orientation)
    sidecar = write_nifti(volume, tmp_path / name)
    image = nibabel.load(tmp_path / name)
    assert sidecar == tmp_path / "image.json"
    for index in ((0, 0, 0), (2, 1, 4), (1, 3, 0)):
        ras_mm = nibabel.affines.apply_affine(image.affine, index[::-1])
        lps_m = volume.geometry.lps_m(np.array(index))
        np.testing.assert_allclose(ras_mm, lps_m * [-1e3, -1e3, 1e3], atol=1e-4)
        assert image.dataobj[index[::-1]] == volume.data[index]
    assert image.get_data_dtype() == np.float32
    assert image.header.get_xyzt_units() == ("mm", "sec")
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(matrix, image.affine, atol=1e-4)
    np.testing.assert_allclose(image.header.get_zooms(), (1.0, 2.0, 6.0), rtol=1e-6)


def test_sidecar_has_what_is_known_and_nothing_else(tmp_path):
    sidecar = write_nifti(make_volume(), tmp_path / "i.nii", facts=FACTS, larmor_hz=2.1e6)
    values = json.loads(sidecar.read_text(encoding="utf-8"))
    assert (values["RepetitionTime"], values["EchoTime"], values["FlipAngle"]) == (0.5, 0.08, 90.0)
    assert values["ImagingFrequency"] == pytest.approx(2.1)
    assert values["MagneticFieldStrength"] == pytest.approx(0.049323, abs=1e-6)
    assert values["AcquisitionDuration"] == 100.0
    assert "InversionTime" not in values
    assert "not approved for diagnosis" in values["Status"]
    assert "EchoTime" not in json.loads(write_nifti(make_volume(), tmp_path / "j.nii").read_text(encoding="utf-8"))


def test_several_volumes_of_one_geometry_become_the_fourth_axis(tmp_path):
    first = make_volume()
    second = replace(first, data=2 * first.data)
    write_nifti([first, second], tmp_path / "i.nii", extra={"EchoTime": [0.01, 0.02]})
    image = nibabel.load(tmp_path / "i.nii")
    assert image.shape == (5, 4, 3, 2)
    np.testing.assert_array_equal(image.get_fdata()[..., 1], 2 * first.data.transpose(2, 1, 0))
    assert json.loads((tmp_path / "i.json").read_text(encoding="utf-8"))["EchoTime"] == [0.01, 0.02]
    elsewhere = replace(first, geometry=replace(first.geometry, first_voxel_m=np.zeros(3)))
    for other in (elsewhere, make_volume(shape=(2, 4, 5)), replace(first, kind="phase")):
        with pytest.raises(StorageError, match=r"differ in size, place or kind[\s\S]*files of their own"):
            write_nifti([first, other], tmp_path / "j.nii")
    assert not (tmp_path / "j.nii").exists()


def test_phase_keeps_its_sign_and_says_its_unit(tmp_path):
    volume = make_volume()
    write_nifti(replace(volume, data=-volume.data, kind="phase"), tmp_path / "i.nii")
    assert nibabel.load(tmp_path / "i.nii").get_fdata().max() <= 0
    values = json.loads((tmp_path / "i.json").read_text(encoding="utf-8"))
    assert (values["Units"], values["SpacingBetweenSlices"]) == ("rad", 6.0)


def test_images_without_a_place_have_no_coordinates(tmp_path):
    write_nifti(make_volume(provenance=(PLACE_UNKNOWN,)), tmp_path / "i.nii")
    header = nibabel.load(tmp_path / "i.nii").header
    assert int(header["sform_code"]) == int(header["qform_code"]) == 0


def test_wrong_name_and_unwritable_folder_are_said(tmp_path):
    with pytest.raises(StorageError, match=r"'image.img' is not[\s\S]*\.nii\.gz"):
        write_nifti(make_volume(), tmp_path / "image.img")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be written[\s\S]*room"):
        write_nifti(make_volume(), tmp_path / "file" / "image.nii")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_contact_sheet_shows_every_slice_in_true_proportions(tmp_path):
    volume = make_volume("axial", shape=(7, 40, 80))  # 80 x 80 mm
    path = contact_sheet([volume, volume], tmp_path / "sheet.png", ["first", "second"], title="Müller, 王")
    pixels = np.asarray(Image.open(path).convert("L"))
    bright = pixels > 40
    # 14 square tiles of noise; text and gaps are little beside them
    assert 14 * 160 * 160 * 0.7 < bright.sum() < 14 * 160 * 160 * 1.02
    assert [item.name for item in tmp_path.iterdir()] == ["sheet.png"]


def letters_drawn(volume, path):
    """Pixels in the colour of orientation letters below the heading."""
    pixels = np.asarray(Image.open(contact_sheet([volume], path)).convert("RGB")).astype(int)[60:]
    return int((np.abs(pixels - [255, 205, 90]).sum(axis=2) < 30).sum())


def test_orientation_letters_only_where_the_place_is_known(tmp_path):
    assert letters_drawn(make_volume(), tmp_path / "a.png") > 50
    assert letters_drawn(make_volume(provenance=(PLACE_UNKNOWN,)), tmp_path / "b.png") == 0


def test_contact_sheet_refuses_nothing_and_too_much(tmp_path):
    with pytest.raises(StorageError, match=r"0 slices cannot be drawn[\s\S]*1 to 400"):
        contact_sheet([], tmp_path / "a.png")
    with pytest.raises(StorageError, match=r"500 slices"):
        contact_sheet([make_volume(shape=(500, 4, 4))], tmp_path / "a.png")
