# SPDX-License-Identifier: MIT
"""Rules of our own catch what validators let pass, and nothing is written when one is broken."""

import dataclasses
import math

import numpy as np
import pytest
from pydicom.dataset import Dataset

from isocenter.dicom.acquisition import sequence_kind
from isocenter.dicom.rules import check_image, check_series
from isocenter.dicom.series import to_pixels
from isocenter.domain.errors import DicomError
from isocenter.domain.events import ScanFacts
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan

FACTS = ScanFacts(
    duration_s=100.0,
    tr_s=0.5,
    te_s=0.08,
    ti_s=math.nan,
    echo_train_length=1,
    flip_rad=1.5,
    peak_b1_t=1e-5,
    rf_duty=0.01,
    b1_rms_t=1e-6,
    peak_gradient_t_per_m=(0.0, 0.0, 0.0),
    peak_slew_t_per_m_s=(0.0, 0.0, 0.0),
    rms_gradient_t_per_m=(0.0, 0.0, 0.0),
)


def sound_image(number=1):
    image = Dataset()
    image.PixelSpacing, image.SliceThickness, image.SpacingBetweenSlices = [1.0, 1.5], 5.0, 6.0
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, 6.0 * number]
    image.TimezoneOffsetFromUTC, image.WindowWidth, image.PatientID = "+0545", 100, "1"
    image.ScanningSequence = "SE"
    image.StudyInstanceUID = image.SeriesInstanceUID = image.FrameOfReferenceUID = "2.25.1"
    image.SOPInstanceUID, image.InstanceNumber, image.PatientPosition = f"2.25.{number}1", number, "HFS"
    return image


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("PixelSpacing", [1.0, -1.0], r"pixel spacing is \[1\.0, -1\.0\]"),
        ("SliceThickness", 0, r"thickness is 0"),
        ("SpacingBetweenSlices", -6, r"between slices is -6"),
        ("ImageOrientationPatient", [1, 0, 0, 0.01, 1, 0], r"away from right angles"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.99, 0], r"unit length"),
        ("SAR", -0.1, r"SAR is -0\.1"),
        ("B1rms", -1.0, r"B1rms is -1\.0"),
        ("TimezoneOffsetFromUTC", "+9:00", r"time zone is '\+9:00'"),
        ("TimezoneOffsetFromUTC", "+1500", r"time zone is '\+1500'"),
        ("WindowWidth", 0, r"window width is 0"),
        ("PatientID", " ", r"patient ID is empty"),
        ("ScanningSequence", ["SE", "GR"], r"both spin echo and gradient echo"),
        ("InversionTime", 300, r"disagree"),
        ("ScanningSequence", ["SE", "IR"], r"disagree"),
    ],
)
def test_each_rule_catches_its_fault(keyword, value, message):
    image = sound_image()
    check_image(image)
    setattr(image, keyword, value)
    with pytest.raises(DicomError, match=rf"{message}[\s\S]*not written"):
        check_image(image)


def test_private_elements_are_refused():
    image = sound_image()
    image.add_new(0x00091001, "LO", "secret")
    with pytest.raises(DicomError, match=r"private elements"):
        check_image(image)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("PatientID", "2", r"differ in PatientID"),
        ("FrameOfReferenceUID", "2.25.9", r"differ in FrameOfReferenceUID"),
        ("SOPInstanceUID", "2.25.11", r"same identifier"),
        ("InstanceNumber", 5, r"not numbered"),
        ("ImagePositionPatient", [0, 0, -6], r"spatial order"),
    ],
)
def test_a_series_belongs_together(keyword, value, message):
    images = [sound_image(1), sound_image(2)]
    check_series(images)
    setattr(images[1], keyword, value)
    with pytest.raises(DicomError, match=message):
        check_series(images)


@pytest.mark.parametrize(
    ("name", "train", "ti_s", "scanning", "variant"),
    [
        ("tse_3d", 8, math.nan, ("SE",), ("SK",)),
        ("spin_echo_2d", 1, math.nan, ("SE",), ("NONE",)),
        ("gre_3d", 1, math.nan, ("GR",), ("SP",)),
        ("my_bSSFP", 1, math.nan, ("GR",), ("SS",)),
        ("epi_se", 1, math.nan, ("EP",), ("NONE",)),
        ("IR TSE", 8, 0.35, ("SE", "IR"), ("SK",)),
        ("green_house", 1, math.nan, ("RM",), ("NONE",)),  # "gre" within a word is no gradient echo
        ("", 1, math.nan, ("RM",), ("NONE",)),
    ],
)
def test_kind_of_sequence(name, train, ti_s, scanning, variant):
    raw = RawScan(
        samples=np.zeros((1, 1, 1), np.complex64),
        labels={},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=None,
        placement=Placement(),
        facts=dataclasses.replace(FACTS, echo_train_length=train, ti_s=ti_s),
        definitions={"Name": name},
    )
    kind = sequence_kind(raw)
    assert (kind.scanning, kind.variant) == (scanning, variant)
    stated = dataclasses.replace(raw, definitions={"Name": name, "ScanningSequence": "GR"})
    assert sequence_kind(stated).scanning[0] == "GR"


def test_pixels_are_scaled_by_one_factor():
    data = np.array([[[0.0, 1.0], [2.0, 4.0]], [[0.5, 0.25], [0.0, 0.0]]], dtype=np.float32)
    expected = [[[0, 1024], [2048, 4095]], [[512, 256], [0, 0]]]
    np.testing.assert_array_equal(to_pixels(data, 12), expected)
    np.testing.assert_array_equal(to_pixels((-1j * data).astype(np.complex64), 12), expected)
    assert to_pixels(data, 16).max() == 65535
    assert to_pixels(np.zeros((1, 2, 2), np.float32), 12).max() == 0
    for wrong in (np.full((1, 2, 2), np.nan, np.float32), np.zeros((0, 2, 2), np.float32), np.zeros((2, 2), np.float32)):
        with pytest.raises(DicomError, match=r"empty or contain values that are not numbers[\s\S]*Reconstruct"):
            to_pixels(wrong, 12)
