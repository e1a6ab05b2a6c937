# SPDX-License-Identifier: MIT
"""Drivers that a hardware file may name, what they are for and which options they take. ``devices.catalogue`` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from isocenter.domain.device import DeviceRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What a hardware file may say of one driver.

    Attributes
    ----------
    roles
        That its box can play; several share one line.
    options
        Names of its options with their range, low and high.
    """

    roles: tuple[DeviceRole, ...]
    options: Mapping[str, tuple[float, float]] = field(default_factory=dict)


_YES_NO: Final = (0.0, 1.0)
_RELAYS: Final = {"is_quiet": _YES_NO, "boot_s": (0.0, 5.0), "any_answer": _YES_NO}
_VNA: Final = {"max_points": (4.0, 4096.0), "accept_uncalibrated": _YES_NO}

DRIVERS: Final[Mapping[str, Driver]] = {
    "barthel": Driver(roles=(DeviceRole.GRADIENT_AMPLIFIER, DeviceRole.RF_AMPLIFIER)),
    "i3m-attenuator": Driver(
        roles=(DeviceRole.ATTENUATOR,),
        options={"min_gain_db": (-100.0, 120.0), "max_gain_db": (-100.0, 120.0), **_RELAYS},
    ),
    "isocenter-line": Driver(
        roles=(DeviceRole.INTERLOCK, DeviceRole.SENSORS),
        options={
            "magnet_min_c": (-40.0, 150.0),
            "magnet_max_c": (-40.0, 150.0),
            "gradient_amplifier_max_c": (-40.0, 150.0),
        },
    ),
    "nanovna": Driver(roles=(DeviceRole.NETWORK_ANALYSER,), options=_VNA),
    "nanovna-v2": Driver(roles=(DeviceRole.NETWORK_ANALYSER,), options=_VNA),
    "ovgu-sar": Driver(
        roles=(DeviceRole.SAR_MONITOR,),
        options={"w_per_adc2": (1e-12, 1e3), "peak_limit_power": (1.0, 2.0), "tells_while_watching": _YES_NO},
    ),
    "rfautomate": Driver(
        roles=(DeviceRole.TUNER,), options={"switch_code": _YES_NO, "frame_length": (17.0, 64.0), **_RELAYS}
    ),
}


def drivers_for(role: DeviceRole) -> tuple[str, ...]:
    """Names of the drivers that play a role, sorted."""
    return tuple(sorted(name for name, driver in DRIVERS.items() if role in driver.roles))


def problem_with(role: DeviceRole, driver: str, options: Mapping[str, float]) -> tuple[str, str] | None:
    """What is wrong with a driver's name and options, and what to do; None when nothing is."""
    if role not in (DRIVERS[driver].roles if driver in DRIVERS else ()):
        allowed = " or ".join(f'"{name}"' for name in drivers_for(role))
        return (
            f"found the driver '{driver}'; allowed for this role is {allowed}",
            f"Set driver in [devices.{role}] to {allowed}.",
        )
    known = DRIVERS[driver].options
    for name, value in options.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            return f"found the option '{name}'; the driver {driver} has: {allowed}", "Correct or delete this option."
        low, high = known[name]
        if not low <= value <= high:  # in this form NaN fails too
            return f"found {value:g} for the option '{name}'; allowed is {low:g} to {high:g}", "Correct this option."
    return None
