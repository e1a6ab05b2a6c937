# SPDX-License-Identifier: MIT
"""How long a person waits: for help, and for the first window."""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from bench.measure import Row, absolute, seconds


def run() -> list[Row]:
    """Time of whole processes, from their start."""
    command = Path(sys.executable).with_name("isocenter")
    rows = []

    def help_text() -> None:
        text = subprocess.run([command, "--help"], check=True, capture_output=True, text=True).stdout
        assert "virtual-scanner" in text

    help_text()
    rows.append(
        absolute(
            "isocenter --help",
            statistics.median(seconds(help_text) for _ in range(7)),
            target_s=0.3,
            checked="the text lists every command",
        )
    )
    times = [_first_paint_s(command) for _ in range(5)]
    rows.append(
        absolute("first window", statistics.median(times), target_s=0.5, checked="measured at the shell's first paint")
    )
    return rows


def _first_paint_s(command: Path) -> float:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "ISOCENTER_BENCH_FIRST_PAINT": "1"}
    text = subprocess.run([command], check=True, capture_output=True, text=True, env=environment).stdout
    found = re.search(r"([0-9.]+) ms", text)
    assert found, text
    return float(found[1]) * 1e-3
