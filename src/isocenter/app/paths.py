# SPDX-License-Identifier: MIT
"""Where exams are kept, and where a console is."""

import os
from dataclasses import replace
from pathlib import Path

import platformdirs

from isocenter.domain.scanner import Scanner


def data_folder() -> Path:
    """Folder of all exams: ``ISOCENTER_DATA`` if set, else the user's data folder of this system."""
    chosen = os.environ.get("ISOCENTER_DATA")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("isocenter", appauthor=False)) / "exams"


def at_address(scanner: Scanner, host: str, port: int) -> Scanner:
    """The scanner with its console at another address; empty and 0 leave the hardware file's."""
    link = scanner.console
    return replace(scanner, console=replace(link, host=host or link.host, port=port or link.port))
