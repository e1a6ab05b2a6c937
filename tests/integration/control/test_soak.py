# SPDX-License-Identifier: MIT
"""Long runs: Stop at random moments, and scan after scan without a leak.

``ISOCENTER_SOAK_HOURS`` sets how many hours of the virtual scanner's time the second one lasts.
"""

import gc
import os
import random
import threading
import time
from pathlib import Path

import pytest
from tests.integration.control.conftest import serve_scene, wait_for

from isocenter.domain.control import ScannerState
from isocenter.domain.scan import EndReason
from isocenter.storage.stored import open_scan

HOURS = float(os.environ.get("ISOCENTER_SOAK_HOURS", "0.25"))


def _stop_at_random_moments(out: Path, n: int, seed: int) -> list[float]:
    """How long after each Stop RF was blanked and both amplifiers off [s]."""
    moments, took_s = random.Random(seed), []
    with serve_scene(out) as scene:
        scene.session.connect()
        wait_for(lambda: scene.session.supervisor.state is ScannerState.READY)
        for _ in range(n):
            since_s = time.monotonic()
            scene.results.clear()
            scene.prepared = scene.prepared or scene.prepare()
            scene.thread = threading.Thread(target=lambda: scene.results.append(_measure(scene)))
            scene.thread.start()
            time.sleep(moments.uniform(0.0, 2.5))  # while it is prepared, armed, played, between two segments
            event_s = time.monotonic()
            scene.session.stop()
            took_s.append(scene.off_after_s(event_s))
            wait_for(scene.is_safe)
            scene.thread.join(20)
            assert not scene.thread.is_alive()
            later = [change for change in scene.plant.log(event_s + took_s[-1]) if change.state.can_transmit]
            assert not later, f"RF came back after the Stop of {since_s}"
            scene.session.make_ready("tester")
            wait_for(lambda: scene.session.supervisor.state is ScannerState.READY)
    return took_s


def _measure(scene) -> object:
    from isocenter.domain.errors import ConsoleError

    try:
        return scene.measure()
    except ConsoleError as error:
        return error


def test_stop_at_three_random_moments(tmp_path: Path) -> None:
    assert max(_stop_at_random_moments(tmp_path, 3, seed=7)) <= 1.0


@pytest.mark.slow
@pytest.mark.timeout(0)  # as long as it takes
def test_stop_at_a_hundred_random_moments(tmp_path: Path) -> None:
    took_s = _stop_at_random_moments(tmp_path, 100, seed=1)
    print(f"worst {max(took_s) * 1e3:.1f} ms of {len(took_s)}")
    assert len(took_s) == 100
    assert max(took_s) <= 1.0


def _resources() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = [str(link.readlink()) for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]
    return {
        "kb": pages * os.sysconf("SC_PAGESIZE") // 1024,
        "threads": threading.active_count(),
        "files": len(files),
        "sockets": sum(name.startswith("socket") for name in files),
    }


@pytest.mark.slow
@pytest.mark.timeout(0)  # as long as it takes
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what a process holds as Linux tells it")
def test_scans_back_to_back_leak_nothing(tmp_path: Path) -> None:
    with serve_scene(tmp_path, time_scale=0.0) as scene:
        scene.prepared = scene.prepare({"n_slab": 16, "n_phase": 64}, max_segment_s=4.9)
        per_scan_s = scene.prepared.scan.facts.duration_s
        for _ in range(5):  # caches fill
            scene.measure()
        before, n_scans = _resources(), 0
        while n_scans * per_scan_s < HOURS * 3600:
            path, result = scene.measure()
            assert result.reason is EndReason.COMPLETED
            assert open_scan(path).record.end is not None
            for file in sorted(path.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            path.rmdir()
            n_scans += 1
        after = _resources()
    print(f"{n_scans} scans of {per_scan_s:.0f} s: {before} -> {after}")
    assert after["threads"] <= before["threads"]
    assert after["files"] <= before["files"] + 2  # one that is written just now; what leaks, leaks with every scan
    assert after["sockets"] <= before["sockets"]
    assert after["kb"] - before["kb"] < 40_000 + 20 * n_scans
