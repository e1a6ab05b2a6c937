# SPDX-License-Identifier: MIT
"""Which pulses of a run are the same up to their phase, so that each is composed once for every spin.

The phase of a pulse turns its axis and nothing else, so it is left to the precession before and after. Rounding to DAC
codes makes rotated copies of a pulse differ by a code or so; such copies count as the same pulse. Where the gradient
differs by a few codes (the compiler's error diffusion does that), half of the difference in its moment goes to the
precession on either side, which keeps every moment exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.waveforms import Waveforms

ENVELOPE_TOLERANCE: Final = 1.5
"""Largest difference of two envelopes that are one pulse [codes]."""
GRADIENT_TOLERANCE: Final = 3
"""Largest difference of two gradients that are one pulse [codes]."""
FINEST_S: Final = 10e-6
"""Where eddy currents or ripple change the gradient all the time, a pulse is cut into steps of no more than this [s]."""
EDGE_TOLERANCE: Final = 1
"""Largest difference of the edges of two pulses that are one [ticks]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One distinct pulse.

    Attributes
    ----------
    ticks
        Length of each step, int64.
    envelope
        Complex codes of each step, turned so that the largest is real and positive.
    gradient
        Codes of the three channels in each step, and what eddy currents add to the frequency [Hz], shape (n_steps, 4);
        with eddy currents codes are no whole numbers.
    key
        The same as bytes.
    """

    ticks: NDArray[np.int64]
    envelope: NDArray[np.complex128]
    gradient: NDArray[np.float64]
    key: bytes


@dataclass(slots=True)
class PulseTable:
    """The distinct pulses of a run and how each window uses them.

    Attributes
    ----------
    pulses
        Distinct pulses.
    index
        Which pulse each window plays.
    phase_turns
        Phase of each use relative to the pulse [turns].
    area_error
        Area of the window's gradient minus that of the pulse [code ticks, Hz ticks], shape (4,) each.
    """

    pulses: list[Pulse] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    phase_turns: list[float] = field(default_factory=list)
    area_error: list[NDArray[np.float64]] = field(default_factory=list)


def find_pulses(waves: Waveforms, known: Sequence[Pulse] = ()) -> PulseTable:
    """Find the distinct pulses of a run; ``known`` are those of earlier runs, which come first in the table."""
    table = PulseTable(pulses=list(known))
    exact: dict[bytes, tuple[int, float, NDArray[np.float64]]] = {}
    for start, end in waves.windows:
        ticks, envelope, gradient = _steps(waves, int(start), int(end))
        key = ticks.tobytes() + envelope.tobytes() + gradient.tobytes()
        if key not in exact:
            exact[key] = _match(table, ticks, envelope, gradient)
        index, phase, error = exact[key]
        table.index.append(index)
        table.phase_turns.append(phase)
        table.area_error.append(error)
    return table


def _steps(waves: Waveforms, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.complex128], NDArray[np.float64]]:
    """Lengths, envelope and gradients of the steps of one window, cut wherever anything changes."""
    cuts = [waves.rf_ticks[np.searchsorted(waves.rf_ticks, start) : np.searchsorted(waves.rf_ticks, end)]]
    channels = waves.gradients.channels
    for channel in channels:
        first, last = np.searchsorted(channel.ticks, (start, end), side="right")
        cuts.append(channel.ticks[first:last])
    is_staircase = waves.gradients.is_staircase
    if not is_staircase:
        cuts.append(np.arange(start, end, max(round(FINEST_S / waves.tick_s), 1), dtype=np.int64))
    edges = np.unique(np.concatenate([[start], *cuts]))
    edges = edges[edges < end]
    envelope = waves.rf_codes[np.searchsorted(waves.rf_ticks, edges, side="right") - 1]
    codes = [channel.codes[np.searchsorted(channel.ticks, edges, side="right") - 1] for channel in channels]
    gradient = np.stack([*codes, np.zeros(len(edges))], axis=1)
    edges = np.append(edges, end)
    lengths = np.diff(edges)
    if not is_staircase:
        deviation = np.diff(waves.deviation_per_m(edges), axis=0)
        gradient[:, :3] += deviation / (lengths[:, None] * waves.k_per_area)
        gradient[:, 3] = np.diff(waves.gradients.b0_turns(edges, waves.k_per_area)) / (lengths * waves.tick_s)
    return lengths, envelope, gradient


def _match(
    table: PulseTable, ticks: NDArray[np.int64], envelope: NDArray[np.complex128], gradient: NDArray[np.float64]
) -> tuple[int, float, NDArray[np.float64]]:
    """Pulse that this is a copy of, its phase, and what is left of the gradient's area; a new pulse if it is none."""
    area = (ticks[:, None] * gradient).sum(axis=0)
    for index, pulse in enumerate(table.pulses):
        phase = _phase_of_copy(pulse, ticks, envelope, gradient)
        if phase is not None:
            error = area - (pulse.ticks[:, None] * pulse.gradient).sum(axis=0)
            return index, phase / (2 * np.pi), np.asarray(error)
    phase = float(np.angle(envelope[np.argmax(np.abs(envelope))]))
    turned = envelope * np.exp(-1j * phase)
    key = ticks.tobytes() + np.round(turned, 1).tobytes() + np.round(gradient, 1).tobytes()
    table.pulses.append(Pulse(ticks=ticks, envelope=turned, gradient=gradient, key=key))
    return len(table.pulses) - 1, phase / (2 * np.pi), np.zeros(4)


def _phase_of_copy(
    pulse: Pulse, ticks: NDArray[np.int64], envelope: NDArray[np.complex128], gradient: NDArray[np.float64]
) -> float | None:
    """Phase of a copy of a pulse [rad], None if it is none.

    Edges may differ by a tick (times rounded from another start), and neighbouring steps may be joined where rounding made
    them equal; so both are compared on the edges of both.
    """
    ends, pulse_ends = np.cumsum(ticks), np.cumsum(pulse.ticks)
    if abs(int(ends[-1] - pulse_ends[-1])) > EDGE_TOLERANCE:
        return None
    edges = np.unique(np.concatenate([[0], ends, pulse_ends]))
    is_long = np.diff(edges) > EDGE_TOLERANCE
    middle, length = ((edges[1:] + edges[:-1]) / 2)[is_long], np.diff(edges)[is_long]
    ours, theirs = np.searchsorted(ends, middle), np.searchsorted(pulse_ends, middle)
    if np.abs(gradient[ours] - pulse.gradient[theirs]).max() > GRADIENT_TOLERANCE:
        return None
    phase = float(np.angle(np.sum(length * pulse.envelope[theirs].conj() * envelope[ours])))
    if np.abs(envelope[ours] * np.exp(-1j * phase) - pulse.envelope[theirs]).max() > ENVELOPE_TOLERANCE:
        return None
    return phase


def steps_of(pulse: Pulse, waves: Waveforms, frequency_hz: float) -> NDArray[np.float64]:
    """Rows (time, bx, by, gx, gy, gz, frequency) [s, Hz, Hz/m] of a pulse, shape (n_steps, 7)."""
    envelope_hz = pulse.envelope * waves.rf_hz_per_code
    return np.column_stack(
        [
            pulse.ticks * waves.tick_s,
            envelope_hz.real,
            envelope_hz.imag,
            pulse.gradient[:, :3] * waves.hz_per_m_per_code,
            frequency_hz + pulse.gradient[:, 3],
        ]
    )
