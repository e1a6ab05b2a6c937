# SPDX-License-Identifier: MIT
"""A disk that is really full: a small file system in memory, in a name space of its own."""

import shutil
import subprocess
import sys
import textwrap

import pytest

SCAN = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import examples
from isocenter.domain.errors import StorageError
from isocenter.domain.scan import EndReason
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw
parent = Path({mount!r})
try:
    ScanFolder.create(parent, examples.make_request(), examples.make_scan(64, 8, 512), b"")
except StorageError as error:
    print("refused:", error.problem)
print("left:", [item.name for item in parent.iterdir()])
scan = examples.make_scan(64, 4, 64)
samples = examples.make_samples(scan)
folder = ScanFolder.create(parent, examples.make_request(), scan, b"")
folder.append(scan.readouts.slice(0, 128), samples[:128])
filler = (parent / "filler").open("wb", buffering=0)
try:
    while True:
        filler.write(b"x" * 512)
except OSError:
    pass
folder.append(scan.readouts.slice(128, 256), samples[128:])  # its room was taken before the scan began
try:
    folder.finish(EndReason.COMPLETED)
except StorageError as error:
    print("finish:", error.problem)
raw = read_raw(folder.path)
print("kept:", len(raw.samples), (raw.samples[:, 0] == samples).all())
"""


def can_mount():
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0


@pytest.mark.peer("unshare")
def test_a_full_disk_is_noticed_before_the_scan_and_never_costs_what_was_measured(tmp_path, examples_folder):
    if not can_mount():
        pytest.skip("peer missing: unshare with the right to mount")
    mount = tmp_path / "small"
    mount.mkdir()
    code = textwrap.dedent(SCAN).format(here=examples_folder, mount=str(mount))
    script = tmp_path / "scan.py"
    script.write_text(code)
    shell = f"mount -t tmpfs -o size=600k tmpfs {mount} && {sys.executable} {script}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", shell], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    refused, left, *rest = done.stdout.splitlines()
    assert refused.startswith("refused: The disk is full: cannot make room for the raw data")
    assert left == "left: []"
    assert rest[-1] == "kept: 256 True", done.stdout
    assert rest[0].startswith("finish: The disk is full"), done.stdout
