# SPDX-License-Identifier: MIT
"""What the engine must know of a scenario besides its spins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import GradientFaults, Scenario
from isocenter.virtual.physics.drift import Drift, magnet_drift
from isocenter.virtual.physics.engine_fields import Concomitant, axis_along
from isocenter.virtual.physics.motion import MotionPlan
from isocenter.virtual.physics.waveforms import Transmitter


class Surroundings(NamedTuple):
    """Fields of magnet and coils at some places.

    Attributes
    ----------
    offset_hz
        Deviation from the magnet's centre frequency [Hz], shape (n,).
    b1_scale
        Transmit field over the nominal, shape (n,).
    sensitivity
        Of the receive coil or coils, complex, shape (n,) or (n_channels, n).
    """

    offset_hz: NDArray[np.floating]
    b1_scale: NDArray[np.floating]
    sensitivity: NDArray[np.inexact]


SurroundingsAt: TypeAlias = Callable[[NDArray[np.floating]], Surroundings]
"""Fields at places of shape (n, 3) in device axes [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFaults:
    """Everything that is wrong between the pins and the spins; perfect by default.

    Attributes
    ----------
    gradients, transmitter, drift
        Faults of each.
    concomitant
        Concomitant field, None for none.
    motion
        How the body moves, None if it lies still.
    surroundings
        Fields of magnet and coils; they stay where they are when the body moves. None: they are in the spins already.
    has_diffusion
        Spins wander.
    seed
        Of the wandering.
    """

    gradients: GradientFaults = field(default_factory=GradientFaults)
    transmitter: Transmitter = field(default_factory=Transmitter)
    drift: Drift = field(default_factory=Drift)
    concomitant: Concomitant | None = None
    motion: MotionPlan | None = None
    surroundings: SurroundingsAt | None = None
    has_diffusion: bool = False
    seed: int = 0


def engine_faults(scenario: Scenario, scanner: Scanner, surroundings: SurroundingsAt | None = None) -> EngineFaults:
    """Faults of a scenario as the engine needs them."""
    motion = MotionPlan(scenario.motion, scenario.position, scenario.seed)
    axis = axis_along(scenario.magnet.field_axis, scanner.gradients.channel_from_device)
    return EngineFaults(
        gradients=scenario.gradients,
        transmitter=Transmitter(scale=scenario.coil.transmit_scale, compression=scenario.coil.compression),
        drift=magnet_drift(scanner.magnet, scenario.magnet),
        concomitant=Concomitant(axis=axis, larmor_hz=scanner.magnet.larmor_hz) if scenario.magnet.has_concomitant else None,
        motion=None if motion.is_still else motion,
        surroundings=surroundings,
        has_diffusion=scenario.has_diffusion,
        seed=scenario.seed,
    )
