# SPDX-License-Identifier: MIT
"""From what the spins induce to what the converter gives: coil, interference, noise, gain, converter, lost samples.

Everything happens on the samples that the virtual console asks for, before its decimator. Each fault has a random stream of
its own, so switching one on changes no other. The converter is described for a carrier far above the band of the samples:

* A real carrier of amplitude ``a`` above full scale leaves a converter as a clipped sine whose part at the carrier has the
  amplitude ``2/pi (a asin(1/a) + sqrt(1 - 1/a^2))``; its harmonics lie outside the band. Signals outside the band of the raw
  samples do not count towards full scale.
* Rounding at the clock's rate, which the noise of a real front end makes random, is white noise of a twelfth of a step
  squared; mixing and decimating by R leave ``step^2 / (6 R)`` of it in each part of a raw sample.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import TX_FULL_SCALE, Track
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.virtual.console.playback import Playback, RxWindow
from isocenter.virtual.physics.interference import Ether, Frame

Signal = NDArray[np.complex64]
Complex = NDArray[np.complex128]

NOISE_PER_SQRT_HZ: Final = 1.9e-7
"""Standard deviation of the noise's real part [1 = receiver full scale, per root hertz of complex bandwidth].

Chosen so that a 3D TSE of a brain with voxels of 2 x 2 x 5 mm, 20 kHz and 300 000 samples has a signal-to-noise ratio of
about 25, as 50 mT systems report.
"""

_RINGING_LASTS: Final = 30  # time constants after which a coil is silent
_NOISE, _CONVERTER, _DROPOUTS = 0x2015E, 0xADC, 0xD0B
_DROPOUT_BLOCK_S: Final = 1.0


class ReceiveChain:
    """All receive channels of a virtual scanner: the coils first, then the sensors.

    Parameters
    ----------
    n_sensors
        Channels beside the coils'; as many as the scenario says if not given.

    Attributes
    ----------
    coil_share, more_gain_db
        Amplitude that arrives of what a coil picks up; gain of the coils' chain over the scenario's [dB].
    """

    def __init__(self, scanner: Scanner, scenario: Scenario, *, n_sensors: int | None = None) -> None:
        self.n_coils = scenario.coil.n_receive
        self.n_channels = self.n_coils + (scenario.n_sensors if n_sensors is None else n_sensors)
        self._scenario = scenario
        self._ether = Ether(
            scenario.interference,
            n_channels=self.n_channels,
            nominal_hz=scanner.magnet.larmor_hz,
            seed=scenario.seed,
        )
        self.coil_share, self.more_gain_db = 1.0, 0.0
        self.reset()

    def reset(self) -> None:
        """All random streams from their beginning."""
        seed = self._scenario.seed
        # The coil's stream is older than the sensors' and has a shorter name.
        names = [[seed, _NOISE], *([seed, _NOISE, channel] for channel in range(1, self.n_channels))]
        self._noise = [np.random.default_rng(name) for name in names]
        self._converter = [np.random.default_rng([seed, _CONVERTER, channel]) for channel in range(self.n_channels)]

    def hear(
        self,
        playback: Playback,
        frame: Frame,
        windows: Sequence[RxWindow],
        signals: Sequence[Signal | None],
        channels: Sequence[int],
    ) -> list[NDArray[np.complex64]]:
        """What some channels deliver in each window.

        Parameters
        ----------
        windows
            Of this run.
        signals
            What the spins induce in the coils at each window's sample ticks, shape ``(n,)`` for one coil, else
            ``(n_coils, n)``; None where nobody has computed it.
        channels
            0 is the first coil.

        Returns
        -------
            complex64, shape ``(n_channels, n)`` for each window.
        """
        lost = self._lost(playback, windows)
        ringing = Ringing(playback, self._scenario) if 0 in channels else None
        out = []
        for window, signal, is_lost in zip(windows, signals, lost, strict=True):
            heard = self._ether.hear(window, frame, channels)
            for index, channel in enumerate(channels):
                self._induce(heard[index], channel, signal, ringing, window)
                self._convert(heard[index], channel, window.decimation, playback.clock_hz)
            out.append(np.zeros(heard.shape, np.complex64) if is_lost else heard.astype(np.complex64))
        return out

    def _induce(
        self, row: Complex, channel: int, signal: Signal | None, ringing: "Ringing | None", window: RxWindow
    ) -> None:
        """Add what the spins and the transmitter induce, in place."""
        if channel >= self.n_coils:
            if signal is not None and self._scenario.receiver.sensor_leak:
                row += self._scenario.receiver.sensor_leak * np.atleast_2d(signal)[0]
        elif not self._scenario.coil.is_disconnected:
            if signal is not None:
                heard = np.atleast_2d(signal)[channel]
                row += heard if self.coil_share == 1.0 else self.coil_share * heard
            if ringing is not None:
                ringing.add(row, window)

    def _convert(self, row: Complex, channel: int, decimation: int, clock_hz: float) -> None:
        """Noise, gain and converter, in place."""
        receiver = self._scenario.receiver
        if receiver.noise > 0:
            sigma = receiver.noise * NOISE_PER_SQRT_HZ * np.sqrt(clock_hz / decimation)
            row.view(np.float64)[:] += np.float32(sigma) * self._noise[channel].standard_normal(
                2 * len(row), dtype=np.float32
            )
        gain_db = receiver.gain_db + (self.more_gain_db if channel < self.n_coils else 0.0)
        if gain_db:
            row *= 10.0 ** (gain_db / 20)
        if receiver.adc_bits:
            clip(row)
            step = 2.0 ** (1 - receiver.adc_bits)
            rounding = self._converter[channel].standard_normal(2 * len(row), dtype=np.float32)
            row.view(np.float64)[:] += step / np.sqrt(6.0 * decimation) * rounding

    def _lost(self, playback: Playback, windows: Sequence[RxWindow]) -> NDArray[np.bool_]:
        """Windows whose samples are lost: the first that ends after each of some random moments of virtual time."""
        lost = np.zeros(len(windows), dtype=np.bool_)
        rate_hz = self._scenario.receiver.dropouts_hz
        if rate_hz <= 0 or not len(windows):
            return lost
        ends_s = playback.start_s + np.array([window.stop_tick for window in windows]) / playback.clock_hz
        blocks = range(int(playback.start_s / _DROPOUT_BLOCK_S), int(ends_s[-1] / _DROPOUT_BLOCK_S) + 1)
        for block in blocks:
            rng = np.random.default_rng([self._scenario.seed, _DROPOUTS, block])
            moments_s = (block + rng.random(rng.poisson(rate_hz * _DROPOUT_BLOCK_S))) * _DROPOUT_BLOCK_S
            hit = np.searchsorted(ends_s, moments_s[moments_s >= playback.start_s])
            lost[hit[hit < len(lost)]] = True
        return lost


def clip(row: Complex) -> None:
    """A converter's full scale, in place: the carrier of what is clipped keeps its phase."""
    size = np.abs(row)
    over = size > 1.0
    if over.any():
        inverse = 1.0 / size[over]
        row[over] *= 2 / np.pi * (np.arcsin(inverse) + inverse * np.sqrt(1 - inverse**2))


class Ringing:
    """The coil's own oscillation after each pulse of a run: an envelope that follows the pulse's with a time constant."""

    def __init__(self, playback: Playback, scenario: Scenario) -> None:
        coil = scenario.coil
        self._level = coil.ring_down_level
        self._ticks = coil.ring_down_s * playback.clock_hz
        self._is_on = self._level > 0 and self._ticks > 0 and not coil.is_disconnected
        if self._is_on:
            self._changes, codes = envelope(playback.tracks)
            self._codes = codes / TX_FULL_SCALE

    def add(self, row: Complex, window: RxWindow) -> None:
        """Add what the coil rings in a window, in place."""
        if not self._is_on or not len(row):
            return
        reach = _RINGING_LASTS * self._ticks
        first = max(int(np.searchsorted(self._changes, window.tick - reach)) - 1, 0)
        last = int(np.searchsorted(self._changes, window.tick, side="right"))
        starts, codes = self._changes[first:last], self._codes[first:last]
        if not np.any(codes):
            return
        # Each constant piece charges the coil; from the window's first tick on, it rings by itself.
        ends = np.append(starts[1:], window.tick)
        charge = codes * (np.exp((ends - window.tick) / self._ticks) - np.exp((starts - window.tick) / self._ticks))
        row += self._level * charge.sum() * np.exp((window.tick - window.sample_ticks) / self._ticks)


def envelope(tracks: Mapping[str, Track]) -> tuple[NDArray[np.int64], Complex]:
    """Ticks at which the RF envelope changes, and its complex code from each on."""
    parts = [(unit, tracks[name]) for unit, name in ((1.0, "tx0_i"), (1.0j, "tx0_q")) if name in tracks]
    ticks = np.unique(np.concatenate([np.zeros(1, np.int64), *(track.ticks for _, track in parts)]))
    codes = np.zeros(len(ticks), dtype=np.complex128)
    for unit, track in parts:
        if len(track.ticks):
            index = np.searchsorted(track.ticks, ticks, side="right") - 1
            codes += unit * np.where(index >= 0, track.values[np.maximum(index, 0)], 0)
    return ticks, codes
