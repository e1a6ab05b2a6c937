# SPDX-License-Identifier: MIT
"""The link to a scanner that is being closed."""

from dataclasses import replace

from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.control import ScannerState


def test_stop_never_raises_also_when_the_window_has_closed_just_now():
    scanner = load_scanner("osii-one")
    nowhere = replace(scanner, console=replace(scanner.console, host="127.0.0.1", port=1))
    session = ScannerSession(nowhere, is_virtual=False)
    session.close()
    session.stop("a late hand")
    session.request_safe()
    assert session.supervisor.state is ScannerState.SAFE
