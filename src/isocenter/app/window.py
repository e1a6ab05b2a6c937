# SPDX-License-Identifier: MIT
"""What the window drives: the scanner and console that were chosen, put together as one service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isocenter.app.exam_service import ExamService
from isocenter.app.paths import at_address, data_folder
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_scanner import scanner_of
from isocenter.app.virtual_service import VirtualService
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ConfigError

VIRTUAL: Final = "virtual"
HARDWARE: Final = "hardware"
WHOLE: Final = "whole"
FREQUENCY: Final = "frequency"
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChoice:
    """Which scanner the window drives, and how it gets there.

    Attributes
    ----------
    scanner
        Name of a hardware file, or its path.
    console
        ``virtual`` starts a virtual scanner, ``hardware`` takes the address in the hardware file, anything else is
        ``host`` or ``host:port``.
    scenario
        For the virtual scanner: which phantom lies in which field.
    prescan
        What Start measures before the first pictures of an exam: ``whole``, or ``frequency`` for that alone, as research may
        want it.
    """

    scanner: str = "osii-one"
    console: str = VIRTUAL
    scenario: str = "osii-one-brain"
    prescan: str = WHOLE

    @property
    def is_virtual(self) -> bool:
        """True when a virtual scanner is to be started."""
        return self.console == VIRTUAL


def choice_from(environment: Mapping[str, str]) -> WindowChoice:
    """The choice in ``ISOCENTER_SCANNER``, ``_CONSOLE``, ``_SCENARIO`` and ``_PRESCAN``; virtual if nothing is set."""
    default = WindowChoice()
    console = environment.get("ISOCENTER_CONSOLE") or default.console
    scenario = environment.get("ISOCENTER_SCENARIO") or default.scenario
    scanner = environment.get("ISOCENTER_SCANNER")
    if not scanner:
        scanner = scanner_of(scenario, default.scanner) if console == VIRTUAL else default.scanner
    prescan = environment.get("ISOCENTER_PRESCAN") or default.prescan
    return WindowChoice(scanner=scanner, console=console, scenario=scenario, prescan=prescan)


def address(console: str) -> tuple[str, int]:
    """Host and port of a console given as ``hardware``, ``host`` or ``host:port``; empty and 0 for the hardware file's.

    Raises
    ------
    ConfigError
        The port is none.
    """
    if console == HARDWARE:
        return "", 0
    host, colon, port = console.partition(":")
    if not colon:
        return host, 0
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LARGEST_PORT and host):
        raise ConfigError(
            f"'{console}' is no address of a console.",
            "Set ISOCENTER_CONSOLE to virtual, hardware, HOST or HOST:PORT, such as 192.168.1.101:11111.",
        )
    return host, int(port)


def open_service(choice: WindowChoice | None = None, folder: Path | None = None) -> ExamService:
    """The service for a choice; takes seconds when a virtual scanner has to start, so call it outside the window's thread.

    Raises
    ------
    ConsoleError
        The hardware file or the address is wrong, or the virtual scanner did not start.
    """
    choice = choice or choice_from(os.environ)
    folder = folder or data_folder()
    if choice.prescan not in (WHOLE, FREQUENCY):
        raise ConfigError(
            f"'{choice.prescan}' is not something that Start can measure.",
            f"Set ISOCENTER_PRESCAN to {WHOLE}, or to {FREQUENCY} for the frequency alone.",
        )
    is_whole = choice.prescan == WHOLE
    if not choice.is_virtual:
        scanner = load_scanner(choice.scanner)
        session = ScannerSession(at_address(scanner, *address(choice.console)), is_virtual=False)
        return ExamService(session, folder, is_prescan_at_start=is_whole)
    return VirtualService(choice.scanner, choice.scenario, folder, is_prescan_at_start=is_whole)
