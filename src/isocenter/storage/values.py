# SPDX-License-Identifier: MIT
"""Domain values as plain JSON and back, by their type annotations. NaN is null, since JSON has no other word for unknown."""

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from isocenter.domain.errors import StorageError

T = TypeVar("T")

_AS_THEY_ARE: Final = frozenset({bool, float, int, str})


def to_plain(value: Any) -> Any:
    """A domain value as dicts, lists, text, numbers and None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def from_plain(kind: type[T], plain: Any, where: str = "value") -> T:
    """Value of a domain type from what ``to_plain`` made of it. Unknown keys, written by a newer program, are left out.

    Raises
    ------
    StorageError
        When something is missing or of the wrong kind; names the place.
    """
    result: T = _decode(kind, plain, where)
    return result


def _decode(kind: Any, plain: Any, where: str) -> Any:
    if type(plain) is kind and kind in _AS_THEY_ARE:  # most values; what follows takes ten times as long
        return plain
    try:
        return _decode_checked(kind, plain, where)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise StorageError(
            f"{where} holds {str(plain)[:60]!r}, which cannot be right ({error}).",
            "Restore the file from a copy; if this program wrote it, report the fault.",
        ) from error


def _decode_checked(kind: Any, plain: Any, where: str) -> Any:
    origin, arguments = _form(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, plain, where)
    if origin is tuple:
        kinds = [arguments[0]] * len(plain) if arguments[-1] is ... else arguments
        return tuple(_decode(k, p, f"{where}[{i}]") for i, (k, p) in enumerate(zip(kinds, plain, strict=True)))
    if origin in (dict, Mapping):
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in plain.items()}
    if origin is np.ndarray:
        scalar = get_args(arguments[1])[0]
        return np.array(plain, dtype=scalar)
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]  # a class here, and classes have a hash
        names = [name for name in _names(kind) if name in plain]  # type: ignore[arg-type]
        return kind(**{name: _decode(hints[name], plain[name], f"{where}.{name}") for name in names})  # type: ignore[operator]
    return _decode_leaf(kind, plain)


@functools.cache
def _form(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(kind), get_args(kind)


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(kind))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode_union(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    return _decode(others[0], plain, where) if len(others) == 1 else plain


def _decode_leaf(kind: Any, plain: Any) -> Any:
    if kind is float:
        return math.nan if plain is None else float(plain)
    if kind is date:
        return date.fromisoformat(plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if isinstance(kind, type) and not isinstance(plain, kind):
        raise TypeError(f"expected {kind.__name__}")
    return plain
