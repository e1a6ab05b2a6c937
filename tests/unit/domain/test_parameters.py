# SPDX-License-Identifier: MIT
"""Declared parameters: what is typed is what is used, or it is refused."""

from dataclasses import dataclass

import pytest

from isocenter.domain import parameters as declared
from isocenter.domain.errors import SequenceError


@dataclass(frozen=True, kw_only=True)
class Example:
    tr_s: float = declared.number(0.5, "TR", unit="ms", low=0.01, high=10.0, help="Repetition time.")
    lines: int = declared.integer(64, "Lines", low=1, high=256, help="Phase encodes.")
    order: str = declared.choice("linear", "Order", choices=("linear", "centre-out"), help="Order of lines.")
    spoil: bool = declared.switch(True, "Spoiling", help="RF spoiling.")


def _parameter(name: str) -> declared.Parameter:
    return next(item for item in declared.parameters_of(Example) if item.name == name)


def test_values_are_taken_in_si_and_defaults_stay() -> None:
    made = declared.make_parameters(Example, {"tr_s": 0.25})
    assert (made.tr_s, made.lines, made.order, made.spoil) == (0.25, 64, "linear", True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tr_s", "300", 0.3),
        ("tr_s", "300 ms", 0.3),
        ("lines", "12", 12),
        ("order", "centre-out", "centre-out"),
        ("spoil", "off", False),
    ],
)
def test_typed_text_is_read_in_display_units(name, text, value) -> None:
    assert declared.parse_text(_parameter(name), text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tr_s", "fast", r"TR \(tr_s\) cannot be fast\.\nWhat to do: Give 10 to 10000 ms"),
        ("tr_s", "20 s", "cannot be 20 s"),
        ("tr_s", "5", r"cannot be 5 ms\.\n.*10 to 10000 ms"),
        ("tr_s", "nan", "cannot be nan ms"),
        ("lines", "12.5", "whole number, 1 to 256"),
        ("order", "random", "one of linear, centre-out"),
        ("spoil", "maybe", "on or off"),
    ],
)
def test_what_is_not_a_value_is_refused_with_what_is_allowed(name, text, message) -> None:
    with pytest.raises(SequenceError, match=message):
        declared.parse_text(_parameter(name), text)


def test_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SequenceError, match=r"no parameter 'te_s'.\n.*tr_s, lines, order, spoil"):
        declared.make_parameters(Example, {"te_s": 1.0})


@pytest.mark.parametrize("value", [0.01, 10.0])
def test_the_ends_of_a_range_are_allowed(value) -> None:
    assert declared.check_value(_parameter("tr_s"), value) == value


def test_format_and_parse_are_inverse() -> None:
    parameter = _parameter("tr_s")
    assert declared.parse_text(parameter, declared.format_value(parameter, 0.0315)) == pytest.approx(0.0315)
