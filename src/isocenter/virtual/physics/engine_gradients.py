# SPDX-License-Identifier: MIT
"""What gradient amplifiers and coils make of the DAC's staircase: delay, eddy currents, ripple. The past lives on.

A staircase excites each exponential of an eddy current by steps; between them it decays freely. So its integral, which is
all that a spin at rest feels, is a closed form at any tick, and nothing has to be sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import GRADIENT_CHANNELS, Track
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import EddyTerm, GradientFaults
from isocenter.domain.units import GAMMA_HZ_PER_T

B0_LEVER_M: Final = 0.1
"""Where the field of a step is taken for an eddy current that shifts the whole field [m]."""


@dataclass(frozen=True, slots=True)
class Held:
    """One gradient channel: its code, held between changes, and the exact integral of it.

    Attributes
    ----------
    ticks, codes
        Changes, the first at the start of the run's idle time; int64.
    area
        Integral of the code up to each change [code ticks], int64.
    """

    ticks: NDArray[np.int64]
    codes: NDArray[np.int64]
    area: NDArray[np.int64]

    def at(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integral of the code from the beginning to some ticks [code ticks]."""
        index = np.maximum(np.searchsorted(self.ticks, ticks, side="right") - 1, 0)
        return np.asarray(self.area[index] + self.codes[index] * (ticks - self.ticks[index]))


def held(ticks: NDArray[np.int64], codes: NDArray[np.int64]) -> Held:
    """Channel from its changes in order; of several at one tick the last counts."""
    last = np.append(ticks[1:] != ticks[:-1], True)
    ticks, codes = ticks[last], codes[last]
    return Held(ticks, codes, np.concatenate([[0], np.cumsum(codes[:-1] * np.diff(ticks))]))


@dataclass(frozen=True, slots=True)
class Response:
    """One exponential of an eddy current.

    Attributes
    ----------
    ticks
        Steps that excite it, int64.
    state, area
        Its value [codes] after each step and its integral up to there [code ticks].
    tau_ticks
        Time constant [ticks].
    """

    ticks: NDArray[np.int64]
    state: NDArray[np.float64]
    area: NDArray[np.float64]
    tau_ticks: float

    def _before(self, ticks: NDArray[np.floating | np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        index = np.maximum(np.searchsorted(self.ticks, ticks, side="right") - 1, 0)
        return index, np.asarray((ticks - self.ticks[index]) / self.tau_ticks, dtype=np.float64)

    def at(self, ticks: NDArray[np.floating | np.int64]) -> NDArray[np.float64]:
        """Integral from the beginning to some ticks [code ticks]."""
        index, passed = self._before(ticks)
        return np.asarray(self.area[index] - self.state[index] * self.tau_ticks * np.expm1(-passed))

    def left(self, tick: int) -> float:
        """Value at a tick [codes]."""
        index, passed = self._before(np.array([tick]))
        return float((self.state[index] * np.exp(-passed))[0])


@numba.njit(cache=True)
def _follow(
    ticks: NDArray[np.int64], steps: NDArray[np.float64], tau_ticks: float, before: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """State after each step and area up to it, from what was left at the first tick."""
    state, area = np.empty(len(ticks)), np.zeros(len(ticks))
    value = before
    for i in range(len(ticks)):
        if i:
            decay = np.exp(-(ticks[i] - ticks[i - 1]) / tau_ticks)
            area[i] = area[i - 1] + value * tau_ticks * (1.0 - decay)
            value *= decay
        value += steps[i]
        state[i] = value
    return state, area


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What the coils did in one run.

    Attributes
    ----------
    channels
        Codes of channels x, y, z.
    responses, b0_responses
        Eddy currents of each channel that make gradients and shift the field.
    ripple_hz_per_m, ripple_turns_per_tick, ripple_start_rad
        Amplitude of the ripple of each channel [Hz/m], its frequency, and its phase at tick 0 [rad].
    """

    channels: tuple[Held, Held, Held]
    responses: tuple[tuple[Response, ...], ...] = ((), (), ())
    b0_responses: tuple[tuple[Response, ...], ...] = ((), (), ())
    ripple_hz_per_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ripple_turns_per_tick: float = 0.0
    ripple_start_rad: float = 0.0

    @property
    def is_staircase(self) -> bool:
        """True when the gradients are what the DACs hold."""
        return not any(self.responses) and not any(self.b0_responses) and not any(self.ripple_hz_per_m)

    def deviation_per_m(
        self, ticks: NDArray[np.int64], k_per_area: NDArray[np.float64], tick_s: float
    ) -> NDArray[np.float64]:
        """k-space beyond that of the codes [1/m], shape (n, 3)."""
        out = np.zeros((len(ticks), 3))
        for axis, responses in enumerate(self.responses):
            for response in responses:
                out[:, axis] += response.at(ticks) * k_per_area[axis]
        if any(self.ripple_hz_per_m):
            omega = 2 * np.pi * self.ripple_turns_per_tick
            angle = omega * ticks + self.ripple_start_rad
            out -= (np.cos(angle) * tick_s / omega)[:, None] * np.array(self.ripple_hz_per_m)
        return out

    def b0_turns(self, ticks: NDArray[np.floating | np.int64], k_per_area: NDArray[np.float64]) -> NDArray[np.float64]:
        """Phase of all spins from eddy currents that shift the field [turns]."""
        out = np.zeros(len(ticks))
        for axis, responses in enumerate(self.b0_responses):
            for response in responses:
                out += response.at(ticks) * k_per_area[axis] * B0_LEVER_M
        return out


@dataclass(slots=True)
class _Channel:
    """What a channel carries from run to run: its code at the coil, changes on their way, eddy currents."""

    code: int = 0
    pending: Track = field(default_factory=lambda: Track(np.zeros(0, np.int64), np.zeros(0, np.int32)))
    left: list[float] = field(default_factory=list)


class GradientPlayer:
    """The gradients of one scanner with their faults, run after run."""

    def __init__(self, scanner: Scanner, faults: GradientFaults | None = None) -> None:
        self._faults = faults or GradientFaults()
        clock_hz = scanner.console.clock_hz
        self._clock_hz = clock_hz
        self._delay_ticks = [
            round((axis.delay_s + extra_s) * clock_hz)
            for axis, extra_s in zip(scanner.gradients.axes, self._faults.delay_s, strict=True)
        ]
        self._terms: list[list[EddyTerm]] = [
            [term for term in self._faults.eddy if term.channel == name and term.share] for name in "xyz"
        ]
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._channels = [_Channel(left=[0.0] * len(terms)) for terms in self._terms]

    @property
    def scale(self) -> NDArray[np.float64]:
        """True gradient of each channel over the nominal one."""
        return np.array(self._faults.scale, dtype=np.float64)

    def play(self, tracks: Mapping[str, Track], end_tick: int, idle_ticks: int, start_s: float) -> Played:
        """Play one run that follows ``idle_ticks`` after the one before and begins at ``start_s`` of virtual time."""
        channels, gradient, b0 = [], [], []
        for axis, name in enumerate(GRADIENT_CHANNELS):
            found, responses = self._one(axis, tracks.get(name), end_tick, -idle_ticks)
            channels.append(found)
            terms = self._terms[axis]
            gradient.append(tuple(r for r, term in zip(responses, terms, strict=True) if not term.is_b0))
            b0.append(tuple(r for r, term in zip(responses, terms, strict=True) if term.is_b0))
        x, y, z = (value * GAMMA_HZ_PER_T for value in self._faults.ripple_t_per_m)
        return Played(
            channels=(channels[0], channels[1], channels[2]),
            responses=tuple(gradient),
            b0_responses=tuple(b0),
            ripple_hz_per_m=(x, y, z),
            ripple_turns_per_tick=self._faults.ripple_hz / self._clock_hz,
            ripple_start_rad=2 * np.pi * (self._faults.ripple_hz * start_s % 1.0),
        )

    def _one(self, axis: int, track: Track | None, end_tick: int, origin: int) -> tuple[Held, list[Response]]:
        """One channel: what is still on its way from the run before, then this run's own changes."""
        state, delay = self._channels[axis], self._delay_ticks[axis]
        own_ticks = np.zeros(0, dtype=np.int64) if track is None else track.ticks.astype(np.int64)
        own_codes = np.zeros(0, dtype=np.int64) if track is None else track.values.astype(np.int64)
        own_ticks, own_codes = np.concatenate([[origin], own_ticks]), np.concatenate([[0], own_codes])
        ticks = np.concatenate([[origin], state.pending.ticks + origin, np.maximum(own_ticks + delay, origin)])
        codes = np.concatenate([[state.code], state.pending.values, own_codes]).astype(np.int64)
        found = held(ticks, codes)
        steps = np.diff(np.concatenate([[state.code], found.codes])).astype(np.float64)
        responses = []
        for term, left in zip(self._terms[axis], state.left, strict=True):
            tau_ticks = term.time_constant_s * self._clock_hz
            decaying, area = _follow(found.ticks, term.share * steps, tau_ticks, left)
            responses.append(Response(found.ticks, decaying, area, tau_ticks))
        split = int(np.searchsorted(found.ticks, end_tick, side="right"))
        self._channels[axis] = _Channel(
            code=int(found.codes[max(split - 1, 0)]),
            pending=Track(found.ticks[split:] - end_tick, found.codes[split:].astype(np.int32)),
            left=[response.left(end_tick) for response in responses],
        )
        return found, responses
