# SPDX-License-Identifier: MIT
"""Every deliberate error says what to do, and survives a process pool."""

import pickle

import pytest

from isocenter.domain import errors


def _all_subclasses(cls: type) -> list[type]:
    return [sub for direct in cls.__subclasses__() for sub in (direct, *_all_subclasses(direct))]


@pytest.mark.parametrize("cls", [errors.ConsoleError, *_all_subclasses(errors.ConsoleError)], ids=lambda cls: cls.__name__)
def test_error_survives_pickling_with_problem_and_remedy(cls: type[errors.ConsoleError]) -> None:
    error = pickle.loads(pickle.dumps(cls("The coil is unplugged.", "Plug it in.")))
    assert type(error) is cls
    assert (error.problem, error.remedy) == ("The coil is unplugged.", "Plug it in.")
    assert str(error) == "The coil is unplugged.\nWhat to do: Plug it in."
