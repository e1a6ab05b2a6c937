# SPDX-License-Identifier: MIT
"""What runs again when the computer stopped it, and what does not."""

import re
import subprocess
import sys
from pathlib import Path

INNER = """
import pathlib, pytest
HERE = pathlib.Path(__file__).parent

def run(name):
    path = HERE / name
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())

def steal():
    sum(range(15_000_000))  # nobody else runs in this process meanwhile

@pytest.fixture
def fresh():
    return []

@pytest.mark.realtime
def test_stopped_once(fresh):
    assert not fresh, "fixtures are made anew"
    fresh.append(1)
    if run("once") == 1:
        steal()
        pytest.fail("too late")

@pytest.mark.realtime
def test_stopped_each_time():
    run("each")
    steal()
    pytest.fail("always")

@pytest.mark.realtime
def test_wrong_on_a_free_computer():
    run("free")
    pytest.fail("wrong")

def test_of_another_kind():
    run("other")
    steal()
    pytest.fail("wrong")
"""


def test_only_a_test_in_real_time_from_which_time_was_stolen_runs_again(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = realtime: x\n")
    (tmp_path / "test_inner.py").write_text(INNER)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:pytest-qt"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False).stdout
    assert "3 failed, 1 passed" in said, said
    runs = {name: len((tmp_path / name).read_text()) for name in ("once", "each", "other")}
    assert runs == {"once": 2, "each": 4, "other": 1}
    assert re.search(r"test_stopped_once \(call\): \d\.\d\d s were stolen from it \| .*too late", said), said
    assert (tmp_path / "free").read_text() == "x" or "test_wrong_on_a_free_computer (call)" in said
