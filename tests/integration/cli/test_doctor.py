# SPDX-License-Identifier: MIT
"""`isocenter doctor` finds what is really wrong."""

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops


def _doctor(command, *arguments, **environment) -> tuple[int, dict[str, dict[str, str]]]:
    done = subprocess.run(
        [*command, "doctor", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {name: str(value) for name, value in environment.items()},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, {item["what"]: item for item in json.loads(done.stdout)}


def test_a_sound_computer_is_sound(command, tmp_path: Path) -> None:
    code, found = _doctor(command, ISOCENTER_DATA=tmp_path / "data", QT_QPA_PLATFORM="offscreen")
    assert [name for name, item in found.items() if item["health"] == "bad"] == []
    assert code == 0
    assert "tse_3d" in found["Sequences"]["text"]
    assert list((tmp_path / "data").iterdir()) == [], "the probe is taken away again"


@pytest.mark.parametrize("error", ["ImportError('libhdf5.so is missing')", "RuntimeError('boom')"])
def test_a_broken_library_is_named(error, command, tmp_path: Path) -> None:
    (tmp_path / "h5py").mkdir()
    (tmp_path / "h5py" / "__init__.py").write_text(f"raise {error}\n")
    code, found = _doctor(command, ISOCENTER_DATA=tmp_path, PYTHONPATH=tmp_path)
    assert code == 1
    assert found["Libraries"]["health"] == "bad"
    assert "h5py cannot be loaded" in found["Libraries"]["text"]
    assert "setup" in found["Libraries"]["remedy"]


def test_a_data_folder_that_cannot_be_written(command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, found = _doctor(command, ISOCENTER_DATA=tmp_path / "file")
    assert code == 1
    assert found["Data folder"]["health"] == "bad"
    assert "ISOCENTER_DATA" in found["Data folder"]["remedy"]


def test_a_console_that_is_not_there(command, tmp_path: Path) -> None:
    code, found = _doctor(command, "--host", "127.0.0.1", "--port", "9", ISOCENTER_DATA=tmp_path)
    assert code == 1
    assert "No console answers at 127.0.0.1:9" in found["Console"]["text"]
    code, found = _doctor(command, "--scanner", "nosuch", ISOCENTER_DATA=tmp_path)
    assert code == 1
    assert "no scanner 'nosuch'" in found["Hardware file"]["text"]


def test_without_a_library_every_command_says_so(command, tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('numpy is broken')\n")
    done = subprocess.run(
        [*command, "compile", "fid", "--out", str(tmp_path / "o")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Problem: A library that Isocenter needs cannot be loaded (numpy is broken)")
    assert "What to do: Run `make clean setup`" in done.stderr
