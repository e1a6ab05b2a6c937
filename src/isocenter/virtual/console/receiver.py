# SPDX-License-Identifier: MIT
"""One receive channel: decimator, filter, FIFO. Source: reference marcos.md 3, 4, 10 and domain.receiver."""

import math
from dataclasses import dataclass, field
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.domain.receiver import CIC_ORDER, MAX_DECIMATION
from isocenter.virtual.console.isa import FIFO_FULL, FIFO_NEARLY_FULL, FIFO_SAMPLES
from isocenter.virtual.console.playback import RxWindow

DEFAULT_DECIMATION: Final = 600
_RATE_DELAY_TICKS = 20  # a rate that comes sooner after the reset is not taken
_POINT_OFFSET_TICKS = 2  # middle of what sample n stands for: R n + 2 ticks into the window, see raw_sample_ticks
_SHIFT_WORD = 0x1000  # bit 12 marks a word for the scaling, not for the decimation

CIC_TAPS: Final = np.array([1.0, 26.0, 66.0, 26.0, 1.0]) / 120.0
"""Impulse response of a sixth-order CIC on its own output grid: the quintic B-spline at the integers."""


def cic_correction(decimation: int) -> float:
    """What a client multiplies with, since the CIC only scales by powers of two (between 1 and 2)."""
    growth = CIC_ORDER * math.log2((MAX_DECIMATION + 1) / decimation)
    return float(2.0 ** (growth - math.floor(growth)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Time in which the decimator takes samples at one rate.

    Attributes
    ----------
    window
        As the physics sees it.
    emit_ticks
        When each raw sample comes out, int64; their number may differ from the window's points, as the rest of a window
        that is no multiple of the decimation is carried on.
    is_fresh
        True when filter and counter were cleared before it.
    lo
        Source of the local oscillator: 0, 1, 2, or 3 for the constant.
    """

    window: RxWindow
    emit_ticks: NDArray[np.int64]
    is_fresh: bool
    lo: int


@numba.njit(cache=True, nogil=True)
def _through_fifo(
    arrivals: NDArray[np.int64], pop_ticks: float, level: int, end_tick: int
) -> tuple[NDArray[np.bool_], int, float, float]:
    """Which samples fit; when the FIFO was too full, how long nearly so, and at the end."""
    accepted = np.zeros(len(arrivals), np.bool_)
    filling = float(level)
    full_at, nearly = -1, 0.0
    last = 0
    for index in range(len(arrivals)):
        elapsed = float(arrivals[index] - last)
        filling = max(0.0, filling - elapsed / pop_ticks)
        last = arrivals[index]
        if filling + 1.0 <= FIFO_SAMPLES - 4:
            accepted[index] = True
            filling += 1.0
        if filling > FIFO_NEARLY_FULL:
            nearly += elapsed
        if filling > FIFO_FULL and full_at < 0:
            full_at = last
    if end_tick > last:
        filling = max(0.0, filling - (end_tick - last) / pop_ticks)
    return accepted, full_at, nearly, filling


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoReport:
    """What happened in the FIFO in one run; ``full_tick`` is -1 when it never was too full."""

    n_left: int
    full_tick: int
    nearly_full_ticks: float


@dataclass(slots=True)
class Receiver:
    """State of one channel, kept from run to run."""

    index: int
    decimation: int = DEFAULT_DECIMATION
    n_enabled: int = 0
    released_at: int = -(2**62)
    is_reset: bool = True
    is_fresh: bool = True
    history: NDArray[np.complex128] = field(default_factory=lambda: np.zeros(0, np.complex128))
    fifo_i: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    fifo_q: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _enabled_since: int = -1

    def _clear(self, decimation: int) -> None:
        self.decimation, self.n_enabled, self.is_fresh = decimation, 0, True

    def stretches(
        self, ticks: NDArray[np.int64], controls: NDArray[np.int64], rates: NDArray[np.int64], end_tick: int
    ) -> list[Stretch]:
        """Follow RX_CTRL and the rate bus through a run; both arrays hold the values from each tick on."""
        found: list[Stretch] = []
        lo = 0
        for tick, control, rate in zip(ticks.tolist(), controls.tolist(), rates.tolist(), strict=True):
            is_reset = not control >> (6 + self.index) & 1
            is_enabled = bool(control >> (8 + self.index) & 1) and not is_reset
            loads = bool(control >> (4 + self.index) & 1) and not is_reset and not self.is_reset
            loads = loads and tick - self.released_at >= _RATE_DELAY_TICKS and not rate & _SHIFT_WORD and rate > 0
            if self._enabled_since >= 0 and (not is_enabled or loads):
                self._close(tick, lo, found)
            lo = control >> (2 * self.index) & 3
            if is_reset:
                self._clear(DEFAULT_DECIMATION)
            elif self.is_reset:
                self.released_at = tick
            self.is_reset = is_reset
            if loads:
                self._clear(min(rate, MAX_DECIMATION))
            if is_enabled and self._enabled_since < 0:
                self._enabled_since = tick
        if self._enabled_since >= 0:
            self._close(end_tick, lo, found)
            self._enabled_since = 0  # still on when the next run begins
        self.released_at -= end_tick
        return found

    def _close(self, stop: int, lo: int, found: list[Stretch]) -> None:
        """End of a window: sample j (from 1) comes out when ``j R - 1`` enabled ticks have passed."""
        start, rate, before = self._enabled_since, self.decimation, self.n_enabled
        after = before + stop - start
        self._enabled_since = -1
        if after == before:
            return
        numbers = np.arange((before + 1) // rate + 1, (after + 1) // rate + 1)
        first_point = max(0, -((_POINT_OFFSET_TICKS - before) // rate))
        last_point = (after - 1 - _POINT_OFFSET_TICKS) // rate
        points = np.arange(first_point, last_point + 1) * rate + _POINT_OFFSET_TICKS - before + start
        window = RxWindow(tick=start, stop_tick=stop, decimation=rate, sample_ticks=points.astype(np.float64))
        emitted = (numbers * rate - 1 - before + start).astype(np.int64)
        found.append(Stretch(window=window, emit_ticks=emitted, is_fresh=self.is_fresh, lo=lo))
        self.n_enabled, self.is_fresh = after, False

    def filter(self, stretches: list[Stretch], signals: list[NDArray[np.complex64]]) -> list[NDArray[np.complex128]]:
        """Decimator output of each stretch, scaled as the hardware scales, 1.0 = full scale."""
        wanted, given = [len(each.window.sample_ticks) for each in stretches], [len(signal) for signal in signals]
        if wanted != given:
            raise ValueError(f"The signal model gave {given[:8]} samples for windows of {wanted[:8]}.")
        filtered: list[NDArray[np.complex128]] = []
        for stretch, signal in zip(stretches, signals, strict=True):
            if stretch.is_fresh:
                self.history = np.zeros(len(CIC_TAPS) - 1, np.complex128)
            stream = np.concatenate([self.history, np.asarray(signal, dtype=np.complex128)])
            n = len(stretch.emit_ticks)
            short = n + len(CIC_TAPS) - 1 - len(stream)  # only below a decimation of 4 is a point behind its sample
            padded = np.concatenate([stream, np.zeros(max(short, 0), np.complex128)])
            out = np.convolve(padded, CIC_TAPS, mode="valid")[:n]
            filtered.append(np.asarray(out / cic_correction(stretch.window.decimation), dtype=np.complex128))
            self.history = stream[n:]
        return filtered

    def store(
        self, stretches: list[Stretch], words: list[NDArray[np.complex128]], pop_ticks: float, end_tick: int
    ) -> FifoReport:
        """Put integer samples in the FIFO as far as they fit; all but ``n_left`` of them were read while the run went on."""
        if not stretches:
            return FifoReport(n_left=len(self.fifo_i), full_tick=-1, nearly_full_ticks=0.0)
        arrivals = np.concatenate([stretch.emit_ticks for stretch in stretches])
        samples = np.concatenate(words) if words else np.zeros(0, np.complex128)
        accepted, full_at, nearly, filling = _through_fifo(arrivals, pop_ticks, len(self.fifo_i), end_tick)
        self.fifo_i = np.concatenate([self.fifo_i, samples.real[accepted].astype(np.int32)])
        self.fifo_q = np.concatenate([self.fifo_q, samples.imag[accepted].astype(np.int32)])
        left = min(round(float(filling)), len(self.fifo_i))
        return FifoReport(n_left=left, full_tick=int(full_at), nearly_full_ticks=float(nearly))

    def append(self, samples_i: NDArray[np.int32], samples_q: NDArray[np.int32]) -> None:
        """Put samples in the FIFO that nobody reads in the meantime; what does not fit is lost."""
        room = max(0, FIFO_SAMPLES - 4 - len(self.fifo_i))
        self.fifo_i = np.concatenate([self.fifo_i, samples_i[:room]])
        self.fifo_q = np.concatenate([self.fifo_q, samples_q[:room]])

    def take(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pop up to ``n`` samples."""
        taken = self.fifo_i[:n], self.fifo_q[:n]
        self.fifo_i, self.fifo_q = self.fifo_i[n:], self.fifo_q[n:]
        return taken


def to_words(samples: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Samples of full scale 1.0 as the integers of the console, clipped at both ends (kept in complex128, exactly)."""
    scaled = samples * 2.0**31
    real, imag = (np.clip(np.rint(part), -(2.0**31), 2.0**31 - 1) for part in (scaled.real, scaled.imag))
    return np.asarray(real + 1j * imag, dtype=np.complex128)
