# SPDX-License-Identifier: MIT
"""`isocenter reconstruct` with pipelines: written, edited, run again, looked into."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scan import EndReason
from isocenter.storage.scan_folder import ScanFolder

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

EXAMPLES = Path(__file__).parents[2] / "unit" / "storage" / "examples.py"


@pytest.fixture
def examples():
    spec = importlib.util.spec_from_file_location("storage_examples", EXAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scan(examples, tmp_path: Path) -> Path:
    return stored(examples, tmp_path / "scans")


def stored(examples, parent: Path, **request) -> Path:
    compiled = examples.make_scan()
    folder = ScanFolder.create(parent, examples.make_request(**request), compiled, examples.SEQUENCE)
    folder.append(compiled.readouts, examples.make_samples(compiled))
    folder.finish(EndReason.COMPLETED)
    folder.close()
    return folder.path


def test_the_pipeline_used_stands_beside_the_images_and_gives_them_again(isocenter, scan: Path, tmp_path: Path) -> None:
    first = isocenter("reconstruct", scan, "--filter", "hann", "--out", tmp_path / "a", "--json")
    assert first.code == 0, first.err
    used = tmp_path / "a" / "pipeline.toml"
    assert 'kind = "hann"' in used.read_text()
    again = isocenter("reconstruct", scan, "--pipeline", used, "--out", tmp_path / "b", "--json")
    assert again.code == 0, again.err
    pixels = [
        [pydicom.dcmread(path).pixel_array for path in sorted((tmp_path / name / "dicom").iterdir())] for name in ("a", "b")
    ]
    np.testing.assert_array_equal(*pixels)
    plain = isocenter("reconstruct", scan, "--out", tmp_path / "c", "--json")
    assert plain.code == 0
    assert not np.array_equal(pixels[0][0], pydicom.dcmread(tmp_path / "c" / "dicom" / "IM0001.dcm").pixel_array)


def test_a_pipeline_is_written_edited_and_used(isocenter, scan: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    written = isocenter("reconstruct", scan, "--write-pipeline", mine)
    assert written.code == 0, written.err
    assert "steps from" in written.out
    assert not any((scan / "images").iterdir())  # nothing else was done
    assert "already" in isocenter("reconstruct", scan, "--write-pipeline", mine).refused()
    mine.write_text(mine.read_text().replace("factor = 1.0", "factor = 2.0"))
    done = isocenter("reconstruct", scan, "--pipeline", mine, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    assert pydicom.dcmread(tmp_path / "o" / "dicom" / "IM0001.dcm").Rows == 2 * 16
    sidecar = json.loads(next((tmp_path / "o" / "nifti").glob("*.json")).read_text())
    assert {"Step": "zero_fill", "Parameters": "factor 2, n_read 0, n_phase 0, n_slab 0"} in sidecar["Processing"]


def test_what_a_step_leaves_is_kept(isocenter, scan: Path, tmp_path: Path) -> None:
    done = isocenter("reconstruct", scan, "--keep", "average, sort,transform", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    kept = tmp_path / "o" / "intermediate"
    assert sorted(path.name.split("-")[1] for path in kept.iterdir()) == [
        *("average.npy", "average.png", "sort.npy", "sort.png", "transform.npy", "transform.png")
    ]
    assert str(kept) in done.out
    grid, image = (np.load(next(kept.glob(f"*{name}.npy"))) for name in ("sort", "transform"))
    assert grid.shape == (1, 1, 3, 8, 32)
    assert image.shape == (1, 3, 8, 16)
    assert np.iscomplexobj(grid)
    assert "no step 'shutter'" in isocenter("reconstruct", scan, "--keep", "shutter", "--out", tmp_path / "p").refused()
    assert not (tmp_path / "p").exists()


def test_what_the_sequence_declared_is_used(isocenter, examples, tmp_path: Path) -> None:
    steps = ("sort", "shutter", "oversampling", "transform", "combine", "output")
    scan = stored(examples, tmp_path, pipeline=tuple(StepOrder(step=name) for name in steps))
    done = isocenter("reconstruct", scan, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    sidecar = json.loads(next((tmp_path / "o" / "nifti").glob("*.json")).read_text())
    assert [entry["Step"] for entry in sidecar["Processing"]] == [*steps, "display"]


def test_a_step_that_could_not_be_done_is_said_everywhere(isocenter, examples, tmp_path: Path) -> None:
    # Noise has no background that could tell the phase of the echoes.
    steps = ("echo_train", "sort", "oversampling", "transform", "combine", "output")
    scan = stored(examples, tmp_path, pipeline=tuple(StepOrder(step=name) for name in steps))
    done = isocenter("reconstruct", scan, "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert "echo_train was skipped: " in done.out
    image = pydicom.dcmread(next((tmp_path / "o" / "dicom").iterdir()))
    assert "echo_train was skipped: " in image.ImageComments


def test_all_steps_are_explained(isocenter) -> None:
    said = isocenter("reconstruct", "--steps")
    assert said.code == 0
    for name in ("sort", "partial_fourier", "whiten", "transform"):
        assert f"\n{name}  (" in f"\n{said.out}"
    assert "PATH" in isocenter("reconstruct").refused(2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[step]]\nname = 'blur'\n", "no step 'blur'"),
        ("[[step]]\nname = 'sort'\nby = 3\n", "no parameter 'by'"),
        ("hello", "cannot be read"),
    ],
)
def test_a_wrong_pipeline_is_refused_and_leaves_nothing(text, words, isocenter, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    said = isocenter("reconstruct", scan, "--pipeline", tmp_path / "a.toml", "--out", tmp_path / "o").refused()
    assert words in said
    assert "a.toml" in said
    assert not (tmp_path / "o").exists()


def test_a_plain_array_has_no_pipeline(isocenter, scan: Path, tmp_path: Path) -> None:
    array = Path(__file__).parents[2] / "golden" / "ulf" / "fse_kspace.mat"
    written = isocenter("reconstruct", array, "--variable", "kspace", "--write-pipeline", tmp_path / "x.toml")
    assert "needs no pipeline" in written.refused()
    assert "ISMRMRD" in isocenter("reconstruct", array, "--keep", "sort", "--out", tmp_path / "o").refused()


def test_a_field_map_that_is_none_is_refused_and_leaves_nothing(isocenter, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert "is not a scan" in isocenter("reconstruct", scan, "--field-map", tmp_path / "no", "--out", out).refused()
    said = isocenter("reconstruct", scan, "--field-map", scan, "--out", out).refused()
    assert "gives no map of the main field" in said
    assert "b0_map" in said
    assert not out.exists()
