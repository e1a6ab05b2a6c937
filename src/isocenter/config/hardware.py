# SPDX-License-Identifier: MIT
"""Hardware files to ``domain.scanner.Scanner``. docs/hardware-files.md tells how such a file is written."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from isocenter.config.files import find_file, list_names, read_toml
from isocenter.config.problems import explain, where
from isocenter.config.schema import (
    AxisTable,
    Count,
    DevicesTable,
    DeviceTable,
    GradientsTable,
    HardwareFile,
    Quantity,
    ReceiverTable,
    Wiring,
)
from isocenter.domain.device import DeviceLink, DeviceRole, UsbIdentity
from isocenter.domain.errors import ConfigError
from isocenter.domain.limits import GradientThermal, NerveModel, PatientSafety
from isocenter.domain.scanner import (
    ConsoleLink,
    GradientAxis,
    GradientBoard,
    GradientSystem,
    Magnet,
    Origin,
    Receiver,
    RfSystem,
    Scanner,
    board_spacing_ticks,
)


def list_scanners() -> tuple[str, ...]:
    """Names of all hardware files found, the user's and the shipped ones, sorted. They are not read."""
    return list_names("hardware_configs")


def load_scanner(name_or_path: str | Path) -> Scanner:
    """The scanner that a hardware file describes.

    Parameters
    ----------
    name_or_path
        A name such as ``osii-one``, looked for in the user's folder and then among the shipped ones, or the path of a file.

    Raises
    ------
    ConfigError
        When there is no such file or something in it is wrong; names file, line, key, what was found, what is allowed.
    """
    path = find_file("hardware_configs", name_or_path, "scanner")
    text, raw = read_toml(
        path,
        noun="hardware file",
        choose="Choose a hardware file (.toml), or one of: " + ", ".join(list_scanners()) + ".",
        manual="docs/hardware-files.md",
    )
    try:
        file = HardwareFile.model_validate(raw)
    except ValidationError as error:
        raise explain(path, text, error.errors()) from None
    _cross_check(path, text, file)
    return _scanner(path.stem, file)


def board_minimum_s(board: GradientBoard, spi_divider: int, clock_hz: float) -> float:
    """Shortest time between two updates of one channel that the board can do, all three channels in use [s].

    Source
    ------
    ``board_spacing_ticks``: an OCRA1 updates all channels at once, a GPA-FHDO one after the other.
    """
    n_transfers = 1 if board is GradientBoard.OCRA1 else 3
    return n_transfers * board_spacing_ticks(board, spi_divider) / clock_hz


def _cross_check(path: Path, text: str, file: HardwareFile) -> None:
    """What only two values together can say."""

    def refuse(key: str, found: str, remedy: str) -> None:
        raise ConfigError(f"{where(path, text, key.split('.'))}: {found}.", remedy)

    grads, rf, magnet = file.gradients, file.rf, file.magnet
    smallest_divider = 2 if grads.board is GradientBoard.GPA_FHDO else 1
    if grads.spi_divider.value < smallest_divider:
        refuse(
            "gradients.spi_divider",
            f"found {grads.spi_divider.value}; allowed for a {grads.board} is {smallest_divider} to 63",
            "Use 4 for a GPA-FHDO or 19 for an OCRA1: those are known to work.",
        )
    shortest_s = board_minimum_s(grads.board, grads.spi_divider.value, file.console.clock_hz.value)
    if grads.update_interval_s.value < shortest_s:
        refuse(
            "gradients.update_interval_s",
            f"found {grads.update_interval_s.value:g} s; a {grads.board} with spi_divider {grads.spi_divider.value} needs "
            f"at least {shortest_s:.4g} s for its three channels",
            f"Set update_interval_s to {shortest_s:.4g} or more, or lower spi_divider.",
        )
    if rf.dead_time_s.value < rf.hold_s.value:
        refuse(
            "rf.dead_time_s",
            f"found {rf.dead_time_s.value:g} s; allowed is hold_s ({rf.hold_s.value:g} s) or more",
            "Reception cannot start while the RF amplifier is unblanked: raise dead_time_s or lower hold_s.",
        )
    if magnet.imaging_diameter_m.value > magnet.bore_m.value:
        refuse(
            "magnet.imaging_diameter_m",
            f"found {magnet.imaging_diameter_m.value:g} m; allowed is bore_m ({magnet.bore_m.value:g} m) or less",
            "The imaging sphere lies inside the bore.",
        )
    if magnet.search_span_hz.value >= magnet.larmor_hz.value:
        refuse(
            "magnet.search_span_hz",
            f"found {magnet.search_span_hz.value:g} Hz; allowed is less than larmor_hz ({magnet.larmor_hz.value:g} Hz)",
            "Give the half width of the window around larmor_hz.",
        )
    if 2 * (magnet.larmor_hz.value + magnet.search_span_hz.value) >= file.console.clock_hz.value:
        refuse(
            "magnet.larmor_hz",
            f"found {magnet.larmor_hz.value:g} Hz; allowed is below half the clock ({file.console.clock_hz.value / 2:g} Hz)",
            "Correct the frequency or the clock.",
        )
    for name in "xyz":
        _check_axis(name, getattr(grads, name), refuse)
    _check_addresses(file.devices, refuse)


def _check_axis(name: str, axis: AxisTable, refuse: Any) -> None:
    full_scale = axis.full_scale_t_per_m.value
    if axis.max_t_per_m.value > full_scale:
        refuse(
            f"gradients.{name}.max_t_per_m",
            f"found {axis.max_t_per_m.value:g} T/m; allowed is full_scale_t_per_m ({full_scale:g} T/m) or less",
            "More than full scale cannot be played: lower max_t_per_m.",
        )
    if axis.max_rms_t_per_m.value > axis.max_t_per_m.value:
        refuse(
            f"gradients.{name}.max_rms_t_per_m",
            f"found {axis.max_rms_t_per_m.value:g} T/m; allowed is max_t_per_m ({axis.max_t_per_m.value:g} T/m) or less",
            "A root mean square cannot exceed the peak: lower max_rms_t_per_m.",
        )
    if axis.nerve is not None:
        weights = axis.nerve.a1.value + axis.nerve.a2.value + axis.nerve.a3.value
        if not abs(weights - 1) <= 1e-3:
            refuse(
                f"gradients.{name}.nerve.a1",
                f"found a1, a2 and a3 that are {weights:g} together; allowed is 1",
                "Copy the three weights of the SAFE model again; together they are 1.",
            )


def _check_addresses(devices: DevicesTable, refuse: Any) -> None:
    """Roles of one box share a line, with one driver and one speed; nothing else does."""
    seen: dict[Any, tuple[str, DeviceTable]] = {}
    for role in DeviceRole:
        device: DeviceTable | None = getattr(devices, role.value)
        if device is None:
            continue
        other_role, other = seen.setdefault(device.url or device.usb, (role.value, device))
        if (other.driver, other.baud) != (device.driver, device.baud):
            refuse(
                f"devices.{role}",
                f"found the address of [devices.{other_role}] with another driver or baud ({device.driver}, {device.baud}; "
                f"there {other.driver}, {other.baud})",
                "Correct the address. Only roles of one box share a line.",
            )


def _origins(table: BaseModel, prefix: str = "") -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for name in type(table).model_fields:
        entry = getattr(table, name)
        if isinstance(entry, dict):  # options of a device, by names of its driver's
            known = {key: Origin(evidence=option.evidence, source=option.source) for key, option in entry.items()}
            origins |= {f"{prefix}{name}.{key}": origin for key, origin in known.items()}
        elif isinstance(entry, Quantity | Count | Wiring):
            origins[prefix + name] = Origin(evidence=entry.evidence, source=entry.source)
        elif isinstance(entry, BaseModel):
            origins |= _origins(entry, f"{prefix}{name}.")
    return origins


def _values(table: BaseModel) -> dict[str, Any]:
    """Plain values of one table by name, tables inside it left out."""
    entries = {name: getattr(table, name) for name in type(table).model_fields}
    plain = {name: entry for name, entry in entries.items() if not isinstance(entry, BaseModel)}
    return plain | {name: entry.value for name, entry in entries.items() if isinstance(entry, Quantity | Count | Wiring)}


def _known(table: BaseModel) -> dict[str, Any]:
    """Values of a table without the keys that were left out."""
    return {name: value for name, value in _values(table).items() if value is not None}


def _axis(table: AxisTable) -> GradientAxis:
    thermal = None if table.thermal is None else GradientThermal(**_known(table.thermal))
    nerve = None if table.nerve is None else NerveModel(**_values(table.nerve))
    return GradientAxis(**(_values(table) | {"thermal": thermal, "nerve": nerve}))


def _gradients(table: GradientsTable) -> GradientSystem:
    matrix = np.array(table.channel_from_device.value, dtype=np.float64)
    matrix.flags.writeable = False
    x, y, z = (_axis(axis) for axis in (table.x, table.y, table.z))
    return GradientSystem(**(_known(table) | {"channel_from_device": matrix, "axes": (x, y, z)}))


def _receiver(table: ReceiverTable) -> Receiver:
    values = _known(table)
    return Receiver(n_sensors=values.pop("sensors"), **values)


def _devices(table: DevicesTable) -> tuple[DeviceLink, ...]:
    found = [(role, getattr(table, role.value)) for role in DeviceRole]
    return tuple(
        DeviceLink(
            role=role,
            driver=device.driver,
            url=device.url or "",
            usb=None if device.usb is None else UsbIdentity(**_values(device.usb)),
            baud=device.baud,
            is_required=device.required,
            options={name: option.value for name, option in device.options.items()},
        )
        for role, device in found
        if device is not None
    )


def _scanner(name: str, file: HardwareFile) -> Scanner:
    return Scanner(
        name=name,
        magnet=Magnet(**_values(file.magnet)),
        gradients=_gradients(file.gradients),
        rf=RfSystem(**_values(file.rf)),
        receiver=_receiver(file.receiver),
        console=ConsoleLink(**_known(file.console)),
        safety=PatientSafety(**_known(file.safety)),
        devices=_devices(file.devices),
        origins=_origins(file),
        **_values(file),
    )
