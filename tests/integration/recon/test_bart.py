# SPDX-License-Identifier: MIT
"""Our raw files elsewhere: ismrmrd's own reader takes the lines, BART makes the images, and they are ours."""

import subprocess
from pathlib import Path

import examples
import ismrmrd
import numpy as np
import pytest
from recon_scans import head, kspace_of

from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scan import EndReason
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.nufft.noncartesian import undo
from isocenter.recon.options import ReconOptions
from isocenter.recon.plan import plan_cartesian
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw

pytestmark = [pytest.mark.peer("bart"), pytest.mark.peer("python:ismrmrd")]

N_READ, N_LIN, N_PAR = 64, 40, 12
OVERSAMPLING = 2


def write_cfl(path: Path, array):
    """BART's file format: dimensions as text, then complex64 with the first dimension fastest (bart's README)."""
    sizes = (*array.shape, *([1] * (16 - array.ndim)))
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + "\n")
    np.asfortranarray(array.astype(np.complex64)).ravel(order="F").tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path):
    sizes = [int(word) for word in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), dtype=np.complex64).reshape(sizes, order="F").squeeze()


def bart(folder: Path, *words: object) -> None:
    done = subprocess.run(["bart", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A raw file of a known object."""
    compiled = examples.make_scan(N_LIN, N_PAR, N_READ)
    kspace = kspace_of(head((N_PAR, N_LIN, N_READ)), (N_PAR, N_LIN, N_READ))
    labels = compiled.readouts.labels
    folder = ScanFolder.create(tmp_path, examples.make_request(), compiled, examples.SEQUENCE)
    folder.append(compiled.readouts, kspace[labels["PAR"], labels["LIN"]])
    folder.finish(EndReason.COMPLETED)
    folder.close()
    return folder.path


def lines_by_ismrmrd(path: Path):
    """K-space ``(read, phase, second phase, channel)`` as another program would sort it, from heads alone."""
    dataset = ismrmrd.Dataset(str(path / "raw.h5"), create_if_needed=False)
    header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    size = header.encoding[0].encodedSpace.matrixSize
    first = dataset.read_acquisition(0)
    kspace = np.zeros((size.x, size.y, size.z, first.active_channels), dtype=np.complex64)
    for number in range(dataset.number_of_acquisitions()):
        line = dataset.read_acquisition(number)
        kspace[:, line.idx.kspace_encode_step_1, line.idx.kspace_encode_step_2] = line.data.T
    dataset.close()
    return kspace


def in_encoding_order(raw, volume):
    """Our image as ``(read, phase, second phase)``."""
    plan = plan_cartesian(raw.encoding, raw.placement, raw.definitions, ReconOptions())
    return undo(plan.stacks[0].display, volume.data).transpose(2, 1, 0)


def correlation(first, second):
    return float(np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1])


def test_bart_makes_the_same_image_of_our_raw_file(scan, tmp_path):
    write_cfl(tmp_path / "k", lines_by_ismrmrd(scan))
    bart(tmp_path, "fft", 7, "k", "x")  # a forward transform, as docs/conventions.md says
    bart(tmp_path, "resize", "-c", 0, N_READ // OVERSAMPLING, "x", "y")
    bart(tmp_path, "rss", 8, "y", "z")
    theirs = np.abs(read_cfl(tmp_path / "z"))
    raw = read_raw(scan)
    ours = in_encoding_order(raw, reconstruct(raw)[0])
    assert ours.shape == theirs.shape == (N_READ // OVERSAMPLING, N_LIN, N_PAR)
    assert correlation(ours, theirs) >= 0.9999
    scale = float((ours * theirs).sum() / (theirs**2).sum())
    assert np.abs(ours - scale * theirs).max() < 1e-5 * ours.max()
    mirrored = ours[::-1, ::-1, ::-1]
    assert correlation(mirrored, theirs) < 0.95  # so that the comparison tells one way round from the other


def test_bart_agrees_on_phase_and_scale(scan, tmp_path):
    write_cfl(tmp_path / "k", lines_by_ismrmrd(scan))
    bart(tmp_path, "fft", 7, "k", "x")
    bart(tmp_path, "resize", "-c", 0, N_READ // OVERSAMPLING, "x", "y")
    theirs = read_cfl(tmp_path / "y")
    raw = read_raw(scan)
    pipeline = [o if o.step != "output" else StepOrder(step="output", parameters={"kind": "complex"}) for o in CARTESIAN]
    ours = in_encoding_order(raw, reconstruct(raw, pipeline=pipeline)[0])
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert difference < 1e-5


def test_partial_fourier_is_as_good_as_barts(scan, tmp_path):
    kspace = lines_by_ismrmrd(scan)
    raw = read_raw(scan)
    keep = raw.labels["LIN"] < 26  # 65 %
    part = kspace.copy()
    part[:, 26:] = 0
    write_cfl(tmp_path / "k", part)
    bart(tmp_path, "homodyne", 1, 0.65, "k", "x")
    theirs = np.abs(read_cfl(tmp_path / "x"))[N_READ // 4 : N_READ // 4 + N_READ // 2]
    cut = type(raw)(
        **{name: getattr(raw, name) for name in raw.__dataclass_fields__}
        | {
            "samples": raw.samples[keep],
            "labels": {name: values[keep] for name, values in raw.labels.items()},
            "time_s": raw.time_s[keep],
            "n_expected": int(keep.sum()),
        }
    )
    whole, found = (in_encoding_order(raw, reconstruct(one)[0]) for one in (raw, cut))

    def error(image):
        return np.linalg.norm(image * ((image * whole).sum() / (image**2).sum()) - whole) / np.linalg.norm(whole)

    assert error(found) < 0.06
    assert error(found) < 1.2 * error(theirs)
