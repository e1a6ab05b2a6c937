# SPDX-License-Identifier: MIT
"""A disk that fills up: the person reads it, nothing measured is lost, nothing half-written stays."""

import errno
import resource
import subprocess
from pathlib import Path

import pytest

from isocenter.app import images

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = ["-p", "n_read=32", "-p", "n_phase=16", "-p", "n_slab=8", "-p", "tr_s=60ms"]
VIRTUAL = ["--virtual", "--scenario", "ideal-block", "--spins", "500", "--frequency", "2.0017"]


def _with_limit(command: list[str], size: int, *arguments: object) -> subprocess.CompletedProcess:
    """Run with files that cannot grow beyond a size: the write fails as on a full disk, with another number."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def test_images_of_another_program_that_do_not_fit(command, tmp_path: Path) -> None:
    kspace = GOLDEN / "ulf" / "fse_kspace.mat"
    done = _with_limit(command, 200_000, "reconstruct", kspace, "--matrix", "256x256", "--out", tmp_path / "o")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_scan_that_does_not_fit_is_refused_before_it_is_played(command, tmp_path: Path) -> None:
    sizes = ["-p", "n_read=128", "-p", "n_phase=64", "-p", "n_slab=16"]
    done = _with_limit(command, 500_000, "scan", "gre_3d", *sizes, *VIRTUAL, "--out", tmp_path / "o")
    assert done.returncode == 1, done.stderr
    assert "make room for the raw data" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_images_that_do_not_fit_leave_the_scan_whole(isocenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write = images.contact_sheet

    def full(*arguments, **options) -> None:
        write(*arguments, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images, "contact_sheet", full)
    done = isocenter("scan", "gre_3d", *SMALL, *VIRTUAL, "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert done.code == 1
    assert "No space left on device" in done.err
    assert f"All 128 measured readouts are kept in {folder}" in done.err
    assert f"isocenter reconstruct {folder}" in done.err
    assert list((folder / "images").iterdir()) == []
    monkeypatch.undo()
    assert isocenter("reconstruct", folder).code == 0
    assert len(list(folder.glob("images/dicom/*.dcm"))) == 8
