# SPDX-License-Identifier: MIT
"""Tests against real peers: skipped with the peer's name when it is missing, failed when the environment demands it.

A test names what it needs with ``@pytest.mark.peer("dciodvfy")``: a program on the path, or a Python module as
``python:module``. ``ISOCENTER_REQUIRE_PEERS=1`` turns a missing peer into a failure.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest

from isocenter.app.workers import PreparationPool


@pytest.fixture(scope="module", autouse=True)
def nothing_is_warmed_up() -> Iterator[None]:
    """Services come and go in tests: none needs what each loads ahead for a day of work, seconds of a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparationPool, "warm_up", lambda pool: None)
        yield


def is_missing(peer: str) -> bool:
    if peer.startswith("python:"):
        return importlib.util.find_spec(peer.removeprefix("python:")) is None
    return shutil.which(peer) is None


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = sorted({str(marker.args[0]) for marker in item.iter_markers("peer") if is_missing(str(marker.args[0]))})
    if not missing:
        return
    text = f"needs {', '.join(missing)}, which is not installed here"
    if os.environ.get("ISOCENTER_REQUIRE_PEERS") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
