# SPDX-License-Identifier: MIT
"""Scans given to other programs: as ISMRMRD files, and over the wire."""

import importlib.util
import json
from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import pytest

from isocenter.domain.scan import EndReason
from isocenter.storage.scan_folder import ScanFolder

UNIT = Path(__file__).parents[2] / "unit" / "storage"


def load(name):
    spec = importlib.util.spec_from_file_location(name, UNIT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


examples, servers = load("examples"), load("outside_server")


@pytest.fixture
def scan(tmp_path):
    """A finished scan of a smooth object: noise with most of its energy near the centre of k-space."""
    compiled = examples.make_scan(n_lin=16, n_par=6, n_samples=32)
    folder = ScanFolder.create(tmp_path, examples.make_request(), compiled, examples.SEQUENCE)
    lin, par = compiled.readouts.labels["LIN"] - 8, compiled.readouts.labels["PAR"] - 3
    weight = np.exp(-((np.arange(32) - 16) ** 2) / 30)[None] * np.exp(-(lin**2) / 12 - par**2 / 2)[:, None]
    folder.append(compiled.readouts, (examples.make_samples(compiled) * weight).astype(np.complex64))
    folder.finish(EndReason.COMPLETED)
    return folder.path


def by_place(path):
    """Value of each voxel by where it lies [0.01 mm]."""
    image = nibabel.load(path)
    data, index = image.get_fdata(), np.argwhere(np.ones(image.shape))
    places = np.round(100 * (index @ image.affine[:3, :3].T + image.affine[:3, 3])).astype(int)
    return dict(zip(map(tuple, places.tolist()), data[tuple(index.T)].tolist(), strict=True))


def test_exported_raw_data_make_the_same_image_the_right_way_round(isocenter, scan, tmp_path):
    assert isocenter("reconstruct", scan).code == 0
    done = isocenter("export", scan, "--mrd", "--out", tmp_path / "usb", "--json")
    (path,) = json.loads(done.out)
    with ismrmrd.File(path, "r") as file:
        rows, header = list(file["dataset"].acquisitions), file["dataset"].header.toXML()
    assert len(rows) == 96
    assert examples.FAMILY not in header
    assert "isocenter_raw" not in header
    done = isocenter("reconstruct", path, "--out", tmp_path / "images")
    assert done.code == 0
    assert "Note:" not in done.out
    (ours,), (theirs,) = (scan / "images" / "nifti").glob("*.nii.gz"), (tmp_path / "images").glob("*.nii.gz")
    our_values, their_values = by_place(ours), by_place(theirs)
    common = sorted(set(our_values) & set(their_values))
    assert len(common) >= 15 / 16 * 15 / 16 * 5 / 6 * len(our_values)  # even axes that run the other way differ by an edge
    top = max(our_values.values())
    np.testing.assert_allclose([their_values[p] for p in common], [our_values[p] for p in common], atol=1e-3 * top)
    # And what everybody else does, an inverse transform, shows it along the heads' directions.
    k = np.zeros((6, 16, 32), complex)
    for row in rows:
        k[row.idx.kspace_encode_step_2, row.idx.kspace_encode_step_1] = row.data[0]
    image = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(k))))
    image[:, :, [*range(9), *range(24, 32)]] = 0  # read out twice as widely as the images are
    image[0], image[:, 0] = 0, 0  # edges that one of the two directions does not have
    z, y, x = np.unravel_index(image.argmax(), image.shape)
    fov_mm = np.array([200, 250, 100])
    steps = fov_mm / (32, 16, 6) * (np.array([x, y, z]) - (16, 8, 3))
    lps_mm = np.array(rows[0].position) + steps @ np.stack([rows[0].read_dir, rows[0].phase_dir, rows[0].slice_dir])
    peak = np.array(max(common, key=our_values.get)) / 100
    np.testing.assert_allclose(lps_mm * (-1, -1, 1), peak, atol=0.1)


def test_reconstruct_asks_an_outside_server(isocenter, scan):
    with servers.Server(servers.good) as server:
        done = isocenter("reconstruct", scan, "--outside", f"127.0.0.1:{server.port}", "--outside-config", "fft", "--json")
    assert done.code == 0
    second = json.loads(done.out)["outside"]
    assert second["complete"]
    assert server.config == "fft"
    assert all(Path(path).is_file() for path in second["files"])
    assert {Path(path).suffix for path in second["files"]} == {".dcm", ".gz", ".json", ".png", ".txt"}


def test_only_scans_go_outside(isocenter, scan, tmp_path):
    said = isocenter("reconstruct", scan.parent, "--outside", "127.0.0.1:9", "--json").err
    assert "one scan at a time" in said
    said = isocenter("reconstruct", scan, "--outside", "no address").refused()
    assert "HOST:PORT" in said
