# SPDX-License-Identifier: MIT
"""Loads the example scan of the unit tests from its file, since test folders are no packages."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "unit" / "storage" / "examples.py"


@pytest.fixture(scope="session")
def examples():
    spec = importlib.util.spec_from_file_location("storage_examples", EXAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def examples_folder():
    """For a process of its own: what to put on its path to import ``examples``."""
    return str(EXAMPLES.parent)
