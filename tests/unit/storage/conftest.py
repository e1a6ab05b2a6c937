# SPDX-License-Identifier: MIT
"""Loads the example scan from its file, since test folders are no packages."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def examples():
    path = Path(__file__).with_name("examples.py")
    spec = importlib.util.spec_from_file_location("storage_examples", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
