# SPDX-License-Identifier: MIT
"""What the virtual console's receivers hear: a scenario's spins, played by the Bloch simulator, through a receive chain."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import GRADIENT_CHANNELS, Track
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.virtual.console.playback import Playback, RxWindow
from isocenter.virtual.physics.bloch import Simulator
from isocenter.virtual.physics.engine_faults import Surroundings, SurroundingsAt, engine_faults
from isocenter.virtual.physics.fields import ScannerFields
from isocenter.virtual.physics.interference import Frame
from isocenter.virtual.physics.phantoms import phantom_spins
from isocenter.virtual.physics.receive_chain import ReceiveChain
from isocenter.virtual.physics.scenario import scenario_phantom
from isocenter.virtual.physics.spins import SpinSet


def scenario_body(scenario: Scenario, scanner: Scanner) -> SpinSet:
    """Spins of a scenario's phantom as it lies at first, without any field."""
    return phantom_spins(
        scenario_phantom(scenario),
        n_spins=scenario.n_spins,
        seed=scenario.seed,
        position=scenario.position,
        larmor_hz=scanner.magnet.larmor_hz if scenario.has_chemical_shift else 0.0,
        has_t2_prime=scenario.has_t2_prime,
    )


def surroundings(scenario: Scenario, scanner: Scanner) -> SurroundingsAt:
    """Fields of a scenario's magnet and coils at any place in the scanner."""
    fields = ScannerFields(scenario, scanner)

    def at(position_m: NDArray[np.floating]) -> Surroundings:
        return Surroundings(
            offset_hz=fields.offset_hz(position_m),
            b1_scale=fields.transmit(position_m),
            sensitivity=fields.receive(position_m),
        )

    return at


def scenario_spins(scenario: Scenario, scanner: Scanner) -> SpinSet:
    """Spins of a scenario's phantom in its magnet and coils."""
    spins = scenario_body(scenario, scanner)
    around = surroundings(scenario, scanner)(spins.position_m)
    return replace(
        spins,
        offset_hz=(spins.offset_hz + around.offset_hz).astype(np.float32),
        weight=(spins.weight * around.sensitivity).astype(np.complex64),
        b1_scale=np.asarray(around.b1_scale, dtype=np.float32),
    )


class BlochSignalModel:
    """A ``virtual.console.playback.SignalModel``: answers each run with the signal of a scenario.

    Parameters
    ----------
    scanner
        Its hardware file, the same as the client's.
    scenario
        What lies in it and how good it is.
    n_threads
        Threads that compute; all processors if not given.
    """

    def __init__(self, scanner: Scanner, scenario: Scenario | None = None, *, n_threads: int | None = None) -> None:
        self.scenario = scenario or Scenario()
        self._simulator = Simulator(
            scenario_body(self.scenario, scanner),
            scanner,
            larmor_hz=scanner.magnet.larmor_hz + self.scenario.magnet.frequency_offset_hz,
            n_threads=n_threads,
            faults=engine_faults(self.scenario, scanner, surroundings(self.scenario, scanner)),
        )
        self._clock_hz = scanner.console.clock_hz
        n_sensors = max(self.scenario.n_sensors, scanner.receiver.n_sensors)
        self._chain = ReceiveChain(scanner, self.scenario, n_sensors=n_sensors)
        self._lo_turns = 0.0
        self._lo_hz = 0.0

    @property
    def larmor_hz(self) -> float:
        """True frequency at the isocenter at virtual time 0 [Hz]."""
        return self._simulator.larmor_hz

    def frequency_hz(self, time_s: float) -> float:
        """True frequency at the isocenter at a virtual time [Hz]."""
        return self._simulator.larmor_hz + self._simulator.faults.drift.offset_hz(time_s)

    def reset(self) -> None:
        """Spins in equilibrium, noise from its seed."""
        self._simulator.reset()
        self._chain.reset()
        self._lo_turns, self._lo_hz = 0.0, 0.0

    def set_receive(self, *, coil: float, gain_db: float) -> None:
        """From the next run on: share of what the coil picks up that arrives, and gain of the whole chain over the usual."""
        self._chain.coil_share, self._chain.more_gain_db = coil, gain_db

    @property
    def n_channels(self) -> int:
        """All coils and sensors."""
        return self._chain.n_channels

    @property
    def n_coils(self) -> int:
        """Receive coils: the first channels."""
        return self._chain.n_coils

    def play(self, playback: Playback) -> list[NDArray[np.complex64]]:
        """What the first coil hears in each receive window, then what the first sensor hears in each of its windows."""
        signals, frame = self._simulate(playback)
        heard = self._chain.hear(playback, frame, playback.windows, signals, (0,))
        if playback.sensor_windows and self.n_channels > self.n_coils:
            # The spins are only simulated at the coil's windows; a sensor's window is the same or hears no leak.
            induced = {_place(window): signal for window, signal in zip(playback.windows, signals, strict=True)}
            theirs = [induced.get(_place(window)) for window in playback.sensor_windows]
            heard += self._chain.hear(playback, frame, playback.sensor_windows, theirs, (self.n_coils,))
        return [channels[0] for channels in heard]

    def play_channels(self, playback: Playback) -> list[NDArray[np.complex64]]:
        """What all coils and sensors hear in each receive window of the coil, shape ``(n_channels, n)`` each."""
        signals, frame = self._simulate(playback)
        return self._chain.hear(playback, frame, playback.windows, signals, range(self.n_channels))

    def _simulate(self, playback: Playback) -> tuple[list[NDArray[np.complex64]], Frame]:
        """What the spins induce in the coil, and the oscillator in whose frame it is.

        The local oscillator counts as having one frequency in a run, that of the first pulse or receive window.
        """
        lo_hz = _first_used_lo_hz(playback)
        # The simulation turns the pause at the new frequency, but in it the oscillator ran on at the old one.
        frame_turns = (lo_hz - self._lo_hz) * playback.idle_s
        self._lo_turns += self._lo_hz * playback.idle_s
        start_turns = self._lo_turns
        if len(playback.lo_reset_ticks):  # setting it back turns the frame under the magnetisation
            turned = lo_hz * int(playback.lo_reset_ticks[-1]) / playback.clock_hz
            frame_turns += self._lo_turns + turned
            start_turns, self._lo_turns = -turned, 0.0
        signals = self._simulator.play(
            _with_idle(playback, self._clock_hz),
            [np.rint(window.sample_ticks).astype(np.int64) for window in playback.windows],
            end_tick=playback.end_tick,
            lo_hz=lo_hz,
            idle_s=playback.idle_s,
            frame_rad=2 * np.pi * (frame_turns % 1.0),
            start_s=playback.start_s,
        )
        since = playback.end_tick - (int(playback.lo_reset_ticks[-1]) if len(playback.lo_reset_ticks) else 0)
        self._lo_turns, self._lo_hz = (self._lo_turns + lo_hz * since / playback.clock_hz) % 1.0, lo_hz
        frame = Frame(start_s=playback.start_s, clock_hz=playback.clock_hz, lo_hz=lo_hz, lo_turns=start_turns)
        return signals, frame


def _place(window: RxWindow) -> tuple[int, int, int]:
    return window.tick, window.stop_tick, window.decimation


def _first_used_lo_hz(playback: Playback) -> float:
    """Frequency of the local oscillator when it is first needed."""
    used = [int(window.tick) for window in playback.windows[:1]]
    for name in ("tx0_i", "tx0_q"):
        track = playback.tracks.get(name)
        if track is not None and np.any(track.values):
            used.append(int(track.ticks[np.flatnonzero(track.values)[0]]))
    at = min(used) if used else playback.end_tick
    index = max(int(np.searchsorted(playback.lo_ticks, at, side="right")) - 1, 0)
    return float(playback.lo_hz[index]) if len(playback.lo_hz) else 0.0


def _with_idle(playback: Playback, clock_hz: float) -> dict[str, Track]:
    """Tracks with what the gradients held at tick 0 stretched over the idle time before."""
    idle_ticks = round(playback.idle_s * clock_hz)
    out = dict(playback.tracks)
    for name in GRADIENT_CHANNELS:
        track = out.get(name)
        if track is not None and len(track.ticks) and track.ticks[0] == 0 and idle_ticks:
            ticks = track.ticks.copy()
            ticks[0] = -idle_ticks
            out[name] = Track(ticks, track.values)
    return out
