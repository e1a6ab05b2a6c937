# SPDX-License-Identifier: MIT
"""Tests against real peers: skipped with the peer's name when it is missing, failed when the environment demands it.

A test names what it needs with ``@pytest.mark.peer("dciodvfy")``: a program on the path, or a Python module as
``python:module``. ``ISOCENTER_REQUIRE_PEERS=1`` turns a missing peer into a failure.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from isocenter.app.workers import PreparationPool


@pytest.fixture(scope="module", autouse=True)
def nothing_is_warmed_up() -> Iterator[None]:
    """Services come and go in tests: none needs what each loads ahead for a day of work, seconds of a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparationPool, "warm_up", lambda pool: None)
        yield


class Lent:
    """What a service takes for its own process that builds sequences; all of these tests share one.

    Each of its own would import the compiler anew: 3.5 s of a processor for every service.
    """

    new: Callable[[], ProcessPoolExecutor]
    shared: ProcessPoolExecutor | None = None

    def __init__(self) -> None:
        self._asked: list[Future[Any]] = []

    def submit(self, work: Callable[..., Any], *arguments: object) -> "Future[Any]":
        Lent.shared = Lent.shared or Lent.new()
        try:
            future = Lent.shared.submit(work, *arguments)
        except BrokenProcessPool:
            Lent.shared = Lent.new()
            future = Lent.shared.submit(work, *arguments)
        self._asked.append(future)
        return future

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        """As of a process of its own: what has begun ends, what waits does not begin."""
        assert wait
        assert cancel_futures
        for future in self._asked:
            future.cancel()
        _until_done(self._asked)


def _until_done(asked: list["Future[Any]"]) -> None:
    wait(asked)


@pytest.fixture(scope="module", autouse=True)
def one_process_builds_sequences(shared_process: None) -> Iterator[None]:
    """For all services of these tests, and of no others: the window's have sequences of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparationPool, "_new", staticmethod(Lent))
        yield


@pytest.fixture(scope="session")
def shared_process() -> Iterator[None]:
    """It ends with the last test."""
    Lent.new = staticmethod(PreparationPool._new)
    yield
    if Lent.shared is not None:
        Lent.shared.shutdown()


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
