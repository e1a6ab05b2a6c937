# SPDX-License-Identifier: MIT
"""The one place that knows the drivers of peripherals by name.

Devices with the same ``line_key`` hang on one line and must be driven by one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from isocenter.config.drivers import problem_with
from isocenter.devices.amplifiers import BarthelAmplifier
from isocenter.devices.attenuator import I3mAttenuator
from isocenter.devices.barthel import BAUD as BARTHEL_BAUD
from isocenter.devices.barthel import BarthelBridge
from isocenter.devices.interlock import IsocenterInterlock
from isocenter.devices.key_values import BAUD as KEY_VALUES_BAUD
from isocenter.devices.key_values import KeyValueBox
from isocenter.devices.line import Line
from isocenter.devices.nanovna import NanoVna
from isocenter.devices.nanovna_v2 import NanoVnaV2
from isocenter.devices.roles import Peripheral
from isocenter.devices.sar_monitor import OvguSarMonitor
from isocenter.devices.sensors import IsocenterSensors
from isocenter.devices.tuner import RelayTuner
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import ConfigError

Maker = Callable[[Sequence[DeviceLink]], Sequence[Peripheral]]
"""Makes all devices of one driver that hang on one line."""
_NAMES: Final = {role: role.value.replace("_", " ").replace("rf ", "RF ").replace("sar ", "SAR ") for role in DeviceRole}


def line_key(link: DeviceLink) -> str:
    """What is the same for devices on one line, and for them only."""
    usb = link.usb
    return link.url or (f"usb:{usb.vendor_id:04x}:{usb.product_id:04x}:{usb.serial_number}" if usb else "")


def make_peripherals(links: Sequence[DeviceLink]) -> tuple[Peripheral, ...]:
    """The devices of a scanner, in the order of their links; nothing is opened.

    Raises
    ------
    ConfigError
        A driver does not exist, does not play that role, or shares its line with another driver.
    """
    lines: dict[str, list[DeviceLink]] = {}
    for link in links:
        _check(link)
        lines.setdefault(line_key(link), []).append(link)
    made: dict[DeviceRole, Peripheral] = {}
    for sharing in lines.values():
        drivers = {link.driver for link in sharing}
        if len(drivers) > 1 or len({link.role for link in sharing}) < len(sharing):
            raise ConfigError(
                f"The devices {', '.join(link.role for link in sharing)} are at the same address {line_key(sharing[0])}, "
                f"but their drivers are {', '.join(sorted(drivers))}.",
                "Correct the addresses in the hardware file. Only roles of one box, with one driver, share a line.",
            )
        made |= {device.role: device for device in _MAKERS[sharing[0].driver](sharing)}
    return tuple(made[link.role] for link in links)


def make_peripheral(link: DeviceLink) -> Peripheral:
    """One device that shares its line with no other. Errors as for ``make_peripherals``."""
    return make_peripherals((link,))[0]


def _check(link: DeviceLink) -> None:
    if not line_key(link):
        raise ConfigError(
            f"The hardware file does not say where the {_NAMES[link.role]} is.",
            f"Give [devices.{link.role}] a url or a usb identity.",
        )
    if found := problem_with(link.role, link.driver, link.options):
        raise ConfigError(f"The {_NAMES[link.role]} in the hardware file: {found[0]}.", found[1])


def _alone(driver: Callable[[DeviceLink], Peripheral]) -> Maker:
    """Of a driver whose box plays one role."""
    return lambda links: [driver(link) for link in links]


def _barthel(links: Sequence[DeviceLink]) -> Sequence[Peripheral]:
    bridge = BarthelBridge(Line(links[0], "amplifier bridge", BARTHEL_BAUD))
    return [BarthelAmplifier(link.role, bridge) for link in links]


def _isocenter_line(links: Sequence[DeviceLink]) -> Sequence[Peripheral]:
    roles = {link.role for link in links}
    has_interlock = DeviceRole.INTERLOCK in roles
    box = KeyValueBox(Line(links[0], "interlock controller" if has_interlock else "sensor box", KEY_VALUES_BAUD))
    return [
        IsocenterInterlock(box)
        if link.role is DeviceRole.INTERLOCK
        else IsocenterSensors(box, link.options, reports_contacts=not has_interlock)
        for link in links
    ]


_MAKERS: Final[Mapping[str, Maker]] = {
    "barthel": _barthel,
    "i3m-attenuator": _alone(I3mAttenuator),
    "isocenter-line": _isocenter_line,
    "nanovna": _alone(NanoVna),
    "nanovna-v2": _alone(NanoVnaV2),
    "ovgu-sar": _alone(OvguSarMonitor),
    "rfautomate": _alone(RelayTuner),
}
