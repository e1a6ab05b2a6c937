# SPDX-License-Identifier: MIT
"""Measured k-space with everything that a reconstruction needs to know."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import Encoding, ScanFacts
from isocenter.domain.geometry import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScan:
    """The imaging readouts of one scan, complete or not.

    Attributes
    ----------
    samples
        complex64, shape ``(n_readouts, n_channels, n_samples)``, demodulated, filtered, on the sequence's sample times.
    labels
        int32 by Pulseq label name, shape ``(n_readouts,)``.
    dwell_s
        Sample spacing [s].
    lo_hz
        Frequency of the local oscillator [Hz].
    encoding
        Cartesian encoding in device axes, None if the scan has none.
    placement
        Where the patient lay and the sequence pointed.
    facts
        Times and angles; None for data from elsewhere that do not say.
    definitions
        The sequence's definitions.
    n_expected
        Readouts that the whole scan has; more than ``len(samples)`` when it was cut short.
    name
        What the scan is called.
    time_s
        When each readout's first sample was taken, counted from the start of the scan [s], float64, shape
        ``(n_readouts,)``; empty when unknown.
    trajectory_per_m
        Where each sample lies in k-space, device axes, counted from the centre of the field of view [1/m], float32, shape
        ``(n_readouts, n_samples, 3)``; None when the encoding says it all.
    evolution_s
        How long the spins have turned freely at each readout's first sample, see ``CompiledScan`` [s], float64, shape
        ``(n_readouts,)``; empty when unknown.
    square_moments_per_m2
        What concomitant fields have left of phase at each readout's first sample, see ``CompiledScan``, float32, shape
        ``(n_readouts, 6)``; empty when unknown.
    noise
        complex64, shape ``(n, n_channels, n_samples)``: the scan's own noise readouts; None without any.
    sensor_channels
        Channels that hear interference but no signal.
    lo_shift_hz
        Oscillator minus ``lo_hz`` while each readout was measured [Hz], float64, shape ``(n_readouts,)``: a scan whose
        frequency jumped goes on at the one measured anew. Empty when the oscillator stayed.
    drift_hz
        Magnet minus oscillator while each readout was measured, between measurements of the frequency in pauses of the
        scan taken to change steadily [Hz], float64, shape ``(n_readouts,)``. Empty when there were none.
    warnings
        Plain sentences that a person should see: what was wrong with a file from elsewhere, and what was made of it.
    """

    samples: NDArray[np.complex64]
    labels: dict[str, NDArray[np.int32]]
    dwell_s: float
    lo_hz: float
    encoding: Encoding | None
    placement: Placement
    facts: ScanFacts | None
    definitions: dict[str, str] = field(default_factory=dict)
    n_expected: int = 0
    name: str = ""
    time_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    trajectory_per_m: NDArray[np.float32] | None = None
    evolution_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    square_moments_per_m2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 6), dtype=np.float32))
    noise: NDArray[np.complex64] | None = None
    sensor_channels: tuple[int, ...] = ()
    lo_shift_hz: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    drift_hz: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    warnings: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """True when every readout of the scan is here."""
        return len(self.samples) >= self.n_expected

    def label(self, name: str) -> NDArray[np.int32]:
        """One label for each readout; zeros where the sequence never sets it."""
        return self.labels.get(name, np.zeros(len(self.samples), dtype=np.int32))
