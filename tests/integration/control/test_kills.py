# SPDX-License-Identifier: MIT
"""Any process killed or stopped in the middle of a scan: both amplifiers are off within a second, as seen at the boxes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tests.integration.control.conftest import Scene, is_off, make_session, serve_scene, wait_for

from isocenter.app.prepare import PreparedScan, prepare
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import ScannerState
from isocenter.domain.errors import ConsoleError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.storage.stored import open_scan, read_raw
from isocenter.virtual.peripherals.boxes import VirtualBoxes

SUPPORT = Path(__file__).with_name("support")
ROOT = Path(__file__).parents[3]


@contextmanager
def child(script: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """A Python process that is killed at the end, whatever became of it."""
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=300)


@contextmanager
def own_console(out: Path) -> Iterator[tuple[Scene, subprocess.Popen]]:
    scanner = load_scanner("osii-one")
    with VirtualBoxes(scanner.magnet.larmor_hz) as boxes, child("console_process.py", scanner.gradients.board) as process:
        port = int(process.stdout.readline())
        link = replace(scanner.console, host="127.0.0.1", port=port)
        session = make_session(replace(scanner, console=link, devices=boxes.links))
        try:
            yield Scene(session, boxes, None, out), process
        finally:
            process.kill()
            session.close()


SHORT = {
    "petra_3d": {"n_spokes": 600},
    "gre_3d": {"n_slab": 4},
    "bssfp_3d": {},
    "tse_3d": {"n_slab": 4},
}
"""Shipped sequences with their own timing; no more of it than a test needs."""


def _prepare(scene: Scene, sequence: str) -> PreparedScan:
    """Cut into segments as for a patient."""
    session = scene.session
    protocol = Protocol(name=sequence, sequence=sequence, parameters=SHORT[sequence])
    return prepare(protocol, session.scanner, session.calibration, PatientPosition.HFS)


def _scan_until(scene: Scene, n_segments: int) -> None:
    """Like ``Scene.start``, for a console that cannot tell the plant what it plays: returns as soon as a segment begins.

    A computer that is too busy to play in real time is a console that stalls: then it is tried again.
    """
    busy = ("console_stalled", "device_lost", "window_stalled")
    for _ in range(5):
        _begin(scene, n_segments)
        cause = scene.session.supervisor.cause
        if not scene.results or cause is None or cause.name not in busy:
            break
        scene.end()
        scene.session.make_ready("tester")
        wait_for(lambda: scene.session.supervisor.state is ScannerState.READY)
    assert not scene.results, scene.results
    assert not is_off(scene.plant.state)


def _begin(scene: Scene, n_segments: int) -> None:
    scene.results.clear()
    before = _begun(scene)

    def run() -> None:
        try:
            scene.results.append(scene.measure())
        except ConsoleError as error:
            scene.results.append(error)

    scene.thread = threading.Thread(target=run)
    scene.thread.start()
    wait_for(lambda: _begun(scene) >= before + n_segments or scene.results, 60.0)


def _begun(scene: Scene) -> int:
    return sum(line.endswith(": play") for line in scene.session.control.status.journal)


@contextmanager
def stolen() -> Iterator[Callable[[float, float], float]]:
    """How long the computer let nobody run between two times [s], as seen by a process that only sleeps.

    What it takes from that process it takes from the program too, which can do nothing about it.
    """
    with child("stolen_time.py") as process:
        assert process.stdout.readline() == "ready\n"

        def between(start_s: float, end_s: float) -> float:
            said, _ = process.communicate("", timeout=300)
            spans = [tuple(map(float, line.split())) for line in said.splitlines() if line]
            return sum(max(min(until, end_s) - max(since, start_s), 0.0) for since, until in spans)

        yield between


KILLS = [
    ("petra_3d", signal.SIGSTOP, 0.02),  # as early as can be: everything of the segment is still to come
    ("bssfp_3d", signal.SIGSTOP, 0.5),
    ("tse_3d", signal.SIGSTOP, 0.95),
    ("petra_3d", signal.SIGKILL, 0.5),
    ("gre_3d", signal.SIGKILL, 0.02),
]
REST = [
    (sequence, number, share)
    for sequence in SHORT
    for number in (signal.SIGSTOP, signal.SIGKILL)
    for share in (0.02, 0.5, 0.95)
    if (sequence, number, share) not in KILLS
]


@pytest.mark.parametrize(
    ("sequence", "number", "share"), [*KILLS, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]
)
def test_console_process_killed_or_stopped(tmp_path: Path, sequence: str, number: signal.Signals, share: float) -> None:
    """At any moment of a segment, told as a share of it."""
    with own_console(tmp_path) as (scene, process), stolen() as stolen_between:
        scene.prepared = _prepare(scene, sequence)
        scan = scene.prepared.scan
        _scan_until(scene, 8)
        time.sleep(share * max(segment.end_tick for segment in scan.segments) / scan.clock_hz)
        event_s = time.monotonic()
        process.send_signal(number)
        off_s = scene.off_after_s(event_s)
        assert off_s <= 1.0 + stolen_between(event_s, event_s + off_s)
        wait_for(scene.is_safe)
        assert scene.session.supervisor.cause.name in ("console_lost", "console_stalled")
        process.kill()  # so that nobody waits for a process that is stopped
        assert isinstance(scene.end(), ConsoleError)
        assert len(read_raw(scene.folder()).samples) > 0
        assert "Console" in [one.name for one in scene.session.supervisor.stop_report.outputs if not one.is_verified]
        with pytest.raises(ConsoleError, match=r"(?i)zero|answer|connect"):
            scene.session.make_ready("tester")
        assert scene.is_safe()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_the_scanning_program_killed_or_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with serve_scene(tmp_path) as far, child("host_process.py") as host:
        links = [asdict(link) for link in far.boxes.links]
        console = far.session.scanner.console
        said = {"host": console.host, "port": console.port, "links": links, "out": str(tmp_path)}
        host.stdin.write(json.dumps(said) + "\n")
        host.stdin.flush()
        assert host.stdout.readline() == "ready\n"
        wait_for(lambda: far.plant.state.rf_playing, 30.0)
        time.sleep(0.2)
        event_s = time.monotonic()
        host.send_signal(number)
        off_s = far.off_after_s(event_s)
        assert off_s <= 1.0
        cut_by = next(change.by for change in far.plant.log(event_s) if is_off(change.state))
        assert cut_by == "interlock"
        if number is signal.SIGKILL:
            host.wait(10)
            scan = open_scan(far.folder())
            assert scan.record.end is None or scan.record.end.reason
