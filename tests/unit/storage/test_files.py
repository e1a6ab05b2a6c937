# SPDX-License-Identifier: MIT
"""What a disk can do to us, said in plain words, with nothing half-written left behind."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from isocenter.domain.errors import StorageError
from isocenter.storage.files import plain_words, write_atomic
from isocenter.storage.journal import Journal, mend_journal, read_journal

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, r"The disk is full: cannot write x in .*f\.\n.*Free space"),
        (errno.EDQUOT, r"The disk is full"),
        (errno.EROFS, r"read-only: cannot write x[\s\S]*Choose a data folder"),
        (errno.EACCES, r"Permission is missing[\s\S]*Ask for the right"),
        (errno.EFBIG, r"larger than this computer allows"),
        (errno.EIO, r"Input/output error[\s\S]*Check the disk"),
    ],
)
def test_the_operating_systems_words_become_plain_ones(code, message):
    with pytest.raises(StorageError, match=message), plain_words("write x", Path("f")):
        raise OSError(code, "E")


def test_what_hdf5_says_of_a_full_disk_is_understood_too():
    text = "Can't synchronously write data (file write failed: errno = 28, error message = 'No space left on device')"
    with pytest.raises(StorageError, match="The disk is full"), plain_words("write x", Path("f")):
        raise OSError(text)


def test_an_atomic_write_replaces_the_whole_file_or_nothing(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(StorageError, match="does not exist"):
        write_atomic(tmp_path / "missing" / "a.json", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


# In a process of its own, since a limit on the size of files cannot be taken back.
LIMITED = """
import resource, sys
sys.path.insert(0, {here!r})
from pathlib import Path
import examples
from isocenter.domain.errors import StorageError
from isocenter.storage.files import write_atomic
from isocenter.storage.journal import Journal
from isocenter.storage.scan_folder import ScanFolder
parent = Path({parent!r})
scan, request = examples.make_scan(64, 4, 128), examples.make_request()
(parent / "kept.json").write_bytes(b"old")
journal = Journal(parent / "j.jsonl")
journal.note("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for action in (
    lambda: ScanFolder.create(parent / "scans", request, scan, b""),
    lambda: write_atomic(parent / "kept.json", b"x" * 200_000),
    lambda: journal.note("long", text="y" * 200_000),
):
    try:
        action()
    except StorageError as error:
        print(error.problem)
journal.note("after")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files there")
def test_a_file_that_may_not_grow_leaves_nothing_half_written(tmp_path):
    code = LIMITED.format(here=str(HERE), parent=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout
    assert all("larger than this computer allows" in line for line in lines)
    assert list((tmp_path / "scans").iterdir()) == []
    assert (tmp_path / "kept.json").read_bytes() == b"old"
    assert [event["event"] for event in read_journal(tmp_path / "j.jsonl")] == ["before", "after"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["j.jsonl", "kept.json", "scans"]


def test_the_journal_keeps_whole_lines_only(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, now=lambda: "2026-01-01T00:00:00+00:00")
    journal.note("late start", late_s=0.25, text="é 漢")
    journal.close()
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"at": "20')
    expected = [{"at": "2026-01-01T00:00:00+00:00", "event": "late start", "late_s": 0.25, "text": "é 漢"}]
    assert read_journal(path) == expected
    mend_journal(path)
    assert path.read_bytes().endswith(b"\n")
    assert read_journal(path) == expected


def test_only_one_program_writes_a_journal(tmp_path):
    first = Journal(tmp_path / "j.jsonl")
    with pytest.raises(StorageError, match="still being written"):
        Journal(tmp_path / "j.jsonl")
    first.close()
    Journal(tmp_path / "j.jsonl").close()
