# SPDX-License-Identifier: MIT
"""Loads the example scan from its file, since test folders are no packages."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

from isocenter.storage import hdf5_child, hdf5_guard


@pytest.fixture(scope="session")
def examples():
    path = Path(__file__).with_name("examples.py")
    spec = importlib.util.spec_from_file_location("storage_examples", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hdf5_here(monkeypatch):
    """What the child process does with an HDF5 file, done in this one: a process each would take most of a test's time."""

    def run(command, **_):
        hdf5_child.main(command[4:])
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(hdf5_child, "_limit_memory", lambda _: None)
    monkeypatch.setattr(hdf5_guard.subprocess, "run", run)
