# SPDX-License-Identifier: MIT
"""Our DICOM before independent judges: validators, a converter, and an archive."""

import dataclasses
import math
import re
import socket
import subprocess
from datetime import date

import nibabel
import numpy as np
import pydicom
import pytest

from isocenter.dicom.identifiers import new_uid
from isocenter.dicom.series import SeriesInfo, to_pixels, write_series
from isocenter.domain.errors import DicomError
from isocenter.domain.events import Encoding, ScanFacts
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.patient import UNPAIRED_PARTS, Exam, Patient, Sex
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan
from isocenter.domain.scanner import (
    ConsoleLink,
    GradientAxis,
    GradientBoard,
    GradientSystem,
    Magnet,
    Receiver,
    RfSystem,
    Scanner,
)
from isocenter.domain.volume import PLACE_UNKNOWN
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.options import ReconOptions
from isocenter.storage.nifti import ras_affine_mm, write_nifti

PERSON = Patient(
    patient_id="ISO-0001",
    family_name="Doe",
    given_name="Jane",
    birth_date=date(1980, 2, 29),
    sex=Sex.FEMALE,
    weight_kg=61.5,
    height_m=1.68,
)
FACTS = ScanFacts(
    duration_s=200.0,
    tr_s=0.6,
    te_s=0.0801234567,
    ti_s=math.nan,
    echo_train_length=8,
    flip_rad=math.pi / 2,
    peak_b1_t=2e-5,
    rf_duty=0.01,
    b1_rms_t=1.23456789e-6,
    peak_gradient_t_per_m=(0.01, 0.01, 0.01),
    peak_slew_t_per_m_s=(20.0, 20.0, 20.0),
    rms_gradient_t_per_m=(0.002, 0.002, 0.002),
)


def make_scanner():
    axis = GradientAxis(
        full_scale_t_per_m=0.02, max_t_per_m=0.015, max_slew_t_per_m_s=50.0, max_rms_t_per_m=0.01, delay_s=0.0
    )
    return Scanner(
        name="osii-one",
        title="OSII ONE",
        manufacturer="Open Source Imaging Initiative",
        model="OSII ONE",
        serial_number="1",
        station_name="ISOCENTER1",
        institution="Community Clinic",
        body_parts=("HEAD",),
        magnet=Magnet(
            larmor_hz=1.98e6,
            search_span_hz=5e4,
            bore_m=0.3,
            imaging_diameter_m=0.2,
            homogeneity_ppm=math.nan,
            drift_hz_per_c=math.nan,
        ),
        gradients=GradientSystem(
            board=GradientBoard.GPA_FHDO,
            spi_divider=10,
            update_interval_s=1e-5,
            axes=(axis, axis, axis),
            channel_from_device=np.eye(3),
        ),
        rf=RfSystem(full_scale_t=5e-5, warmup_s=1e-4, hold_s=1e-5, dead_time_s=1e-4, max_pulse_s=0.01, max_duty=0.2),
        receiver=Receiver(oversampling=4, volts_per_unit=math.nan, coil_bandwidth_hz=math.nan, coil_name="Head solenoid"),
        console=ConsoleLink(family="marcos", host="127.0.0.1", port=11111, clock_hz=122.88e6, segment_gap_s=0.05),
    )


def make_exam(patient=PERSON, position=PatientPosition.HFS, **changes):
    values = {
        "exam_id": "20260301-0001",
        "patient": patient,
        "position": position,
        "study_uid": new_uid(),
        "frame_of_reference_uid": new_uid(),
        "body_part": "HEAD",
        "started_at": "2026-03-01T09:15:00.250000+05:45",
        "study_description": "Brain",
        "accession_number": "ACC123",
        "referring_physician": "Smith^Alan",
        "operator": "tech1",
    }
    return Exam(**{**values, **changes})


def make_raw(placement, *, name="tse_3d", facts=FACTS, slices=None):
    """K-space of three unequal balls of points: no symmetry that could hide a flip. Readout oversampled twice."""
    rng = np.random.default_rng(5)
    rotation = placement.device_from_logical
    n_read, n_lin, n_par = 64, 24, 1 if slices else 10
    fov = np.array([0.2, 0.16, 0.12])
    steps = [rotation[:, 0] / (2 * fov[0]), rotation[:, 1] / fov[1], np.zeros(3) if slices else rotation[:, 2] / fov[2]]
    centres = np.array([[0.05, 0.03, 0.02], [-0.04, 0.03, -0.01], [0.02, -0.05, 0.03]])  # device axes, from the centre
    points = np.concatenate([c + rng.normal(0, 0.008, (30 + 20 * i, 3)) for i, c in enumerate(centres)])
    n_slc = len(slices) if slices else 1
    lin, par, slc = (
        a.ravel().astype(np.int32) for a in np.meshgrid(range(n_lin), range(n_par), range(n_slc), indexing="ij")
    )
    k = np.outer(lin - n_lin // 2, steps[1]) + np.outer(par - n_par // 2, steps[2])
    k = k[:, None] + (np.arange(n_read) - 31.5)[:, None] * steps[0]
    samples = np.exp(2j * np.pi * (k @ points.T)).sum(axis=-1) * (1 + 0.1 * slc[:, None])
    encoding = Encoding(
        step_read_per_m=steps[0],
        step_lin_per_m=steps[1],
        step_par_per_m=steps[2],
        centre_sample=31.5,
        centre_lin=float(n_lin // 2),
        centre_par=float(n_par // 2),
        n_samples=n_read,
        n_lin=n_lin,
        n_par=n_par,
        slice_positions_m=np.array(slices or []),
        slice_normal_device=rotation[:, 2] if slices else np.zeros(3),
        slice_thickness_m=0.005 if slices else 0.0,
        centre_device_m=placement.centre_device_m,
    )
    return RawScan(
        samples=samples[:, None].astype(np.complex64),
        labels={"LIN": lin, "PAR": par, "SLC": slc},
        dwell_s=25e-6,
        lo_hz=1979851.25,
        encoding=encoding,
        placement=placement,
        facts=facts,
        definitions={"Name": name, "FOV": "0.2 0.16 0.12"},
        n_expected=len(lin),
        name="T2 TSE",
    )


SERIES = SeriesInfo(number=2, description="T2 TSE axial", started_at="2026-03-01T09:20:00+05:45", sar_w_per_kg=0.02)


def export(folder, *, raw=None, exam=None, series=SERIES, options=None, scanner=None):
    raw = raw or make_raw(place(Orientation.AXIAL))
    (volume,) = reconstruct(raw, options=options)
    exam = exam or make_exam(position=raw.placement.position)
    return volume, write_series(volume, raw=raw, exam=exam, series=series, scanner=scanner or make_scanner(), folder=folder)


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def complaints(paths):
    """Lines of dciodvfy that are errors or warnings; its exit code says nothing (clinical.md 1.6)."""
    found = []
    for path in paths:
        _, output = run("dciodvfy", "-new", path)
        assert "MRImage" in output  # it recognised the object, so its silence means something
        found += [line for line in output.splitlines() if re.match(r"\s*(error|warning)", line, re.IGNORECASE)]
    return found


KINDS = {
    "TSE 3D": {"raw": lambda: make_raw(place(Orientation.AXIAL))},
    "TSE oblique": {
        "raw": lambda: make_raw(place(Orientation.AXIAL, PatientPosition.FFP, (0.01, 0.02, -0.013), (0.31, -0.2)))
    },
    "GRE coronal": {
        "raw": lambda: make_raw(
            place(Orientation.CORONAL, swap_read_phase=True),
            name="gre_3d",
            facts=dataclasses.replace(FACTS, echo_train_length=1, flip_rad=0.3),
        )
    },
    "SE slices sagittal": {
        "raw": lambda: make_raw(
            place(Orientation.SAGITTAL, PatientPosition.HFDR),
            name="spin_echo_2d",
            facts=dataclasses.replace(FACTS, echo_train_length=1),
            slices=[0.006, -0.006, 0.0],
        )
    },
    "inversion recovery": {
        "raw": lambda: make_raw(place(Orientation.AXIAL), facts=dataclasses.replace(FACTS, ti_s=0.35), name="ir_tse_3d")
    },
    "unknown sequence, single shot": {
        "raw": lambda: make_raw(
            place(Orientation.AXIAL),
            name="mystery",
            facts=dataclasses.replace(FACTS, tr_s=math.nan, te_s=math.nan, flip_rad=math.nan),
        )
    },
    "no facts": {"raw": lambda: make_raw(place(Orientation.AXIAL), facts=None)},
    "single slice": {"raw": lambda: make_raw(place(Orientation.AXIAL), slices=[0.01])},
    "16 bit": {"series": dataclasses.replace(SERIES, bits=16)},
    "zero-filled": {"options": ReconOptions(zero_fill=2.0)},
    "phantom": {
        "exam": lambda: make_exam(
            Patient(patient_id="PHANTOM-1", family_name="Phantom", given_name="Bottle", sex=Sex.OTHER, is_phantom=True)
        )
    },
    "hardly anything known": {
        "exam": lambda: make_exam(
            Patient(patient_id="7", family_name="Unknown"),
            study_description="",
            accession_number="",
            referring_physician="",
            operator="",
        ),
        "series": dataclasses.replace(SERIES, sar_w_per_kg=math.nan, description="x"),
        "scanner": lambda: dataclasses.replace(
            make_scanner(), serial_number="", station_name="", institution="", model="", manufacturer=""
        ),
    },
    "knee": {
        "exam": lambda: make_exam(body_part="KNEE", position=PatientPosition.HFS),
        "series": dataclasses.replace(SERIES, laterality="R"),
    },
    "baby": {"exam": lambda: make_exam(dataclasses.replace(PERSON, birth_date=date(2025, 12, 24), weight_kg=4.0))},
    "long texts": {
        "exam": lambda: make_exam(study_description="s" * 100, operator="Op^" + "x" * 50),
        "series": dataclasses.replace(SERIES, description="d" * 90 + "\\", comment="Scan was stopped early."),
    },
}


@pytest.mark.peer("dciodvfy")
@pytest.mark.peer("dcentvfy")
@pytest.mark.parametrize("kind", list(KINDS))
def test_validators_have_nothing_to_say(kind, tmp_path):
    arguments = {name: value() if callable(value) else value for name, value in KINDS[kind].items()}
    _, paths = export(tmp_path, **arguments)
    assert complaints(paths) == []
    code, output = run("dcentvfy", *paths)
    assert (code, output.strip()) == (0, "")


@pytest.mark.peer("dciodvfy")
def test_a_derived_series_says_so_and_what_was_done(tmp_path):
    raw = make_raw(place(Orientation.AXIAL))
    (volume,) = reconstruct(raw)
    second = dataclasses.replace(volume, label="denoised", provenance=(*volume.provenance, ("denoise", "strength 10 %")))
    paths = write_series(second, raw=raw, exam=make_exam(), series=SERIES, scanner=make_scanner(), folder=tmp_path)
    assert complaints(paths) == []
    image = pydicom.dcmread(paths[0])
    assert list(image.ImageType) == ["DERIVED", "PRIMARY", "OTHER"]
    assert "Derived image: denoised." in image.ImageComments
    assert "denoise: strength 10 %" in image.DerivationDescription


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize(("kind", "what"), [("phase", "PHASE MAP"), ("real", "OTHER")])
def test_signed_values_keep_their_sign_about_the_middle(kind, what, tmp_path):
    raw = make_raw(place(Orientation.AXIAL))
    pipeline = [o if o.step != "output" else StepOrder(step="output", parameters={"kind": kind}) for o in CARTESIAN]
    (volume,) = reconstruct(raw, pipeline=pipeline)
    paths = write_series(volume, raw=raw, exam=make_exam(), series=SERIES, scanner=make_scanner(), folder=tmp_path)
    assert complaints(paths) == []
    images = [pydicom.dcmread(path) for path in paths]
    assert images[0].ImageType[2] == what
    pixels = np.stack([image.pixel_array for image in images]).astype(float)
    scale = np.abs(volume.data).max() / 2047.5
    np.testing.assert_allclose((pixels - 2047.5) * scale, volume.data, atol=0.51 * scale)
    assert (volume.data < 0).any()


@pytest.mark.peer("dciodvfy")
def test_a_paired_part_without_its_side_is_written_with_an_honest_blank(tmp_path):
    _, paths = export(tmp_path, exam=make_exam(body_part="KNEE"))
    found = complaints(paths[:1])
    assert len(found) == 1
    assert "only permitted to be empty when actually unknown" in found[0]


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("part", sorted(UNPAIRED_PARTS))
def test_unpaired_body_parts_need_no_side(part, tmp_path):
    _, paths = export(tmp_path, raw=make_raw(place(Orientation.AXIAL), slices=[0.0]), exam=make_exam(body_part=part.lower()))
    assert complaints(paths) == []


@pytest.mark.peer("dciodvfy")
@pytest.mark.peer("dcentvfy")
def test_validators_would_notice(tmp_path):
    # Faults planted in our own files are found, so the silence above means something.
    _, paths = export(tmp_path)
    image = pydicom.dcmread(paths[0])
    image.PatientName = "Somebody^Else"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.save_as(paths[0])
    assert complaints(paths[:1])
    assert run("dcentvfy", *paths)[0] != 0


NAMES = {
    "Latin": ("Müller-Lüdenscheidt", "Jürgen"),
    "Arabic": ("الخوارزمي", "محمد بن موسى"),
    "Chinese": ("王", "小東"),
    "Japanese": ("山田", "太郎"),
    "Cyrillic": ("Достоевская", "Анна"),
    "Hindi": ("शर्मा", "राम"),
    "one name": ("Sukarno", ""),
    "64 characters": ("F" * 40, "G" * 23),
    "apostrophe": ("O'Brien", "Mary-Ann"),
}


@pytest.mark.peer("dciodvfy")
@pytest.mark.peer("dcmdump")
@pytest.mark.parametrize("script", list(NAMES))
def test_names_of_any_script_arrive_whole(script, tmp_path):
    family, given = NAMES[script]
    exam = make_exam(dataclasses.replace(PERSON, family_name=family, given_name=given))
    _, paths = export(tmp_path, exam=exam)
    assert complaints(paths[:1]) == []
    _, output = run("dcmdump", "+L", "+P", "PatientName", paths[0])
    assert f"[{family}^{given}]" in output
    image = pydicom.dcmread(paths[0])
    assert (image.PatientName.family_name, image.PatientName.given_name) == (family, given)


PLACES = [
    (Orientation.AXIAL, PatientPosition.HFS, (0.0, 0.0), False, None),
    (Orientation.CORONAL, PatientPosition.HFS, (0.0, 0.0), False, None),
    (Orientation.SAGITTAL, PatientPosition.HFS, (0.0, 0.0), True, None),
    (Orientation.AXIAL, PatientPosition.FFDL, (0.31, -0.2), False, None),
    (Orientation.SAGITTAL, PatientPosition.HFP, (0.2, 0.1), False, None),
    (Orientation.CORONAL, PatientPosition.FFS, (-0.15, 0.25), True, None),
    (Orientation.SAGITTAL, PatientPosition.FFDR, (0.1, 0.0), False, [0.006, -0.006, 0.0]),
    (Orientation.AXIAL, PatientPosition.HFS, (0.1, 0.2), False, [0.008, -0.008, 0.0, 0.016]),
]


@pytest.mark.peer("dcm2niix")
@pytest.mark.parametrize(("orientation", "position", "tilt", "swap", "slices"), PLACES)
def test_another_converter_agrees_with_our_nifti(orientation, position, tilt, swap, slices, tmp_path):
    raw = make_raw(place(orientation, position, (0.011, -0.007, 0.023), tilt, swap), slices=slices)
    volume, paths = export(tmp_path / "dicom", raw=raw)
    (tmp_path / "theirs").mkdir()
    code, output = run("dcm2niix", "-b", "y", "-z", "n", "-f", "image", "-o", tmp_path / "theirs", tmp_path / "dicom")
    assert code == 0, output
    theirs = nibabel.load(tmp_path / "theirs" / "image.nii")
    write_nifti(volume, tmp_path / "ours.nii.gz", facts=raw.facts)
    ours = nibabel.load(tmp_path / "ours.nii.gz")
    assert_same_space_and_values(theirs, ours, largest_pixel=4095)
    assert len(paths) == volume.data.shape[0]


def assert_same_space_and_values(theirs, ours, largest_pixel):
    """The converter may store rows the other way round: compare after bringing both to the same voxel order."""
    theirs, ours = nibabel.as_closest_canonical(theirs), nibabel.as_closest_canonical(ours)
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-3)
    expected = np.asarray(ours.dataobj, dtype=np.float64)
    found = np.asarray(theirs.dataobj, dtype=np.float64)
    np.testing.assert_allclose(found, expected * largest_pixel / expected.max(), atol=0.5 + 1e-3)


@pytest.mark.peer("dcm2niix")
def test_marked_points_are_at_their_place_in_the_dicom(tmp_path):
    # Straight from the attributes, without any code of ours: the strongest pixel lies in the densest ball.
    placement = place(Orientation.CORONAL, PatientPosition.FFDL, (0.004, 0.006, -0.008), (0.2, 0.1))
    _, paths = export(tmp_path, raw=make_raw(placement), options=ReconOptions(zero_fill=2))
    best = None
    for path in paths:
        image = pydicom.dcmread(path)
        row, column = np.unravel_index(image.pixel_array.argmax(), image.pixel_array.shape)
        axes = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
        spacing = [float(value) for value in image.PixelSpacing]
        point = (
            np.array(image.ImagePositionPatient, dtype=float) + axes[0] * column * spacing[1] + axes[1] * row * spacing[0]
        )
        if best is None or image.pixel_array.max() > best[0]:
            best = (image.pixel_array.max(), point)
    # Device axes of the third ball; in FFDL (L, P, S) = (-Y, X, Z) (DICOM C.7.3.1.1.2 and the table of clinical.md 1.5)
    x, y, z = 1e3 * np.array([0.02, -0.05, 0.03])
    assert np.linalg.norm(best[1] - [-y, x, z]) < 12


@pytest.mark.peer("dcm2niix")
def test_converter_reads_times_and_field(tmp_path):
    import json

    export(tmp_path / "dicom")
    run("dcm2niix", "-b", "y", "-f", "image", "-o", tmp_path, tmp_path / "dicom")
    sidecar = json.loads((tmp_path / "image.json").read_text(encoding="utf-8"))
    assert sidecar["EchoTime"] == pytest.approx(0.0801235, abs=1e-6)
    assert sidecar["RepetitionTime"] == pytest.approx(0.6)
    assert sidecar["ImagingFrequency"] == pytest.approx(1.97985, abs=1e-5)  # it prints six digits
    assert sidecar["MagneticFieldStrength"] == pytest.approx(0.0465, abs=1e-4)
    assert sidecar["MRAcquisitionType"] == "3D"


@pytest.mark.peer("storescp")
@pytest.mark.peer("storescu")
def test_an_archive_takes_the_series(tmp_path):
    _, paths = export(tmp_path / "dicom")
    (tmp_path / "archive").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["storescp", "-v", "-od", str(tmp_path / "archive"), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(50):  # until it listens; each refused attempt takes its own time
            code, output = run("storescu", "-to", "5", "127.0.0.1", port, *paths)
            if code == 0:
                break
            assert server.poll() is None, output
        assert code == 0, output
    finally:
        server.terminate()
        server.communicate(timeout=300)
    stored = list((tmp_path / "archive").iterdir())
    assert len(stored) == len(paths)
    sent = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path).PixelData for path in paths}
    assert {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path).PixelData for path in stored} == sent


def test_images_of_unknown_place_never_become_dicom(tmp_path):
    raw = make_raw(place(Orientation.AXIAL))
    (volume,) = reconstruct(raw)
    lost = dataclasses.replace(volume, provenance=(*volume.provenance, PLACE_UNKNOWN))
    with pytest.raises(DicomError, match=r"which side is which[\s\S]*NIfTI or PNG"):
        write_series(lost, raw=raw, exam=make_exam(), series=SERIES, scanner=make_scanner(), folder=tmp_path / "dicom")
    assert not (tmp_path / "dicom").exists()


def test_nothing_half_written_is_left(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DicomError, match=r"cannot be written to[\s\S]*export again"):
        export(tmp_path / "file" / "dicom")
    export(tmp_path / "dicom")
    assert {path.suffix for path in (tmp_path / "dicom").iterdir()} == {".dcm"}


def test_pixels_keep_the_image(tmp_path):
    volume, paths = export(tmp_path)
    stack = np.stack([pydicom.dcmread(path).pixel_array for path in paths])
    np.testing.assert_array_equal(stack, to_pixels(volume.data, 12))
    assert stack.max() == 4095
    assert [pydicom.dcmread(path).InstanceNumber for path in paths] == list(range(1, len(paths) + 1))
    # A left-handed or mirrored matrix would show here: LPS rows x columns = slices, and RAS turns two axes round
    assert np.linalg.det(ras_affine_mm(volume.geometry)[:3, :3]) > 0
