# SPDX-License-Identifier: MIT
"""Files that a person writes: found by name or path, read with limits, refused in plain words."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from isocenter.config.paths import Kind, search_dirs, user_dir
from isocenter.domain.errors import ConfigError

_LARGEST_FILE_BYTES = 1_000_000


def list_names(kind: Kind) -> tuple[str, ...]:
    """Names of all files of a kind, the user's and the shipped ones, sorted. They are not read."""
    return tuple(sorted({path.stem for folder in search_dirs(kind) for path in folder.glob("*.toml")}))


def find_file(kind: Kind, name_or_path: str | Path, noun: str) -> Path:
    """Path of a file given by name or path; the user's own come first.

    Raises
    ------
    ConfigError
        There is none of that name; the remedy lists those that there are. Paths are not looked at.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or "\\" in text:
        return Path(name_or_path)
    for folder in search_dirs(kind):
        path = folder / f"{text}.toml"
        if path.is_file():
            return path
    names = list_names(kind)
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise ConfigError(
        f"There is no {noun} '{text}'.",
        f"{hint}Use one of: {', '.join(names)}; or put {text}.toml into {user_dir(kind)}.",
    )


def read_toml(path: Path, *, noun: str, choose: str, manual: str) -> tuple[str, dict[str, Any]]:
    """Text of a TOML file and what it says.

    Parameters
    ----------
    path
        Of the file.
    noun
        What it should be, such as ``hardware file``.
    choose
        Remedy when it is not there or no such file at all.
    manual
        Page that shows a whole file.

    Raises
    ------
    ConfigError
        It is missing, too large, no text, or not TOML.
    """
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise ConfigError(f"{path} {what}.", choose)
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ConfigError(f"{path} is larger than 1 MB; that is no {noun}.", choose)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}.",
            "Save the file as UTF-8 in your editor.",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", choose) from None
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path} is not valid TOML: brackets within brackets without end.", choose) from None
    except ValueError as error:  # TOMLDecodeError, or a whole number of too many digits
        raise ConfigError(
            f"{path} is not valid TOML: {error}.", f"Correct that line; {manual} shows a whole file."
        ) from None
