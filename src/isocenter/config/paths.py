# SPDX-License-Identifier: MIT
"""Where hardware files, scenarios and sequences are looked for: the user's folder first, then what is shipped."""

from pathlib import Path
from typing import Literal, TypeAlias

import platformdirs

Kind: TypeAlias = Literal["hardware_configs", "scenarios", "sequences"]

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_dir(kind: Kind) -> Path:
    """Folder with the files that come with the program.

    In an installed wheel they are package data; in a checkout they are the repository's own top-level folder.
    """
    packaged = _PACKAGE / "_shipped" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent.parent / kind


def user_dir(kind: Kind) -> Path:
    """Folder in which a user's own files lie over the shipped ones; it need not exist."""
    return Path(platformdirs.user_config_dir("isocenter", appauthor=False)) / kind


def search_dirs(kind: Kind) -> tuple[Path, ...]:
    """The existing folders, in the order in which they are searched."""
    return tuple(folder for folder in (user_dir(kind), shipped_dir(kind)) if folder.is_dir())
