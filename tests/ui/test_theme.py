# SPDX-License-Identifier: MIT
"""What can be read: contrast and size."""

import re

import pytest

from isocenter.ui import theme


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_itself_is_computed_right():
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("text", "ground"), theme.TEXT_PAIRS)
def test_text_has_a_contrast_of_four_and_a_half(text, ground):
    assert contrast(text, ground) >= 4.5


def test_no_text_is_smaller_than_thirteen_pixels():
    sizes = [int(size) for size in re.findall(r"font-size: (\d+)px", theme.SHEET)]
    assert sizes
    assert min(*sizes, theme.FONT_PX, theme.SMALL_PX) >= 13


def test_every_colour_of_the_sheet_is_one_that_is_checked():
    known = {value for name, value in vars(theme).items() if name.isupper() and isinstance(value, str)}
    assert set(re.findall(r"#[0-9a-f]{6}\b", theme.SHEET)) <= known
