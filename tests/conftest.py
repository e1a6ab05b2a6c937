# SPDX-License-Identifier: MIT
"""Tests in real time say something only where the computer let them run in it.

Tests that drive real lines, processes and windows against the clock are in ``REAL_TIME`` or marked ``realtime``. Such a
test that fails while the computer was seen to stop it (a thread that only sleeps woke up late) has said nothing: it runs
again, and the summary names it. A test that fails while nothing was stolen from it fails at once, and one that fails each
time fails.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic  # tests put other clocks in its place

import pytest
from _pytest.runner import runtestprotocol

NAP_S = 0.005
LATE_S = 0.015  # sooner is the jitter of a timer, or another thread of this process that has its turn
STOLEN_S = 0.03  # a tenth of the shortest deadlines that drivers keep on their lines
ATTEMPTS = 4
REAL_TIME = (
    "contract",
    "integration/cli/test_doctor.py",
    "integration/cli/test_hanging_console.py",
    "integration/cli/test_kill.py",
    "integration/cli/test_stop.py",
    "integration/control",
    "integration/devices",
    "integration/marcos",
    "integration/safety",
    "integration/service",
    "integration/spine",
    "integration/tracking",
    "ui",
    "unit/acquisition/control",
    "unit/devices",
    "unit/storage/test_outside.py",
    "unit/virtual/console",
    "unit/virtual/peripherals",
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what is in ``REAL_TIME``."""
    beginnings = tuple(str(HERE / name) for name in REAL_TIME)
    for item in items:
        if str(item.path).startswith(beginnings):
            item.add_marker("realtime")


class Naps:
    """How long this process was kept from running, as seen by a thread that only sleeps [s]."""

    stolen_s = 0.0

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sleep, name="naps", daemon=True)

    @contextmanager
    def counted(self) -> Iterator["Naps"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            self._thread.join()

    def _sleep(self) -> None:
        while True:
            began_s = monotonic()
            is_over = self._is_over.wait(NAP_S)
            late_s = monotonic() - began_s - NAP_S
            if late_s > LATE_S:
                self.stolen_s += late_s
            if is_over:
                return


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test that is marked ``realtime``, again when it failed and time was stolen from it."""
    if item.get_closest_marker("realtime") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(1, ATTEMPTS + 1):
        with Naps().counted() as naps:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if attempt == ATTEMPTS or naps.stolen_s < STOLEN_S or not any(report.failed for report in reports):
            break
        for report in reports:
            if report.failed:
                why = next((line for line in str(report.longrepr).splitlines() if line.startswith("E  ")), "")[1:].strip()
                text = f"{item.nodeid} ({report.when}): {naps.stolen_s:.2f} s were stolen from it | {why}"
                item.user_properties.append(("ran again", text))
        item._initrequest()  # type: ignore[attr-defined]  # its fixtures are made anew
    for report in reports:
        report.user_properties = list(item.user_properties)
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what ran again, so that nobody overlooks a test that only fails now and then."""
    again = {
        text: None
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, text in getattr(report, "user_properties", ())
        if key == "ran again"
    }
    if again:
        terminalreporter.section("ran again, since the computer was too busy to run them in real time")
        for text in again:
            terminalreporter.line(text)
