# SPDX-License-Identifier: MIT
"""Domain values survive the way through JSON."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.storage.values import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    ratio: float
    pair: tuple[int, str]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    table: dict[str, float]
    maybe: float | None
    mixed: dict[str, float | int | str | bool]
    array: NDArray[np.float64]


def make(ratio=math.nan):
    inner = Inner(ratio, (3, "x"))
    return Outer(inner, (inner, inner), {"a": math.inf}, None, {"n": 1, "s": "t", "b": True}, np.array([[1.0, 2.0]]))


def test_a_nested_value_comes_back():
    plain = json.loads(json.dumps(to_plain(make()), allow_nan=False))
    assert plain["inner"]["ratio"] is None
    back = from_plain(Outer, plain)
    assert math.isnan(back.inner.ratio)
    assert back.table == {"a": math.inf}
    assert back.mixed == {"n": 1, "s": "t", "b": True}
    assert isinstance(back.mixed["n"], int)
    assert back.many[1].pair == (3, "x")
    np.testing.assert_array_equal(back.array, [[1.0, 2.0]])
    assert from_plain(Outer, to_plain(make(0.5))).inner.ratio == 0.5


def test_keys_of_a_newer_program_are_left_out():
    plain = to_plain(make(0.5)) | {"invented_later": 1}
    assert from_plain(Outer, plain).inner.ratio == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": {"ratio": "x", "pair": [1, "a"]}}, r"scan\.json\.inner\.ratio holds 'x'"),
        ({"inner": {"ratio": 1, "pair": [1]}}, r"inner\.pair"),
        ({"inner": {"ratio": 1, "pair": ["1", "a"]}}, r"inner\.pair\[0\] holds '1'.*expected int"),
        ({"many": 5}, r"many holds '5'"),
        ({"inner": {"pair": [1, "a"]}}, r"inner holds"),
    ],
)
def test_what_cannot_be_right_is_named(change, message):
    with pytest.raises(StorageError, match=message):
        from_plain(Outer, to_plain(make()) | change, "scan.json")
