# SPDX-License-Identifier: MIT
"""Everything that a sequence file needs, in one import.

``pp`` is pypulseq, imported when it is first used, so that listing sequences stays fast.
"""

from collections.abc import Mapping
from typing import Any

from isocenter.domain.errors import SequenceError
from isocenter.domain.parameters import choice, integer, number, switch
from isocenter.domain.units import GAMMA_HZ_PER_T, show
from isocenter.sequences import usual
from isocenter.sequences.catalogue import get_sequence
from isocenter.sequences.lazy import pp
from isocenter.sequences.ordering import (
    EMPTY,
    EVERY_ECHO,
    ORDERS,
    centre_echo,
    echo_trains,
    grid_lines,
    grid_trains,
    interleaved,
    kept_from,
    sphere_directions,
    spoil_directions,
    spoil_phase_deg,
)
from isocenter.sequences.selective import Selective, SpoiledPulses, Turns, plan_turns, selective_pulse, slice_positions
from isocenter.sequences.spiral import ramp_down, spiral_gradient
from isocenter.sequences.system import (
    DWELL_RASTER_S,
    GUARD_DWELLS,
    RASTER_S,
    RF_RASTER_S,
    Lobe,
    Pulse,
    Readout,
    System,
    dwell_for,
    nearest,
    up,
)

__all__ = [
    "DWELL_RASTER_S",
    "EMPTY",
    "EVERY_ECHO",
    "GAMMA_HZ_PER_T",
    "GUARD_DWELLS",
    "ORDERS",
    "RASTER_S",
    "RF_RASTER_S",
    "Lobe",
    "Player",
    "Pulse",
    "Readout",
    "Selective",
    "SequenceError",
    "SpoiledPulses",
    "System",
    "Turns",
    "build_with",
    "centre_echo",
    "choice",
    "dwell_for",
    "echo_trains",
    "encode",
    "grid_lines",
    "grid_trains",
    "integer",
    "interleaved",
    "kept_from",
    "nearest",
    "number",
    "plan_turns",
    "pp",
    "ramp_down",
    "selective_pulse",
    "show",
    "slice_positions",
    "sphere_directions",
    "spiral_gradient",
    "spoil_directions",
    "spoil_phase_deg",
    "switch",
    "turned",
    "up",
    "usual",
]


def encode(index: int, n: int, fov_m: float) -> float:
    """Position in k-space of a line [1/m]; the centre is line ``n // 2``."""
    return (index - n // 2) / fov_m


def turned(event: Any, phase_rad: float) -> Any:
    """Copy of a pulse or readout with a phase of its own."""
    copy = type(event)(**vars(event))
    copy.phase_offset = phase_rad
    return copy


def build_with(name: str, values: Mapping[str, object], system: System) -> Any:
    """Sequence built by another sequence file, from that file's parameters."""
    other = get_sequence(name)
    return other.build(other.declaration(**values), system)


class Player:
    """A pypulseq sequence under construction that registers each event once, which makes long sequences fast to build."""

    def __init__(self, system: System) -> None:
        self.seq = system.sequence()
        self._labels: dict[tuple[str, int], Any] = {}

    def once(self, event: Any) -> Any:
        """The event, known to the sequence by number from now on."""
        register = {
            "rf": self.seq.register_rf_event,
            "adc": self.seq.register_adc_event,
            "trap": self.seq.register_grad_event,
            "grad": self.seq.register_grad_event,
        }[event.type]
        number_of = register(event)
        event.id = number_of[0] if isinstance(number_of, tuple) else number_of
        return event

    def labels(self, **values: int) -> list[Any]:
        """Events that set labels, such as ``labels(LIN=3, PAR=0)``."""
        found = []
        for key in values.items():
            if key not in self._labels:
                event = pp.make_label(type="SET", label=key[0], value=int(key[1]))
                event.id = self.seq.register_label_event(event)
                self._labels[key] = event
            found.append(self._labels[key])
        return found

    def block(self, duration_s: float, *events: Any) -> None:
        """Add a block of a given length; nothing is added for a length of zero without events."""
        if duration_s > 0.5e-6 or events:
            self.seq.add_block(pp.make_delay(round(duration_s, 9)), *events)

    def define(self, **values: Any) -> Any:
        """Set definitions of the file and give the sequence back."""
        for name, value in values.items():
            self.seq.set_definition(name, value)
        return self.seq
