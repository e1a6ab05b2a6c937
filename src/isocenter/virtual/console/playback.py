# SPDX-License-Identifier: MIT
"""The seam between the virtual console and the physics: what one run does at the pins, and who answers with a signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class RxWindow:
    """One stretch of time in which the decimator of a receiver takes samples.

    Attributes
    ----------
    tick, stop_tick
        First enabled tick, and the first one after it that is not.
    decimation
        Ticks per raw sample.
    sample_ticks
        Where the signal is wanted [ticks], float64, shape ``(n,)``, all inside the window. They are the middles of what
        the raw samples will represent once the filter has settled: ``raw_sample_ticks(tick, decimation, n + 2)[2:]``.
    """

    tick: int
    stop_tick: int
    decimation: int
    sample_ticks: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """The decoded waveforms of one run, at the pins; ticks count from the first cycle of the run.

    Attributes
    ----------
    tracks
        Values by channel name of ``domain.events.CHANNELS``: ``tx0_i``, ``tx0_q``, ``tx_gate``, ``rx_gate``,
        ``trig_out``, ``leds``, ``grad_vx``, ``grad_vy``, ``grad_vz``. The first two are the envelope of the field as the
        receiver would hear it, the conjugate of what the buffers hold. Gradient values are signed DAC codes, 0 is no
        current, at the tick at which the DAC's output changes. Every track has an entry at tick 0: what the output held
        before the run, in the idle time.
    lo_ticks, lo_hz
        Frequency of the local oscillator 0 from each tick on, int64 and float64 [Hz], first tick 0.
    lo_reset_ticks
        Ticks at which the phase of the local oscillator starts again from 0, int64; empty when it is never held.
    windows
        Receive windows of receiver 0, the coil's, in order of time.
    end_tick
        Length of the run [ticks]; no event lies behind it.
    clock_hz
        Ticks per second [Hz].
    start_s
        When the run starts on the axis of virtual time [s]. It runs on between runs; see ``idle_s``.
    idle_s
        Virtual time between the end of the run before and the start of this one [s]; spins relax in it.
    sensor_windows
        Receive windows of receiver 1, to which a sensor of interference is connected, in order of time.
    """

    tracks: Mapping[str, Track]
    lo_ticks: NDArray[np.int64]
    lo_hz: NDArray[np.float64]
    lo_reset_ticks: NDArray[np.int64]
    windows: tuple[RxWindow, ...]
    end_tick: int
    clock_hz: float
    start_s: float
    idle_s: float
    sensor_windows: tuple[RxWindow, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of the run [s]."""
        return self.end_tick / self.clock_hz


class SignalModel(Protocol):
    """Whoever knows what the receiver hears. Called by one thread at a time, never by two."""

    def play(self, playback: Playback) -> list[NDArray[np.complex64]]:
        """Signal of each window at its ``sample_ticks``, before the decimator, 1.0 = full scale of the receiver.

        Those of ``windows`` first, then those of ``sensor_windows``; a model without a sensor may leave the latter out.

        The signal is in the frame of the local oscillator, as docs/conventions.md has it. Long work in here must release
        the interpreter's lock, or nothing else in the process moves.
        """
        ...

    def reset(self) -> None:
        """Back to a fresh scanner: spins in equilibrium, noise from its seed."""
        ...
