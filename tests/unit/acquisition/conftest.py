# SPDX-License-Identifier: MIT
"""Loads the example scan of the storage tests from its file, since test folders are no packages."""

import importlib.util
import threading
from pathlib import Path

import pytest

from isocenter.acquisition.hardware import HardwareThread

EXAMPLES = Path(__file__).parents[1] / "storage" / "examples.py"


@pytest.fixture(scope="session")
def examples():
    spec = importlib.util.spec_from_file_location("storage_examples", EXAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hardware():
    """The hardware thread; a test that leaves a thread behind fails."""
    before = set(threading.enumerate())
    thread = HardwareThread()
    yield thread
    thread.close()
    assert set(threading.enumerate()) <= before
