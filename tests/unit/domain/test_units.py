# SPDX-License-Identifier: MIT
"""Figures in words: a sign where there is something to sign, and never a minus before zero."""

import ast
from pathlib import Path

import pytest

import isocenter
from isocenter.domain.units import plain, signed

PRESCAN = Path(isocenter.__file__).parent / "acquisition" / "prescan"
FOLLOWING = ("tracking.py", "tracking_pairs.py", "recentre.py", "looks.py")  # changes of a frequency, in whole hertz


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (3.74, 1, "+3.7"),
        (-3.76, 1, "−3.8"),
        (-0.04, 1, "0.0"),
        (0.04, 1, "0.0"),
        (-0.0, 0, "0"),
        (-0.4, 0, "0"),
        (-0.5004, 3, "−0.500"),
        (12345.0, 0, "+12345"),
    ],
)
def test_a_figure_has_a_sign_only_where_rounding_leaves_something(value, digits, text):
    assert signed(value, digits) == text
    assert plain(value, digits) == text.lstrip("+")


def test_significant_digits_and_what_is_no_number():
    assert signed(-5e-9, 3, significant=True) == "−5e-09"
    assert signed(0.0, 3, significant=True) == "0"
    assert signed(2.5, 3, significant=True) == "+2.5"
    assert (signed(float("inf")), signed(float("-inf")), signed(float("nan"))) == ("+inf", "−inf", "nan")


def test_no_text_of_the_prescan_writes_its_signs_itself():
    """``f"{-0.04:+.1f} %"`` reads -0.0 %."""
    found = []
    for path in sorted(PRESCAN.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None and path.name not in FOLLOWING:
                spec = "".join(part.value for part in node.format_spec.values if isinstance(part, ast.Constant))
                found += [f"{path.name}:{node.lineno}"] if spec.startswith("+") else []
    assert found == []
