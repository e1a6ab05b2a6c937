# SPDX-License-Identifier: MIT
"""``[devices]`` of a hardware file: what hangs on which line, or a refusal that names line, key, found and allowed."""

import pickle
import re
import tomllib
from pathlib import Path

import pytest

from isocenter.config import paths
from isocenter.config.drivers import DRIVERS
from isocenter.config.hardware import load_scanner
from isocenter.domain.device import DeviceLink, DeviceRole, UsbIdentity
from isocenter.domain.errors import ConfigError
from isocenter.domain.scanner import Evidence

DOCS = Path(__file__).parents[3] / "docs"
SHIPPED = sorted((DOCS.parent / "hardware_configs").glob("*.toml"))
EXAMPLE = """
[devices.interlock]
driver = "isocenter-line"
usb = { vendor_id = 0x2341, product_id = 0x0043 }

[devices.sensors]
driver = "isocenter-line"
usb = { vendor_id = 0x2341, product_id = 0x0043 }
required = false

[devices.sensors.options]
magnet_max_c = { value = 35, evidence = "assumed", source = "well below the limit of NdFeB" }

[devices.rf_amplifier]
driver = "barthel"
url = "socket://192.168.1.20:4001"
baud = 57600
"""


@pytest.fixture
def load(tmp_path):
    text = (paths.shipped_dir("hardware_configs") / "osii-one.toml").read_text(encoding="utf-8")

    def load(devices):
        path = tmp_path / "mine.toml"
        path.write_text(text + devices, encoding="utf-8")
        return load_scanner(path)

    return load


def test_a_scanner_without_devices_has_none(load):
    assert load("").devices == ()


def test_devices_are_read_with_everything(load):
    scanner = load(EXAMPLE)
    usb = UsbIdentity(vendor_id=0x2341, product_id=0x43)
    assert scanner.devices == (
        DeviceLink(role=DeviceRole.INTERLOCK, driver="isocenter-line", usb=usb),
        DeviceLink(role=DeviceRole.RF_AMPLIFIER, driver="barthel", url="socket://192.168.1.20:4001", baud=57600),
        DeviceLink(
            role=DeviceRole.SENSORS, driver="isocenter-line", usb=usb, is_required=False, options={"magnet_max_c": 35.0}
        ),
    )
    assert scanner.origins["devices.sensors.options.magnet_max_c"].evidence is Evidence.ASSUMED
    assert pickle.loads(pickle.dumps(scanner)).devices == scanner.devices


WRONG = {
    "role": (
        "[devices.interlock]",
        "[devices.interlok]",
        r"'devices.interlok': there is no such key.*Did you mean 'interlock'",
    ),
    "driver": ('"barthel"', '"bartel"', r"line \d+, key 'devices.rf_amplifier': found the driver 'bartel'; .* \"barthel\""),
    "role of a driver": (
        '"barthel"',
        '"isocenter-line"',
        r"rf_amplifier': found the driver 'isocenter-line'; .* \"barthel\"",
    ),
    "option": (
        "magnet_max_c",
        "magnet_maks_c",
        r"found the option 'magnet_maks_c'; the driver isocenter-line has: magnet_min",
    ),
    "option out of range": ("value = 35", "value = 350", r"found 350 for the option 'magnet_max_c'; allowed is -40 to 150"),
    "option unknown": ("value = 35", "value = nan", r"found nan for the option 'magnet_max_c'"),
    "option without origin": (
        '{ value = 35, evidence = "assumed", source = "well below the limit of NdFeB" }',
        "35",
        r"_c'",
    ),
    "no address": ('url = "socket://192.168.1.20:4001"', "", r"found neither url and usb; allowed is one of them"),
    "two addresses": ("baud = 57600", "usb = { vendor_id = 1, product_id = 2 }", r"found both url and usb"),
    "dangerous url": (
        "socket://192.168.1.20:4001",
        "spy://dev/ttyS0",
        r"url': found 'spy://dev/ttyS0'; allowed is the name",
    ),
    "any port": ("socket://192.168.1.20:4001", "hwgrep://.*", r"url': found 'hwgrep"),
    "baud": ("57600", "576", r"devices.rf_amplifier.baud': found 576; allowed is 1200 to"),
    "usb number": ("0x2341", "0x12341", r"vendor_id': found 74561; allowed is 0x0000"),
    "required": ("required = false", 'required = "no"', r"required': found 'no'; allowed is true or false"),
    "address of another driver": (
        'url = "socket://192.168.1.20:4001"\nbaud = 57600',
        "usb = { vendor_id = 0x2341, product_id = 0x0043 }\nbaud = 57600",
        r"'devices.rf_amplifier': found the address of \[devices.interlock\] with another driver or baud \(barthel, 57600",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused(case, load):
    old, new, message = WRONG[case]
    assert old in EXAMPLE
    with pytest.raises(ConfigError, match=re.compile(message, re.DOTALL)) as caught:
        load(EXAMPLE.replace(old, new) if case == "option" else EXAMPLE.replace(old, new, 1))
    assert "mine.toml" in caught.value.problem
    assert caught.value.remedy.endswith((".", "?"))


@pytest.mark.parametrize("page", ["hardware-files.md", "line-protocol.md"])
def test_the_examples_of_the_pages_load(page, load):
    examples = re.findall(r"```toml\n(\[devices.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        assert len(load(example).devices) == len(tomllib.loads(example)["devices"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_a_shipped_file_offers_to_uncomment_loads(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(re.sub(r"(?m)^# ?(\[devices|\w+ = )", r"\1", text), encoding="utf-8")
    assert len(load_scanner(mine).devices) >= 2


def test_every_driver_and_option_stands_in_the_page():
    table = (DOCS / "hardware-files.md").read_text(encoding="utf-8").split("## Devices on lines")[1].split("## ")[0]
    for name, driver in DRIVERS.items():
        for word in (name, *driver.roles, *driver.options):
            assert f"`{word}`" in table, word
