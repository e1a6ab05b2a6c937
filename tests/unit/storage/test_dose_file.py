# SPDX-License-Identifier: MIT
"""The file of what was played: whole lines or none, one writer, nothing damaged passes for empty."""

import errno
import os
from pathlib import Path

import pytest

from isocenter.domain.errors import StorageError, WrongState
from isocenter.storage.dose_file import DoseFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "exposures.jsonl"


def test_lines_come_back_in_order_and_no_file_is_no_lines(path):
    file = DoseFile(path)
    assert file.stamp is None
    assert file.read() == []
    with file.held():
        for number in range(3):
            file.append({"n": number})
    assert DoseFile(path).read() == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_line_that_a_crash_cut_short_is_left_out_and_the_next_stands_alone(path):
    file = DoseFile(path)
    with file.held():
        file.append({"n": 0})
    with path.open("ab") as torn:
        torn.write(b'{"n": 1, "half')
    assert file.read() == [{"n": 0}]
    with file.held():
        file.append({"n": 2})
    assert file.read() == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize("line", [b"{]\n", b"\n", b"\xff\xfe\n", b"[1]\n", b"null\n"])
def test_a_damaged_line_is_told_with_its_number_and_what_to_do(path, line):
    file = DoseFile(path)
    with file.held():
        file.append({"n": 0})
    path.write_bytes(path.read_bytes() + line + b'{"n": 2}\n')
    with pytest.raises(StorageError, match=r"line 2.*RF and heat cannot be added up") as refused:
        file.read()
    assert str(path) in refused.value.remedy


def test_one_program_at_a_time_and_the_next_when_it_has_ended(path):
    one, two = DoseFile(path), DoseFile(path)
    with one.held():
        with pytest.raises(WrongState, match="Another program is scanning"), two.held():
            pytest.fail("two at once")
        one.append({"n": 0})
    with two.held():
        two.append({"n": 1})
    assert one.read() == [{"n": 0}, {"n": 1}]


def test_its_stamp_changes_with_every_line_and_every_rewrite(path):
    file, stamps = DoseFile(path), set()
    with file.held():
        for number in range(3):
            file.append({"n": number})
            stamps.add(file.stamp)
        file.rewrite([{"n": 9}])
        stamps.add(file.stamp)
        file.append({"n": 10})
        stamps.add(file.stamp)
    assert len(stamps) == 5
    assert file.read() == [{"n": 9}, {"n": 10}]


def test_what_cannot_be_written_leaves_no_part_behind_and_says_why(path, monkeypatch):
    file = DoseFile(path)
    with file.held():
        file.append({"n": 0})
        real, calls = os.write, []

        def full(handle: int, data: bytes) -> int:
            calls.append(len(data))
            if len(calls) == 1:
                return real(handle, data[:4])
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="disk is full"):
            file.append({"n": 1})
        monkeypatch.undo()
        assert path.read_bytes() == b'{"n":0}\n'
        file.append({"n": 2})
    assert file.read() == [{"n": 0}, {"n": 2}]


def test_numbers_that_are_none_are_never_written(path):
    file = DoseFile(path)
    with file.held(), pytest.raises(ValueError, match="JSON"):
        file.append({"n": float("nan")})


def test_a_folder_in_its_place_is_told_in_words(path):
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match="history of exposures"):
        DoseFile(path).read()
