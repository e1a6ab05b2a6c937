# SPDX-License-Identifier: MIT
"""Is everything there that a scan needs? Each answer comes from a real try."""

import importlib
import platform
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from isocenter.app.finding import Finding
from isocenter.app.lights import disk_light
from isocenter.app.paths import at_address
from isocenter.app.service import Health
from isocenter.app.transmit_phase import confirmation
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ConsoleError
from isocenter.domain.scanner import Scanner

_LIBRARIES = ("numpy", "scipy", "numba", "h5py", "ismrmrd", "pypulseq", "pydicom", "nibabel", "msgpack", "PIL")
_BROKEN = (ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError)  # what a half-installed library raises


def examine(
    scanner_name: str,
    data_folder: Path,
    *,
    with_console: bool,
    with_self_test: bool = False,
    cable_by: str = "",
    host: str = "",
    port: int = 0,
) -> Iterator[Finding]:
    """Check computer, libraries, hardware file and, if asked, the console and all devices; yields findings as they come.

    ``with_self_test`` also tries the scanner itself, for which nobody may be inside; ``cable_by`` as for ``self_test``.
    """
    yield Finding(
        what="Python",
        health=Health.GOOD if sys.version_info >= (3, 11) else Health.BAD,
        text=f"{platform.python_version()} on {platform.platform(terse=True)}",
    )
    yield _attempt("Libraries", _import_libraries, "Run `make clean setup`, or install Isocenter again.")
    yield _attempt("Window", _import_window, "Linux: run `make console`, which installs what Qt needs, or names it.")
    yield _attempt(
        "Data folder",
        lambda: _write_probe(data_folder),
        f"Make {data_folder} a folder that you may write to, or name another in the environment variable ISOCENTER_DATA.",
    )
    yield _sequences_finding()
    light = disk_light(data_folder)
    yield Finding(what="Disk", health=light.health, text=light.text, remedy="Move old exams elsewhere.")
    try:
        scanner = load_scanner(scanner_name)
    except ConsoleError as error:
        yield Finding(what="Hardware file", health=Health.BAD, text=error.problem, remedy=error.remedy)
        return
    yield _hardware_finding(scanner)
    is_real = True
    if with_console:
        from isocenter.app.doctor_devices import device_findings

        is_real = yield from _console_findings(at_address(scanner, host, port))
        yield from device_findings(scanner)
    if with_self_test:
        from isocenter.app.self_test import self_test

        yield from self_test(at_address(scanner, host, port), data_folder, cable_by=cable_by)
    yield confirmation(scanner, data_folder, is_real=is_real)


def _attempt(what: str, work: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what=what, health=Health.GOOD, text=work())
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Finding(what=what, health=Health.BAD, text=reason, remedy=remedy)


def _import_libraries() -> str:
    versions, broken = [], []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {getattr(importlib.import_module(name), '__version__', '')}".strip())
        except _BROKEN as error:
            broken.append(f"{name} cannot be loaded ({error})")
    if broken:
        raise ImportError("; ".join(broken))
    return ", ".join(versions)


def _import_window() -> str:
    # The window lives above this layer, so it is found by name.
    importlib.import_module("isocenter.ui.main")
    widgets = importlib.import_module("PySide6.QtWidgets")
    return f"Qt {widgets.__name__.split('.')[0]} {importlib.import_module('PySide6').__version__}"


def _write_probe(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        probe.write(b"isocenter")
        probe.flush()
    return str(folder)


def _sequences_finding() -> Finding:
    from isocenter.app.catalogue import sequences

    try:
        names = [info.name for info in sequences()]
    except ConsoleError as error:
        return Finding(what="Sequences", health=Health.BAD, text=error.problem, remedy=error.remedy)
    return Finding(what="Sequences", health=Health.GOOD if names else Health.BAD, text=", ".join(names) or "none found")


def _hardware_finding(scanner: Scanner) -> Finding:
    assumed = sorted(key for key, origin in scanner.origins.items() if origin.evidence.value == "assumed")
    text = f"{scanner.title}: {scanner.magnet.b0_t * 1e3:.1f} mT, {scanner.gradients.board.value}"
    if not assumed:
        return Finding(what="Hardware file", health=Health.GOOD, text=text)
    return Finding(
        what="Hardware file",
        health=Health.WARNING,
        text=f"{text}; {len(assumed)} of {len(scanner.origins)} values are assumed, not measured",
        remedy=f"Measure them on your scanner: {', '.join(assumed)}.",
    )


def _console_findings(scanner: Scanner) -> Generator[Finding, None, bool]:
    """Who answers, and whether it is at zero; returns False when a simulated console answered."""
    from isocenter.app.doctor_devices import board_finding
    from isocenter.devices.marcos.driver import MarcosConsole

    address = f"{scanner.console.host}, port {scanner.console.port}"
    console = MarcosConsole(scanner.console, scanner.gradients)
    try:
        identity = console.open()
        safe = console.make_safe()
    except ConsoleError as error:
        yield Finding(what="Console", health=Health.BAD, text=error.problem, remedy=error.remedy)
        return True
    finally:
        console.close()
    zero = "every output at zero, as confirmed" if safe.verified else "not confirmed that every output is at zero"
    yield Finding(
        what="Console",
        health=Health.GOOD if safe.verified else Health.BAD,
        text=f"{identity.kind} {identity.family} {identity.version} at {address}; {zero}",
        remedy="Switch the amplifiers off by hand, then restart the console.",
    )
    board = board_finding(scanner, safe)
    if board is not None:
        yield board
    return identity.is_real
