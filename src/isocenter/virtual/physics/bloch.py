# SPDX-License-Identifier: MIT
"""The Bloch simulator: plays what the console's pins did to a set of isochromats and returns what the coil picks up.

Nothing is assumed about the sequence. Slice profiles, stimulated echoes, spoiling and banding come out because every
spin is turned by every pulse. The magnetisation stays between runs, so a scan may come in segments.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import Track
from isocenter.domain.scanner import Scanner
from isocenter.virtual.physics.engine_body import Body
from isocenter.virtual.physics.engine_compose import compose_blocks
from isocenter.virtual.physics.engine_diffusion import normal_quantiles
from isocenter.virtual.physics.engine_faults import EngineFaults
from isocenter.virtual.physics.engine_fields import ConcomitantMoments
from isocenter.virtual.physics.engine_gradients import GradientPlayer
from isocenter.virtual.physics.engine_time import cuts_for_motion, pulse_frequencies_hz, readout_weights
from isocenter.virtual.physics.kernels import SkeletonArrays, TableArrays, play_blocks
from isocenter.virtual.physics.pulses import Pulse, find_pulses, steps_of
from isocenter.virtual.physics.sampling import FEWEST_BLOCKS, Shapes
from isocenter.virtual.physics.simtable import Setting, SimTable, build_table
from isocenter.virtual.physics.spins import BLOCK, SpinSet
from isocenter.virtual.physics.waveforms import Waveforms, waveforms

CHUNKS: Final = 16
"""Parts into which blocks are dealt. Fixed, so that sums come out the same however many threads there are."""

CACHE_BYTES: Final = 512 * 2**20
"""Composed pulses take no more than this, unless a single one does."""
MOST_PULSES: Final = 256
"""Composed pulses that are kept."""
MOST_KNOWN: Final = 64
"""Pulses of earlier runs with which those of a new run are compared."""

LARGEST_HALF_ANGLE_RAD: Final = 2.0
"""The kernels' polynomial holds up to here; longer steps are divided [rad]."""

PATIENCE: Final = 3
"""Spins are put into other blocks when this many runs in a row would have had them."""

MOVED_M: Final = 1e-4
"""Spins are laid elsewhere when one of them would have moved further than this [m]."""


class Simulator:
    """Spins in a scanner.

    One run at a time: the object keeps the magnetisation and is not safe to call from two threads at once.

    Parameters
    ----------
    spins
        What is in the magnet.
    scanner
        Its clock, gradients and transmitter.
    larmor_hz
        True frequency at the centre of the magnet at virtual time 0 [Hz]; the scanner's nominal one if not given. It may be
        set between runs.
    n_threads
        Threads that compute; all processors if not given.
    faults
        What is wrong between the pins and the spins; nothing if not given.
    """

    def __init__(
        self,
        spins: SpinSet,
        scanner: Scanner,
        *,
        larmor_hz: float | None = None,
        n_threads: int | None = None,
        faults: EngineFaults | None = None,
    ) -> None:
        self.scanner = scanner
        self.larmor_hz = scanner.magnet.larmor_hz if larmor_hz is None else larmor_hz
        self.faults = faults or EngineFaults()
        self._t1_s, self._t2_s = spins.t1_s, spins.t2_s
        self._diffusion = spins.diffusion_m2_per_s if self.faults.has_diffusion else np.zeros(0)
        self._n_threads = n_threads or os.cpu_count() or 1
        self._body = Body(spins, scanner, self.faults)
        self._n_blocks = self._body.n_blocks
        self.n_channels = len(self._body.arrays.weight)
        self._player = GradientPlayer(scanner, self.faults.gradients)
        self._quantiles = normal_quantiles() if len(self._diffusion) else np.zeros(1, dtype=np.float32)
        self._magnetisation = np.zeros((self._n_blocks, 3 * BLOCK), dtype=np.float32)
        self._capacity = max(min(CACHE_BYTES // (self._n_blocks * BLOCK * 36), MOST_PULSES), 1)
        self._rotations = np.empty((self._capacity, self._n_blocks, 9 * BLOCK), dtype=np.float32)
        self._slots: dict[bytes, int] = {}
        self._known: list[Pulse] = []
        self._shapes = Shapes(factor=1.25 if self.faults.motion else 1.02)
        self.reset()

    def reset(self) -> None:
        """Bring all spins to equilibrium and forget everything, so that the next run is as the first was."""
        self._magnetisation[:] = 0.0
        self._magnetisation[:, 2 * BLOCK :] = 1.0
        self._player.reset()
        self._keys = np.random.default_rng([self.faults.seed, 0xD1FF])
        self._body.reset()
        self._is_arranged, self._wishes = False, 0
        self._slots.clear()
        self._known.clear()
        self._shapes.clear()

    def play(
        self,
        tracks: Mapping[str, Track],
        sample_ticks: Sequence[NDArray[np.int64]],
        *,
        end_tick: int,
        lo_hz: float,
        idle_s: float = 0.0,
        frame_rad: float = 0.0,
        start_s: float = 0.0,
    ) -> list[NDArray[np.complex64]]:
        """Play one run and return the signal.

        Parameters
        ----------
        tracks
            What the pins did, by channel name, in ticks from the start of the run.
        sample_ticks
            For each receive window the ticks at which the signal is wanted, int64.
        end_tick
            Length of the run [ticks].
        lo_hz
            Frequency of the local oscillator [Hz].
        idle_s
            Time since the run before ended [s]. A gradient whose first tick is negative is on in it.
        frame_rad
            Turn of the magnetisation at the start of the run [rad]: by how much the local oscillator was set back, or ran on
            in the pause at another frequency than in this run.
        start_s
            Virtual time at tick 0 [s], for everything that changes slowly.

        Returns
        -------
            One complex64 array a window [1 = receiver full scale], of shape ``(n,)``, or ``(n_channels, n)`` if the spins
            have several weights. Samples during a pulse are zero.
        """
        clock_hz = self.scanner.console.clock_hz
        idle_ticks = max(round(idle_s * clock_hz), 0)
        waves = waveforms(
            tracks,
            self.scanner,
            end_tick,
            player=self._player,
            transmitter=self.faults.transmitter,
            idle_ticks=idle_ticks,
            start_s=start_s,
        )
        self._arrange(readout_weights(waves, sample_ticks))
        pulses = find_pulses(waves, self._known)
        self._known = pulses.pulses if len(pulses.pulses) <= MOST_KNOWN else []

        def drift_turns(ticks: NDArray[np.int64]) -> NDArray[np.float64]:
            return self.faults.drift.turns(start_s, ticks * waves.tick_s)

        def common_turns(ticks: NDArray[np.int64]) -> NDArray[np.float64]:
            steady = frequency_hz * waves.tick_s * ticks
            return steady + drift_turns(ticks) + waves.gradients.b0_turns(ticks, waves.k_per_area)

        frequency_hz = self.larmor_hz - lo_hz
        pulse_hz, error_turns = pulse_frequencies_hz(waves, frequency_hz, drift_turns)
        setting = Setting(
            common_turns=common_turns,
            idle_ticks=idle_ticks,
            end_tick=end_tick,
            frame_rad=frame_rad,
            t1_s=self._t1_s,
            t2_s=self._t2_s,
            diffusion_m2_per_s=self._diffusion,
            shapes=self._shapes,
            block_half=self._body.half_widths(),
            concomitant=self._concomitant(waves),
            cut_ticks=cuts_for_motion(waves, sample_ticks, end_tick) if self.faults.motion else np.zeros(0, dtype=np.int64),
            pulse_turns_error=error_turns,
        )
        table = build_table(waves, pulses, sample_ticks, setting)
        used = [pulses.pulses[index] for index in pulses.index]
        signal = self._play_table(table, used, pulse_hz, waves, start_s)
        raw = table.raw(signal)
        edges = np.cumsum([len(ticks) for ticks in sample_ticks])[:-1]
        return np.split(raw[0] if self.n_channels == 1 else raw, edges, axis=-1) if len(sample_ticks) else []

    def _arrange(self, weights: tuple[float, ...] | None) -> None:
        """Put spins into the blocks that suit the readouts: at the first since a reset, and when they have changed for good.

        What a run gives depends on runs since the reset only, also in its last digits.
        """
        if weights is None or self._n_blocks < FEWEST_BLOCKS:
            return
        self._wishes = 0 if self._is_arranged and weights == self._body.weights else self._wishes + 1
        if self._is_arranged and self._wishes < PATIENCE:
            return
        self._is_arranged, self._wishes = True, 0
        before = self._body.rearrange(weights)
        if before is not None:
            parts = self._magnetisation.reshape(self._n_blocks, 3, BLOCK).swapaxes(0, 1)
            moved = self._body.layout.spread(before.gather(parts), is_padded=True)
            self._magnetisation = np.ascontiguousarray(moved.swapaxes(0, 1)).reshape(self._n_blocks, 3 * BLOCK)
            self._slots.clear()
            self._shapes.clear()

    def _concomitant(self, waves: Waveforms) -> ConcomitantMoments | None:
        if self.faults.concomitant is None:
            return None
        return ConcomitantMoments(self.faults.concomitant, waves.gradients.channels, waves.hz_per_m_per_code, waves.tick_s)

    def _play_table(
        self, table: SimTable, used: Sequence[Pulse], pulse_hz: NDArray[np.float64], waves: Waveforms, start_s: float
    ) -> NDArray[np.complex128]:
        """Signal of all raw samples but for their common phase, shape ``(n_channels, n)``."""
        n_chunks = min(CHUNKS, self._n_blocks)
        signal = np.zeros((n_chunks, self.n_channels, len(table.common_turns)), dtype=np.complex128)
        keys = [pulse.key + frequency.tobytes() for pulse, frequency in zip(used, pulse_hz, strict=True)]
        arrays = table.arrays
        if len(arrays.gap_wander):
            shape = arrays.gap_key.shape
            arrays = arrays._replace(gap_key=self._keys.integers(0, 2**32, shape, dtype=np.uint32))
            self._slots.clear()
        for first, last in pairwise(self._stops(table, keys, start_s)):
            windows = arrays.gap_pulse[first:last]
            missing = {keys[w] for w in windows if w >= 0} - self._slots.keys()
            if len(self._slots) + len(missing) > self._capacity:
                self._slots.clear()
            slots = {int(w): self._slot(keys[w], used[w], float(pulse_hz[w]), waves) for w in windows if w >= 0}
            gap_pulse = arrays.gap_pulse.copy()
            gap_pulse[first:last] = [slots.get(int(w), -1) for w in windows]
            skeletons = self._shapes.arrays(table.shapes, self._body.half_widths())
            self._play_gaps((first, last), arrays._replace(gap_pulse=gap_pulse), skeletons, signal)
        return np.asarray(signal.sum(axis=0))

    def _play_gaps(
        self, gaps: tuple[int, int], arrays: TableArrays, skeletons: SkeletonArrays, signal: NDArray[np.complex128]
    ) -> None:
        def work(chunk: int, first: int, last: int) -> None:
            play_blocks(
                (first, last),
                gaps,
                self._body.arrays,
                (arrays, skeletons),
                self._rotations,
                self._magnetisation,
                self._quantiles,
                signal[chunk],
            )

        self._share(work)

    def _stops(self, table: SimTable, keys: Sequence[bytes], start_s: float) -> Iterator[int]:
        """Gaps at which the walk stops, since spins move or no more pulses can be held.

        Spins are moved when the walk goes on, so take one stop at a time.
        """
        yield 0
        held: set[bytes] = set()
        plan = self.faults.motion
        for gap, window in enumerate(table.arrays.gap_pulse.tolist()):
            pose = None
            if plan is not None:
                pose = plan.pose(start_s + float(table.gap_tick[gap]) / self.scanner.console.clock_hz)
                if pose.distance_m(self._body.pose, self._body.radius_m) <= MOVED_M:
                    pose = None
            new = {keys[window]} - held if window >= 0 else set()
            if pose is not None or len(held) + len(new) > self._capacity:
                if gap:
                    yield gap
                held = set()
            if pose is not None:
                self._body.move(pose)
                self._slots.clear()
            held |= new
        yield len(table.arrays.gap_pulse)

    def _slot(self, key: bytes, pulse: Pulse, frequency_hz: float, waves: Waveforms) -> int:
        """Where the rotations of a pulse are; composed if they are not there."""
        if key not in self._slots:
            slot = len(self._slots)
            self._slots[key] = slot
            self._compose(slot, steps_of(pulse, waves, frequency_hz))
        return self._slots[key]

    def _compose(self, slot: int, steps: NDArray[np.float64]) -> None:
        """Compose one pulse for every spin."""
        parts = [steps[:, 3:6], np.ones((len(steps), 1))]
        if self.faults.concomitant is not None:
            parts.append(self.faults.concomitant.products(steps[:, 3:6]))
        moves = np.concatenate(parts, axis=1)
        body = self._body
        offset_hz = np.abs(moves) @ body.reach() + np.abs(steps[:, 6])
        b1_hz = np.hypot(steps[:, 1], steps[:, 2]) * float(np.abs(body.arrays.b1).max())
        half_rad = np.pi * steps[:, 0] * np.hypot(b1_hz, offset_hz)
        repeats = np.maximum(np.ceil(half_rad / LARGEST_HALF_ANGLE_RAD), 1).astype(np.int64)
        divided = np.stack([steps[:, 0] / repeats, steps[:, 1], steps[:, 2], steps[:, 6]], axis=1)
        rotation = self._rotations[slot]

        def work(_: int, first: int, last: int) -> None:
            compose_blocks((first, last), body.arrays, divided, moves, repeats, rotation)

        self._share(work)

    def _share(self, work: Callable[[int, int, int], None]) -> None:
        """Deal blocks to threads in fixed chunks."""
        n_chunks = min(CHUNKS, self._n_blocks)
        edges = np.linspace(0, self._n_blocks, n_chunks + 1).astype(int).tolist()
        jobs = list(zip(range(n_chunks), edges[:-1], edges[1:], strict=True))
        if self._n_threads == 1 or n_chunks == 1:
            for job in jobs:
                work(*job)
            return
        with ThreadPoolExecutor(min(self._n_threads, n_chunks), thread_name_prefix="bloch") as pool:
            for future in [pool.submit(work, *job) for job in jobs]:
                future.result()
