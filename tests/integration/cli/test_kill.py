# SPDX-License-Identifier: MIT
"""kill -9 in the middle of a scan: what was measured is there, and makes images that say that they are incomplete."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

SCAN = ["gre_3d", "--virtual", "--scenario", "ideal-block", "--spins", "3000", "--frequency", "2.0017"]
SIZES = [f"{name}={value}" for name, value in {"n_read": 32, "n_phase": 32, "n_slab": 16, "tr_s": "50ms"}.items()]
N_READOUTS = 32 * 16
DEADLINE_S = 240.0  # on a fresh clone the inner loops are compiled first


def _wait(condition: Callable[[], bool], process: subprocess.Popen | None = None) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        assert process is None or process.poll() is None, f"ended by itself with {process.returncode}"
        time.sleep(0.002)


def _journal(out: Path) -> list[dict]:
    found = list(out.glob("0*/journal.jsonl"))
    lines = found[0].read_bytes().split(b"\n")[:-1] if found else []  # the last may be half-written
    return [json.loads(line) for line in lines]


def _stored(out: Path) -> int:
    return max((line.get("n_readouts", 0) for line in _journal(out) if line.get("event") == "segment"), default=0)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> set[int]:
    return {int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()}


def _kill_a_scan(command: list[str], out: Path, after_readouts: int, extra_s: float, *, group: bool) -> int:
    """Kill when that many readouts are stored and a moment has passed; returns how many were stored then at least."""
    process = subprocess.Popen(
        [*command, "scan", *SCAN, *[part for size in SIZES for part in ("-p", size)], "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(lambda: _stored(out) >= after_readouts and any(_journal(out)), process)
        family = _children(process.pid)
        assert family, "the virtual scanner is a process of its own"
        until_s = time.monotonic() + extra_s
        # A computer that was busy may catch up meanwhile: the scan must not end before it is killed.
        while time.monotonic() < until_s and _stored(out) < 0.8 * N_READOUTS:
            pass
        known = _stored(out)
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it was killed while it scanned"
    _wait(lambda: not any(map(_is_running, family)))
    return known


def _check_what_is_left(out: Path, known: int, isocenter) -> None:
    (folder,) = out.glob("0*")
    if known == 0:
        assert isocenter("reconstruct", folder).code in (0, 1)
        return
    result = isocenter("reconstruct", folder, "--json")
    assert result.code == 0, result.err
    n_readouts = json.loads(folder.joinpath("journal.jsonl").read_text().splitlines()[-1])["n_readouts"]
    assert known <= n_readouts < N_READOUTS
    assert f"Only {n_readouts} of {N_READOUTS} readouts" in json.loads(result.out)["text"]
    images = [pydicom.dcmread(path) for path in folder.glob("images/dicom/*.dcm")]
    assert len(images) == 16
    assert all(f"Incomplete: {n_readouts} of {N_READOUTS}" in image.ImageComments for image in images)
    assert [path.name for path in folder.glob(".*")] == []
    again = isocenter("reconstruct", folder, "--json")
    assert again.code == 0
    assert len(list(folder.glob("images/dicom/*.dcm"))) == 16


@pytest.mark.parametrize(("after_readouts", "group"), [(1, False), (N_READOUTS // 2, True)])
def test_what_was_measured_before_a_kill_makes_images(after_readouts, group, command, isocenter, tmp_path: Path) -> None:
    known = _kill_a_scan(command, tmp_path / "o", after_readouts, 0.0, group=group)
    assert known >= after_readouts
    _check_what_is_left(tmp_path / "o", known, isocenter)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10))
def test_ten_random_moments(seed, command, isocenter, tmp_path: Path) -> None:
    chance = random.Random(seed)
    after = chance.randrange(N_READOUTS * 9 // 10)
    known = _kill_a_scan(command, tmp_path / "o", after, chance.uniform(0, 0.05), group=chance.random() < 0.5)
    _check_what_is_left(tmp_path / "o", known, isocenter)
