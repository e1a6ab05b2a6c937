# SPDX-License-Identifier: MIT
"""The default virtual scanner, in a process of its own, stopped or killed in the middle of a scan: told, kept, ended."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from isocenter.storage.stored import open_scan, read_raw

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(sys.platform != "linux", reason="asks the system how it is")]
SCAN = ("scan", "fid", "--virtual", "--scenario", "ideal-block", "--spins", "2000", "--frequency", "2.0")
MANY = ("-p", "averages=64", "-p", "tr_s=1")


def _send_when_measuring(number: signal.Signals, out: Path, sent: list[float]) -> None:
    """Send a signal to the virtual scanner when some of the scan is on the disk."""
    deadline_s = time.monotonic() + 200
    while time.monotonic() < deadline_s:
        journals = [path.read_text() for path in out.glob("0*/journal.jsonl")]
        if any(text.count('"segment"') >= 4 for text in journals):
            for process in multiprocessing.active_children():
                if process.name == "virtual-scanner":
                    os.kill(process.pid, number)
                    sent.append(time.monotonic())
            return
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_scan_ends_soon_and_says_why(isocenter, tmp_path: Path, number: signal.Signals) -> None:
    out, sent = tmp_path / "out", []
    killer = threading.Thread(target=_send_when_measuring, args=(number, out, sent))
    killer.start()
    said = isocenter(*SCAN, *MANY, "--out", out)
    took_s = time.monotonic() - sent[0]
    killer.join()
    assert said.code in (1, 130), "between two segments it is a stop, in one of them the console is lost"
    assert took_s < 30, "not the two minutes that a simulation may take for a segment"
    assert "Stopped: The virtual scanner's process does not answer." in said.out + said.err
    assert "Traceback" not in said.err
    (folder,) = out.glob("0*")
    n_kept = len(read_raw(folder).samples)
    assert 1 <= n_kept < 64
    assert "The virtual scanner's process does not answer." in open_scan(folder).record.end.note
    if said.code == 1:
        problem = said.err.partition("Problem: ")[2]
        assert problem.startswith("The virtual scanner's process does not answer.")
        assert f"{n_kept} of 64 readouts are kept in" in problem
    assert not [one for one in multiprocessing.active_children() if one.name == "virtual-scanner"]
