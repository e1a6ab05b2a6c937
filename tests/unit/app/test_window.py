# SPDX-License-Identifier: MIT
"""Which scanner the window drives."""

import pytest

from isocenter.app.window import WindowChoice, address, choice_from, open_service
from isocenter.domain.errors import ConfigError


def test_nothing_set_means_the_virtual_scanner():
    assert choice_from({}) == WindowChoice(scanner="osii-one", console="virtual", scenario="osii-one-brain")
    assert choice_from({"ISOCENTER_CONSOLE": ""}).is_virtual


def test_environment_chooses_scanner_and_console():
    choice = choice_from({"ISOCENTER_SCANNER": "osii-mini", "ISOCENTER_CONSOLE": "10.0.0.7:11112"})
    assert (choice.scanner, address(choice.console), choice.is_virtual) == ("osii-mini", ("10.0.0.7", 11112), False)
    assert address("hardware") == ("", 0)
    assert address("scanner.local") == ("scanner.local", 0)


@pytest.mark.parametrize("console", ["host:", "host:x", "host:0", "host:70000", ":11111", "host:-1"])
def test_an_address_that_is_none_is_refused(console):
    with pytest.raises(ConfigError, match=r"is no address of a console.*\n.*ISOCENTER_CONSOLE"):
        address(console)


def test_an_unknown_scanner_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        open_service(WindowChoice(scanner="nowhere"), tmp_path)


def test_start_measures_all_unless_told_otherwise(tmp_path):
    assert choice_from({}).prescan == "whole"
    assert choice_from({"ISOCENTER_PRESCAN": "frequency"}).prescan == "frequency"
    with pytest.raises(ConfigError, match=r"'none' is not something.*\n.*whole, or to frequency"):
        open_service(WindowChoice(console="127.0.0.1:5", prescan="none"), tmp_path)


def test_a_real_console_is_not_called_virtual_and_gets_its_address(tmp_path):
    service = open_service(WindowChoice(console="127.0.0.1:5"), tmp_path)
    try:
        assert not service.status.is_virtual
        assert (service.scanner.console.host, service.scanner.console.port) == ("127.0.0.1", 5)
    finally:
        service.close()
