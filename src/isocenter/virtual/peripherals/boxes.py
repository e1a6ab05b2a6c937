# SPDX-License-Identifier: MIT
"""All boxes of a virtual scanner, each at the far end of a line of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Literal, Self

from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.virtual.peripherals.amplifiers import VirtualBarthelBridge
from isocenter.virtual.peripherals.attenuator import VirtualAttenuator
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.interlock import VirtualInterlock
from isocenter.virtual.peripherals.lines import VirtualDevice, VirtualLine
from isocenter.virtual.peripherals.nanovna import VirtualNanoVna
from isocenter.virtual.peripherals.nanovna_v2 import VirtualNanoVnaV2
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sar_monitor import VirtualSarMonitor
from isocenter.virtual.peripherals.sensors import VirtualSensors
from isocenter.virtual.peripherals.tuner import VirtualTuner

_PLACES: Final[Mapping[DeviceRole, tuple[str, str, dict[str, float]]]] = {
    DeviceRole.INTERLOCK: ("isocenter-line", "controller", {}),
    DeviceRole.RF_AMPLIFIER: ("barthel", "bridge", {}),
    DeviceRole.GRADIENT_AMPLIFIER: ("barthel", "bridge", {}),
    DeviceRole.SAR_MONITOR: ("ovgu-sar", "monitor", {"w_per_adc2": 1e-4, "tells_while_watching": 1.0}),
    DeviceRole.NETWORK_ANALYSER: ("nanovna", "analyser", {}),
    DeviceRole.TUNER: ("rfautomate", "tuner", {"boot_s": 0.0}),
    DeviceRole.ATTENUATOR: ("i3m-attenuator", "attenuator", {"min_gain_db": 50.0, "max_gain_db": 76.0, "boot_s": 0.0}),
    DeviceRole.SENSORS: ("isocenter-line", "controller", {}),
}
_OPTIONAL: Final = (DeviceRole.NETWORK_ANALYSER, DeviceRole.TUNER, DeviceRole.ATTENUATOR, DeviceRole.SENSORS)

EVERYTHING: Final[tuple[DeviceLink, ...]] = tuple(
    DeviceLink(role=role, driver=driver, url=place, options=options, is_required=role not in _OPTIONAL)
    for role, (driver, place, options) in _PLACES.items()
)
"""One device for each role, for a scanner whose hardware file names none; ``url`` only tells who shares a line."""


class VirtualBoxes:
    """Boxes that share one plant. Start it before anything is opened; stop it last.

    Parameters
    ----------
    larmor_hz
        Of the magnet: the coil is one that can be tuned to it [Hz].
    links
        Which devices, as in the hardware file; those with the same address are one box.
    plant
        The truth that they share; a new one if None.
    via
        Kind of line.
    is_real_time
        False when the console plays faster than time: the SAR monitor then adds up over the scanner's own time.

    Attributes
    ----------
    plant
        The truth.
    coil
        What the network analyser measures, and how well the coil takes power.
    """

    def __init__(
        self,
        larmor_hz: float,
        links: Sequence[DeviceLink] = EVERYTHING,
        *,
        plant: Plant | None = None,
        via: Literal["pty", "tcp"] = "tcp",
        is_real_time: bool = True,
    ) -> None:
        self._is_real_time = is_real_time
        self.plant, self.coil = plant or Plant(), CoilCircuit.for_frequency(larmor_hz)
        self._links = tuple(links)
        self._lines: dict[Any, VirtualLine] = {}
        self._devices: dict[Any, VirtualDevice] = {}
        for link in self._links:
            sharing = [other for other in self._links if _address(other) == _address(link)]
            if _address(link) not in self._lines:
                device = self._make(sharing)
                self._devices[_address(link)], self._lines[_address(link)] = device, VirtualLine(device, via)

    @property
    def links(self) -> tuple[DeviceLink, ...]:
        """The same devices, with the addresses at which the virtual ones are."""
        return tuple(replace(link, url=self.line(link.role).url, usb=None, baud=0) for link in self._links)

    def line(self, role: DeviceRole) -> VirtualLine:
        """The line of a device, to spoil it."""
        return self._lines[self._address_of(role)]

    def device(self, role: DeviceRole) -> Any:
        """The far end itself, such as a ``VirtualSarMonitor`` whose button is pressed."""
        return self._devices[self._address_of(role)]

    def start(self) -> Self:
        """Open every line."""
        for line in self._lines.values():
            line.start()
        return self

    def stop(self) -> None:
        """Close them."""
        for line in self._lines.values():
            line.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _address_of(self, role: DeviceRole) -> Any:
        for link in self._links:
            if link.role is role:
                return _address(link)
        raise KeyError(role)

    def _make(self, sharing: Sequence[DeviceLink]) -> VirtualDevice:
        roles = {link.role for link in sharing}
        options = sharing[0].options
        made: dict[str, Callable[[], VirtualDevice]] = {
            "barthel": lambda: VirtualBarthelBridge(self.plant),
            "i3m-attenuator": lambda: VirtualAttenuator(
                self.plant, min_gain_db=options.get("min_gain_db", 50.0), max_gain_db=options.get("max_gain_db", 76.0)
            ),
            "isocenter-line": lambda: (
                VirtualInterlock(self.plant) if DeviceRole.INTERLOCK in roles else VirtualSensors(self.plant)
            ),
            "nanovna": lambda: VirtualNanoVna(self.plant, self.coil, max_points=int(options.get("max_points", 101))),
            "nanovna-v2": lambda: VirtualNanoVnaV2(self.plant, self.coil),
            "ovgu-sar": lambda: VirtualSarMonitor(
                self.plant,
                w_per_adc2=options.get("w_per_adc2", 1e-4),
                is_peak_squared=options.get("peak_limit_power", 1.0) == 2,
                is_real_time=self._is_real_time,
            ),
            "rfautomate": lambda: VirtualTuner(self.plant, length=int(options.get("frame_length", 17))),
        }
        return made[sharing[0].driver]()


def _address(link: DeviceLink) -> Any:
    return link.usb or link.url
