# SPDX-License-Identifier: MIT
"""Which sequences there are. A sequence is one readable Python file; see docs/sequences.md for what it declares.

A user's folder lies over the shipped one. A broken file is reported by name with its error and hides no other.
"""

import dataclasses
import difflib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from isocenter.config.paths import search_dirs
from isocenter.domain.errors import ConsoleError, SequenceError
from isocenter.domain.parameters import Parameter, parameters_of
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scan import SequenceInfo

RECON_KINDS = ("cartesian", "noncartesian", "spectrum", "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A loaded sequence file.

    Attributes
    ----------
    info
        What it says of itself.
    declaration
        Its dataclass of parameters.
    build
        Function of the parameters and a ``System`` that returns a pypulseq sequence.
    """

    info: SequenceInfo
    declaration: type
    build: Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All sequences, and why the broken ones are not among them.

    Attributes
    ----------
    infos
        Sorted by name.
    broken
        Error of each broken file by name.
    """

    infos: tuple[SequenceInfo, ...]
    broken: Mapping[str, SequenceError]


class UserCode:
    """Context in which code of a sequence file runs: whatever goes wrong there is a SequenceError that names file and line.

    Deliberate errors, such as a limit or a bad parameter, pass as they are.
    """

    def __init__(self, path: Path, doing: str) -> None:
        self._path, self._doing = path, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or isinstance(error, ConsoleError) or not isinstance(error, Exception | SystemExit):
            return
        line = error.lineno if isinstance(error, SyntaxError) else self._line(trace)
        at = f", line {line}" if line else ""
        raise SequenceError(
            f"The sequence file {self._path}{at} fails when {self._doing}: {type(error).__name__}: {error}.",
            f"Correct the file{' at that line' if line else ''}; docs/sequences.md tells how one is written.",
        ) from error

    def _line(self, trace: TracebackType | None) -> int | None:
        line = None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(self._path):
                line = trace.tb_lineno
            trace = trace.tb_next
        return line


class _Loader(SourceFileLoader):
    """Always from the source: a file edited twice within a second counts, and no cache is left in a user's folder."""

    def path_stats(self, path: Any) -> Any:
        raise OSError(path)


_cache: dict[Path, tuple[tuple[int, int], Sequence]] = {}


def catalogue() -> Catalogue:
    """Every sequence found, and every file that is broken."""
    infos: list[SequenceInfo] = []
    broken: dict[str, SequenceError] = {}
    for name, path in sorted(_files().items()):
        try:
            infos.append(_load(path).info)
        except SequenceError as error:
            broken[name] = error
    return Catalogue(infos=tuple(infos), broken=broken)


def list_sequences() -> tuple[SequenceInfo, ...]:
    """What each sequence says of itself, sorted by name; broken files are left out, ``catalogue`` tells why."""
    return catalogue().infos


def get_sequence(name: str) -> Sequence:
    """One sequence by name.

    Raises
    ------
    SequenceError
        When there is none of that name, or its file is broken.
    """
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise SequenceError(f"There is no sequence '{name}'.", f"{hint}Use one of: {', '.join(sorted(files))}.")
    return _load(files[name])


def parameters(name: str) -> tuple[Parameter, ...]:
    """The declared parameters of a sequence, in the order of the form."""
    return parameters_of(get_sequence(name).declaration)


def _files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in reversed(search_dirs("sequences")):  # what the user has comes last and wins
        found |= {path.stem: path for path in folder.glob("*.py") if not path.name.startswith("_")}
    return found


def _load(path: Path) -> Sequence:
    with UserCode(path, "it is read"):
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if path in _cache and _cache[path][0] == stamp:
            return _cache[path][1]
        module = _import(path)
    sequence = _declared(path, module)
    _cache[path] = (stamp, sequence)
    return sequence


def _import(path: Path) -> ModuleType:
    name = f"isocenter_sequence_{path.stem}"
    loader = _Loader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


def _is_pipeline(value: Any) -> bool:
    """Names of steps, or pairs of a name and its parameters; ``recon`` knows which steps there are."""
    return isinstance(value, tuple | list) and all(
        isinstance(item, str) or (isinstance(item, tuple) and list(map(type, item)) == [str, dict]) for item in value
    )


def _pipeline(value: Any) -> tuple[StepOrder, ...]:
    pairs = ((item, {}) if isinstance(item, str) else item for item in value)
    return tuple(StepOrder(step=name, parameters=dict(parameters)) for name, parameters in pairs)


def _declared(path: Path, module: ModuleType) -> Sequence:
    def need(name: str, is_right: Callable[[Any], bool], what: str) -> Any:
        value = getattr(module, name, () if name == "PIPELINE" else None)
        if not is_right(value):
            raise SequenceError(
                f"The sequence file {path} does not declare {name} as {what}.",
                f"Add it; docs/sequences.md tells how a sequence file is written. Found: {value!r}.",
            )
        return value

    def is_text(value: Any) -> bool:
        return isinstance(value, str) and bool(value.strip())

    info = SequenceInfo(
        name=path.stem,
        title=need("TITLE", is_text, "text"),
        summary=need("SUMMARY", is_text, "text"),
        recon=need("RECON", lambda value: value in RECON_KINDS, f"one of {', '.join(RECON_KINDS)}"),
        is_clinical=need("CLINICAL", lambda value: isinstance(value, bool), "True or False"),
        path=str(path),
        pipeline=_pipeline(need("PIPELINE", _is_pipeline, "a list of steps, such as ('sort', {}); or leave it away")),
    )
    declaration = need(
        "Parameters",
        lambda value: isinstance(value, type) and dataclasses.is_dataclass(value),
        "a dataclass of its parameters",
    )
    return Sequence(info=info, declaration=declaration, build=need("build", callable, "a function"))
