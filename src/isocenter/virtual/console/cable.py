# SPDX-License-Identifier: MIT
"""A cable from transmitter to receiver through an attenuator, instead of amplifiers, coil and spins."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import TX_FULL_SCALE
from isocenter.virtual.console.playback import Playback


@dataclass(slots=True, kw_only=True)
class CableModel:
    """A ``SignalModel`` that hears what is sent. Whatever mends or spoils the way may be set at any time.

    Attributes
    ----------
    gain
        From full scale of the transmitter to full scale of the receiver, with the phase of the way, complex.
    image
        Share of the conjugate that comes along, complex; 0 for mixers without fault.
    compression
        Share that is missing at full scale; grows with the square of the amplitude.
    noise
        Standard deviation of each part of a sample, of full scale of the receiver.
    delay_ticks
        Of the way [ticks].
    seed
        Of the noise.
    """

    gain: complex = 0.3 + 0.4j
    image: complex = 0.0
    compression: float = 0.0
    noise: float = 0.0
    delay_ticks: float = 0.0
    seed: int = 1
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def play(self, playback: Playback) -> list[NDArray[np.complex64]]:
        """What each window hears."""
        return [self._heard(playback, window.sample_ticks) for window in (*playback.windows, *playback.sensor_windows)]

    def reset(self) -> None:
        """The noise from its seed."""
        self._random = np.random.default_rng(self.seed)

    def _heard(self, playback: Playback, at_ticks: NDArray[np.float64]) -> NDArray[np.complex64]:
        i, q = (playback.tracks[name] for name in ("tx0_i", "tx0_q"))
        parts = [
            track.values[np.maximum(np.searchsorted(track.ticks, at_ticks - self.delay_ticks, side="right") - 1, 0)]
            for track in (i, q)
        ]
        sent = (parts[0] + 1j * parts[1]) / TX_FULL_SCALE
        sent = sent * (1 - self.compression * np.abs(sent) ** 2)
        noise = self._random.normal(size=(2, len(sent))) * self.noise
        heard = self.gain * (sent + self.image * sent.conj()) + noise[0] + 1j * noise[1]
        return np.asarray(heard, dtype=np.complex64)
