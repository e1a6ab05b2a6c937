# SPDX-License-Identifier: MIT
"""A scan on the virtual scanner whose lines go to a reconstruction server while they are measured.

The server is the tests' own and parses with the ismrmrd package. Another one can be tried by hand: docs/files.md.
"""

import importlib.util
import time
from pathlib import Path
from threading import Event

import nibabel
import numpy as np
import pydicom
import pytest

from isocenter.app.outside import FOLDER, parse_outside, reconstruct_outside
from isocenter.app.scan_once import ScanOrder, scan_once
from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import Orientation, PatientPosition
from isocenter.domain.scan import Prescription
from isocenter.storage.outside import OutsideAddress

spec = importlib.util.spec_from_file_location(
    "outside_server", Path(__file__).parents[2] / "unit" / "storage" / "outside_server.py"
)
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)


def scan(out, server, **limits):
    """Two thin oblique slices of the marked block, off centre."""
    scanner = load_scanner("osii-one")
    order = ScanOrder(
        sequence="spin_echo_2d",
        assignments=("slices=2", "n_read=32", "n_phase=24", "tr_s=200ms", "thickness_m=20mm", "dummy_shots=0"),
        name="block",
        prescription=Prescription(orientation=Orientation.CORONAL, centre_lps_m=(0.008, -0.01, 0.006), tilt_rad=(0.2, 0.1)),
        position=PatientPosition.HFS,
        patient_id="PAT-77",
        patient_name="Okonkwo^Chidinma",
        body_part="HEAD",
        side="",
        larmor_hz=scanner.magnet.larmor_hz,
    )
    said = []
    setup = VirtualSetup(scenario="ideal-block", position=order.position, n_spins=6000, has_noise=False)
    address = OutsideAddress(host="127.0.0.1", port=server.port, config="fft", **limits)
    with virtual_scanner(scanner, setup) as placed:
        outcome, second = scan_once(
            order,
            placed,
            out,
            is_virtual=True,
            cancel=Event(),
            say=said.append,
            on_progress=lambda _: None,
            outside=address,
        )
    return outcome, second


def points(path):
    """Values of a NIfTI file and where they lie, both in one order of places."""
    image = nibabel.load(path)
    data = image.get_fdata()
    index = np.argwhere(np.ones(data.shape))
    places = (image.affine[:3, :3] @ index.T + image.affine[:3, 3:]).T.round(2)
    order = np.lexsort(places.T)
    return data.ravel()[order], places[order]


def test_the_second_series_is_the_same_picture_at_the_same_place(tmp_path):
    with servers.Server(servers.good) as server:
        outcome, second = scan(tmp_path, server)
    assert second.is_complete, second.note
    assert server.error is None
    assert len(server.lines) == outcome.result.n_readouts
    sent = server.header.toXML()
    for secret in ("Okonkwo", "Chidinma", "PAT-77"):
        assert secret not in sent
    (ours,) = outcome.images.nifti
    (theirs,) = (outcome.folder / "images" / FOLDER / "nifti").glob("*.nii.gz")
    (our_values, our_places), (their_values, their_places) = points(ours), points(theirs)
    np.testing.assert_allclose(their_places, our_places, atol=0.02)
    assert np.corrcoef(our_values, their_values)[0, 1] > 0.9999
    first, other = (
        pydicom.dcmread(sorted((outcome.folder / "images").glob(f"{part}dicom/*.dcm"))[0]) for part in ("", "outside/")
    )
    assert first.SeriesInstanceUID != other.SeriesInstanceUID
    assert first.SeriesNumber != other.SeriesNumber
    assert first.StudyInstanceUID == other.StudyInstanceUID
    assert "outside" in other.SeriesDescription
    assert f"127.0.0.1:{server.port}" in other.ImageComments
    before = {path: path.read_bytes() for path in outcome.images.dicom}
    with servers.Server(servers.good) as later:  # and once more from the disk
        repeated = reconstruct_outside(outcome.folder, OutsideAddress(host="127.0.0.1", port=later.port))
    assert repeated.is_complete
    assert [path.read_bytes() for path in before] == list(before.values())
    np.testing.assert_allclose(points(theirs)[0], their_values, rtol=1e-3, atol=1e-3 * their_values.max())


@pytest.mark.parametrize("name", ["hang", "rubbish", "die_at_once"])
def test_whatever_the_server_does_the_scan_and_our_images_are_whole(name, tmp_path):
    with servers.Server(getattr(servers, name)) as server:
        started_s = time.monotonic()
        outcome, second = scan(tmp_path, server, finish_s=0.5, stall_s=0.5)
        took_s = time.monotonic() - started_s
    assert outcome.result.n_readouts == outcome.result.n_expected == 48
    assert len(outcome.images.dicom) == 2
    assert not second.is_complete
    assert second.volumes == ()
    assert f"The outside reconstruction at 127.0.0.1:{server.port}" in second.note
    assert not (outcome.folder / "images" / FOLDER).exists()
    assert took_s < 60


@pytest.mark.parametrize("text", ["", "a b", "host:0", "host:70000", "host:x", "http://host:9002"])
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match=r"is not the address[\s\S]*HOST:PORT"):
        parse_outside(text)


def test_addresses():
    assert (parse_outside("recon").host, parse_outside("recon").port) == ("recon", 9002)
    assert (parse_outside("[::1]:9010", "x").host, parse_outside("[::1]:9010").port) == ("::1", 9010)
