# SPDX-License-Identifier: MIT
"""The Bloch simulator: plays what the console's pins did to a set of isochromats and returns what the coil picks up.

Nothing is assumed about the sequence. Slice profiles, stimulated echoes, spoiling and banding come out because every
spin is turned by every pulse. The magnetisation stays between runs, so a scan may come in segments.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import Track
from isocenter.domain.scanner import Scanner
from isocenter.virtual.physics.kernels import SpinArrays, compose_blocks, play_blocks
from isocenter.virtual.physics.pulses import Pulse, find_pulses, steps_of
from isocenter.virtual.physics.sampling import extent_of
from isocenter.virtual.physics.simtable import Decompositions, Setting, build_table
from isocenter.virtual.physics.spins import BLOCK, SpinSet, block_spins
from isocenter.virtual.physics.waveforms import Waveforms, waveforms

CHUNKS: Final = 16
"""Parts into which blocks are dealt. Fixed, so that sums come out the same however many threads there are."""

CACHE_BYTES: Final = 512 * 2**20
"""Composed pulses are kept up to this size."""

LARGEST_HALF_ANGLE_RAD: Final = 2.0
"""The kernels' polynomial holds up to here; longer steps are divided [rad]."""


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
        True frequency at the centre of the magnet [Hz]; the scanner's nominal one if not given. It may be set between runs.
    n_threads
        Threads that compute; all processors if not given.
    """

    def __init__(
        self, spins: SpinSet, scanner: Scanner, *, larmor_hz: float | None = None, n_threads: int | None = None
    ) -> None:
        self.scanner = scanner
        self.larmor_hz = scanner.magnet.larmor_hz if larmor_hz is None else larmor_hz
        self._t1_s, self._t2_s = spins.t1_s, spins.t2_s
        self._n_threads = n_threads or os.cpu_count() or 1
        blocked = block_spins(spins, scanner.gradients.channel_from_device)
        self._n_blocks = blocked.n_blocks
        self._arrays = SpinArrays(
            blocked.x_m,
            blocked.y_m,
            blocked.z_m,
            blocked.offset_hz,
            blocked.b1_scale,
            blocked.weight_re,
            blocked.weight_im,
            blocked.block_tissue,
        )
        channel = (spins.position_m @ scanner.gradients.channel_from_device.T).astype(np.float32)
        self._extent = extent_of(channel, spins.offset_hz, float(spins.t2_s.min()))
        # A step may turn the outermost spin by no more than this, whatever the direction of its gradient.
        self._reach_m = np.abs(channel).max(axis=0).astype(np.float64)
        self._reach_hz = float(np.abs(spins.offset_hz).max())
        self._b1_scale = float(np.abs(spins.b1_scale).max())
        self._magnetisation = np.zeros((3, self._n_blocks * BLOCK), dtype=np.float32)
        self._slots: dict[bytes, int] = {}
        self._decompositions: Decompositions = {}
        self._rotations = np.zeros((0, self._n_blocks, 9, BLOCK), dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Bring all spins to equilibrium."""
        self._magnetisation[:] = 0.0
        self._magnetisation[2] = 1.0

    def play(
        self,
        tracks: Mapping[str, Track],
        sample_ticks: Sequence[NDArray[np.int64]],
        *,
        end_tick: int,
        lo_hz: float,
        idle_s: float = 0.0,
        frame_rad: float = 0.0,
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
            Phase of the local oscillator just before it was set back to zero at the start of the run [rad].

        Returns
        -------
            One complex64 array a window [1 = receiver full scale]. Samples during a pulse are zero.
        """
        waves = waveforms(tracks, self.scanner, end_tick)
        pulses = find_pulses(waves)
        frequency_hz = self.larmor_hz - lo_hz
        setting = Setting(
            frequency_hz=frequency_hz,
            idle_s=max(idle_s, 0.0),
            frame_rad=frame_rad,
            end_tick=end_tick,
            t1_s=self._t1_s,
            t2_s=self._t2_s,
            extent=self._extent,
            decompositions=self._decompositions,
        )
        table = build_table(waves, pulses, sample_ticks, setting)
        slots = self._compose(pulses.pulses, waves, frequency_hz)
        index = table.arrays.gap_pulse
        arrays = table.arrays._replace(gap_pulse=np.where(index >= 0, np.append(slots, -1)[index], -1))
        n_chunks = min(CHUNKS, self._n_blocks)
        signal = np.zeros((n_chunks, table.n_computed), dtype=np.complex128)

        def work(chunk: int, first: int, last: int) -> None:
            play_blocks(first, last, self._arrays, arrays, self._rotations, self._magnetisation, signal[chunk])

        self._share(work)
        raw = table.raw(signal.sum(axis=0))
        return np.split(raw, np.cumsum([len(ticks) for ticks in sample_ticks])[:-1]) if len(sample_ticks) else []

    def _compose(self, pulses: list[Pulse], waves: Waveforms, frequency_hz: float) -> NDArray[np.int64]:
        """Slot of each pulse's rotations; pulses that were not played before are composed."""
        keys = [pulse.key + np.float64(frequency_hz).tobytes() for pulse in pulses]
        missing = [i for i, key in enumerate(keys) if key not in self._slots]
        capacity = max(CACHE_BYTES // (self._n_blocks * BLOCK * 36), len(keys), 1)
        if len(self._slots) + len(missing) > capacity:
            self._slots.clear()
            self._rotations = self._rotations[:0]
            missing = list(range(len(keys)))
        self._grow(len(self._slots) + len(missing))
        for i in missing:
            slot = len(self._slots)
            self._slots[keys[i]] = slot
            self._compose_one(slot, steps_of(pulses[i], waves, frequency_hz))
        return np.array([self._slots[key] for key in keys], dtype=np.int64)

    def _grow(self, n_slots: int) -> None:
        if n_slots <= len(self._rotations):
            return
        larger = np.empty((max(n_slots, 4), self._n_blocks, 9, BLOCK), dtype=np.float32)
        larger[: len(self._rotations)] = self._rotations
        self._rotations = larger

    def _compose_one(self, slot: int, steps: NDArray[np.float64]) -> None:
        """Compose one pulse for every spin."""
        b1_hz = np.hypot(steps[:, 1], steps[:, 2]) * self._b1_scale
        offset_hz = np.abs(steps[:, 3:6]) @ self._reach_m + self._reach_hz + np.abs(steps[:, 6])
        half_rad = np.pi * steps[:, 0] * np.hypot(b1_hz, offset_hz)
        repeats = np.maximum(np.ceil(half_rad / LARGEST_HALF_ANGLE_RAD), 1).astype(np.int64)
        divided = steps.copy()
        divided[:, 0] /= repeats
        rows = divided.astype(np.float32)
        rotation = self._rotations[slot]

        def work(_: int, first: int, last: int) -> None:
            compose_blocks(first, last, self._arrays, rows, repeats, rotation)

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
