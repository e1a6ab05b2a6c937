# SPDX-License-Identifier: MIT
"""A program killed with SIGKILL at any moment of a scan leaves every readout that it had announced as stored."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from isocenter.storage.stored import read_raw, recover

WRITER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import examples
from isocenter.storage.scan_folder import ScanFolder
scan = examples.make_scan(64, 40, 64)
samples = examples.make_samples(scan)
folder = ScanFolder.create(Path({parent!r}), examples.make_request(), scan, examples.SEQUENCE)
print("ready", folder.path, flush=True)
for start in range(0, len(samples), 8):
    folder.append(scan.readouts.slice(start, start + 8), samples[start : start + 8])
    print(start + 8, flush=True)
"""


def kill_a_writer(parent, here, lines_before_the_kill, rng):
    """Run a writer, kill it a random moment after it announced some lines; returns its folder and what it announced last."""
    code = textwrap.dedent(WRITER).format(here=here, parent=str(parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
        path = writer.stdout.readline().split(maxsplit=1)[1].strip()
        for _ in range(lines_before_the_kill):
            writer.stdout.readline()
        for _ in range(int(rng.integers(0, 20_000))):  # a random moment between two lines, without a clock
            pass
        os.kill(writer.pid, signal.SIGKILL)
        rest = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        announced = int(rest[-1]) if rest else 8 * lines_before_the_kill
        assert writer.wait() == -signal.SIGKILL
    return path, announced


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("seed", range(10))
def test_what_was_stored_before_the_kill_is_there(tmp_path, examples, examples_folder, seed):
    rng = np.random.default_rng(seed)
    path, announced = kill_a_writer(tmp_path, examples_folder, int(rng.integers(0, 150)), rng)
    folder = Path(path)
    expected = examples.make_samples(examples.make_scan(64, 40, 64))

    with h5py.File(folder / "raw.h5", "r") as file:  # any HDF5 reader opens it as it was left, with no repair
        n_rows = len(file["dataset/data"])
    raw = read_raw(folder)
    assert announced <= n_rows <= announced + 8
    assert len(raw.samples) == n_rows
    assert raw.n_expected == 2560
    assert not raw.is_complete
    np.testing.assert_array_equal(raw.samples[:, 0], expected[:n_rows])

    stored = recover(folder)
    assert stored.record.end.n_readouts == n_rows
    assert stored.journal()[-1]["event"] == "recovered"
    np.testing.assert_array_equal(read_raw(folder).samples[:, 0], expected[:n_rows])
