# SPDX-License-Identifier: MIT
"""Any process killed or stopped in the middle of a scan: both amplifiers are off within a second, as seen at the boxes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tests.integration.control.conftest import Scene, is_off, make_session, serve_scene, wait_for

from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ConsoleError
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
        process.communicate(timeout=10)


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


def _scan_until(scene: Scene, n_segments: int) -> None:
    """Like ``Scene.start``, for a console that cannot tell the plant what it plays."""
    scene.prepared = scene.prepare()

    def run() -> None:
        try:
            scene.results.append(scene.measure())
        except ConsoleError as error:
            scene.results.append(error)

    scene.thread = threading.Thread(target=run)
    scene.thread.start()

    def begun() -> int:
        return sum("event: play," in line for line in scene.session.control.status.journal)

    wait_for(lambda: begun() >= n_segments or scene.results, 15.0)
    assert not scene.results, scene.results
    assert not is_off(scene.plant.state)


@pytest.mark.parametrize(("number", "later_s"), [(signal.SIGKILL, 0.0), (signal.SIGKILL, 0.3), (signal.SIGSTOP, 0.1)])
def test_console_process_killed_or_stopped(tmp_path: Path, number: signal.Signals, later_s: float) -> None:
    with own_console(tmp_path) as (scene, process):
        _scan_until(scene, 3)
        time.sleep(later_s)
        event_s = time.monotonic()
        process.send_signal(number)
        assert scene.off_after_s(event_s) <= 1.0
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
