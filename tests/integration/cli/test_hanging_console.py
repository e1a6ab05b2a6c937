# SPDX-License-Identifier: MIT
"""A console that hangs in the middle of a scan: the person at the terminal reads so when the amplifiers are cut."""

import subprocess
import time
from dataclasses import replace

import pytest

from isocenter.config.hardware import load_scanner
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

pytestmark = pytest.mark.timeout(300)

SCAN = ("gre_3d", "-p", "n_read=16", "-p", "n_phase=32", "-p", "n_slab=8", "-p", "tr_s=40ms", "--frequency", "2.0017")


def test_the_cause_is_on_the_screen_long_before_the_scan_has_ended(command, tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCENTER_DATA", str(tmp_path / "exams"))
    scanner = load_scanner("osii-one")
    model = BlochSignalModel(scanner, replace(find_scenario("ideal-block"), n_spins=500))
    hangs = Faults(at_run=2, gives_no_reply=True, is_lasting=True)
    with VirtualConsoleServer(
        signal_model=model, time_scale=1.0, kind="hardware", board=scanner.gradients.board, faults=hangs
    ) as server:
        host, port = server.address
        arguments = ["scan", *SCAN, "--host", host, "--port", str(port), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        try:
            said_s = None
            for line in process.stdout:
                if line.startswith("Stopped: "):
                    said_s = time.monotonic()
                    assert "The console" in line
                    assert "Look after the patient" in line
                    break
            _, err = process.communicate(timeout=300)
            assert said_s is not None, err
            assert time.monotonic() - said_s > 2.0, "it was said only at the end"
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Problem: The console" in err
    assert err.count("Look after the patient") <= 1
