# SPDX-License-Identifier: MIT
"""What the pins did, as exact piecewise-constant waveforms: gradient moments at any tick, and windows of RF."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import TX_FULL_SCALE, Track
from isocenter.domain.scanner import GradientBoard, Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.physics.engine_gradients import GradientPlayer, Played

GRADIENT_FULL_SCALE: Final[dict[GradientBoard, int]] = {GradientBoard.OCRA1: 131071, GradientBoard.GPA_FHDO: 32767}
"""DAC code that means the full-scale gradient of the hardware file."""

JOIN_S: Final = 25e-6
"""RF that is zero for less than this belongs to one pulse: the zero crossings of a sinc, the pauses of a DANTE train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmitter:
    """Coil and amplifier between the codes and B1: true field over the nominal, and loss at full scale."""

    scale: float = 1.0
    compression: float = 0.0

    def of(self, codes: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Codes that a perfect transmitter would need for what this one plays."""
        if self.scale == 1.0 and self.compression == 0.0:
            return codes
        return np.asarray(codes * (self.scale * (1.0 - self.compression * np.abs(codes / TX_FULL_SCALE) ** 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveforms:
    """Everything that acts on the spins in one run.

    Attributes
    ----------
    gradients
        What the coils did.
    hz_per_m_per_code
        What one code of each channel really is [Hz/m], shape (3,).
    rf_ticks, rf_codes
        Changes of the RF envelope and its complex code from there on.
    rf_hz_per_code
        Nutation frequency of one code [Hz].
    windows
        First and last tick of each stretch of RF, int64, shape (n_windows, 2).
    tick_s
        Length of a tick [s].
    """

    gradients: Played
    hz_per_m_per_code: NDArray[np.float64]
    rf_ticks: NDArray[np.int64]
    rf_codes: NDArray[np.complex128]
    rf_hz_per_code: float
    windows: NDArray[np.int64]
    tick_s: float

    def areas(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integral of the three gradient codes up to some ticks [code ticks], shape (n, 3)."""
        return np.stack([channel.at(ticks) for channel in self.gradients.channels], axis=-1)

    def deviation_per_m(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """k-space beyond that of the codes: eddy currents and ripple [1/m], shape (n, 3)."""
        return self.gradients.deviation_per_m(ticks, self.k_per_area, self.tick_s)

    def k_per_m(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """k-space since the beginning [1/m], shape (n, 3)."""
        k = self.areas(ticks) * self.k_per_area
        return k if self.gradients.is_staircase else k + self.deviation_per_m(ticks)

    @property
    def k_per_area(self) -> NDArray[np.float64]:
        """k-space per code tick of each channel [1/m], shape (3,)."""
        return self.hz_per_m_per_code * self.tick_s


def waveforms(
    tracks: Mapping[str, Track],
    scanner: Scanner,
    end_tick: int,
    *,
    player: GradientPlayer | None = None,
    transmitter: Transmitter | None = None,
    idle_ticks: int = 0,
    start_s: float = 0.0,
) -> Waveforms:
    """Waveforms of one run from what was seen at the pins; amplifiers and coils are added here.

    Parameters
    ----------
    tracks
        By channel name. RF that is still on at ``end_tick`` is taken to end there.
    player, transmitter
        Gradients with their past, and transmitter; perfect ones if not given.
    idle_ticks, start_s
        Time since the run before, and virtual time at tick 0.
    """
    clock_hz = scanner.console.clock_hz
    full_scale = GRADIENT_FULL_SCALE[scanner.gradients.board]
    player = player or GradientPlayer(scanner)
    nominal = np.array([axis.full_scale_t_per_m * GAMMA_HZ_PER_T / full_scale for axis in scanner.gradients.axes])
    ticks, codes = _envelope(tracks.get("tx0_i"), tracks.get("tx0_q"))
    if len(codes) and codes[-1] != 0:
        ticks, codes = np.append(ticks, max(end_tick, int(ticks[-1]) + 1)), np.append(codes, 0.0)
    return Waveforms(
        gradients=player.play(tracks, end_tick, idle_ticks, start_s),
        hz_per_m_per_code=nominal * player.scale,
        rf_ticks=ticks,
        rf_codes=(transmitter or Transmitter()).of(codes),
        rf_hz_per_code=scanner.rf.full_scale_hz / TX_FULL_SCALE,
        windows=_windows(ticks, codes, round(JOIN_S * clock_hz)),
        tick_s=1 / clock_hz,
    )


def _envelope(in_phase: Track | None, quadrature: Track | None) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """Both parts of the envelope on common ticks, only where something changes."""
    parts = [part for part in (in_phase, quadrature) if part is not None and len(part.ticks)]
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.complex128)
    ticks = np.unique(np.concatenate([part.ticks for part in parts])).astype(np.int64)
    codes = np.zeros(len(ticks), dtype=np.complex128)
    for track, unit in ((in_phase, 1.0), (quadrature, 1.0j)):
        if track is not None and len(track.ticks):
            index = np.searchsorted(track.ticks, ticks, side="right") - 1
            codes += unit * np.where(index >= 0, track.values[np.maximum(index, 0)], 0)
    changed = np.concatenate([[codes[0] != 0], codes[1:] != codes[:-1]])
    return ticks[changed], codes[changed]


def _windows(ticks: NDArray[np.int64], codes: NDArray[np.complex128], join_ticks: int) -> NDArray[np.int64]:
    """First and last tick of each stretch with RF, stretches closer than ``join_ticks`` joined."""
    on = codes != 0
    if not on.any():
        return np.zeros((0, 2), dtype=np.int64)
    edge = np.diff(np.concatenate([[0], on.astype(np.int8)]))
    starts, ends = ticks[edge == 1], ticks[edge == -1]
    apart = starts[1:] - ends[:-1] >= join_ticks
    return np.stack([starts[np.concatenate([[True], apart])], ends[np.concatenate([apart, [True]])]], axis=1)
