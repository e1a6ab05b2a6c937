# SPDX-License-Identifier: MIT
"""Whole numbers out of text."""

import numpy as np
import pytest

from isocenter.compiler.pulseq.numbers import read_integers


def _read(text: bytes) -> tuple[list[int], list[int], bool]:
    values, counts, is_sound = read_integers(np.frombuffer(text, dtype=np.uint8), text.count(b"\n"))
    return values.tolist(), counts.tolist(), is_sound


def test_reads_what_python_reads_line_by_line() -> None:
    rng = np.random.default_rng(7)
    rows = [[int(rng.integers(0, 10 ** int(rng.integers(1, 19)))) for _ in range(rng.integers(0, 6))] for _ in range(200)]
    gaps = (b" ", b"\t", b"  ", b" \t ")
    text = b"".join(gaps[i % 4].join(b"%d" % one for one in row) + b"\n" for i, row in enumerate(rows))
    values, counts, is_sound = _read(text)
    assert is_sound
    assert counts == [len(row) for row in rows]
    assert values == [one for row in rows for one in row]


def test_eighteen_digits_fit() -> None:
    assert _read(b"\n 999999999999999999\n") == ([999999999999999999], [0, 1], True)


@pytest.mark.parametrize("word", [b"-1", b"+1", b"1.5", b"1e3", b"x", b"12a", b"1000000000000000000", b"\xff"])
def test_other_words_are_told(word: bytes) -> None:
    _, counts, is_sound = _read(b"1 2\n3 " + word + b"\n4 5\n")
    assert not is_sound
    assert counts == [2, 2, 2]
