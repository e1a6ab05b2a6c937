# SPDX-License-Identifier: MIT
"""The coil of the virtual scanner with the capacitors of its tuner, as a network of real parts.

From the port: match capacitors in series, then tune capacitors to ground, then series capacitors and the coil. Relays short
one place of the series and of the match bank. Parts differ from their labels, wires have capacitance, coils have losses.

Source
------
Reference domain.md 1.4 for the capacitors. Which place is a short is how an existing program computes (it takes infinity).
"""

import itertools
import math
import random
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.peripherals.plant import PlantState

SERIES_F: Final = (math.inf, 8e-9, 3.9e-9, 1.8e-9, 1e-9)
TUNE_F: Final = (326e-12, 174e-12, 87e-12, 44e-12, 26e-12)
MATCH_F: Final = (math.inf, 500e-12, 262e-12, 142e-12, 75e-12)

_Z0: Final = 50.0
_OPEN: Final = 1e9
_CABLE: Final = 0.985  # what comes back from an open end behind cable and relays


@dataclass(frozen=True, slots=True, kw_only=True)
class CoilCircuit:
    """One coil.

    Attributes
    ----------
    inductance_h
        Of the coil in place [H].
    quality
        Reactance over resistance, with an ordinary load.
    stray_f
        Of wires and relays, beside the tune capacitors [F].
    spread
        Standard deviation of the capacitors' values around their labels.
    seed
        Which capacitors were in the box.
    """

    inductance_h: float = 9.25e-6
    quality: float = 30.0
    stray_f: float = 8e-12
    spread: float = 0.02
    seed: int = 1

    @classmethod
    def for_frequency(cls, larmor_hz: float, seed: int = 1) -> Self:
        """A coil that this tuner can match at 1.9 ... 3.5 MHz: found by trying all settings, see its test."""
        return cls(inductance_h=9.25e-6 * (2e6 / larmor_hz) ** 1.5, seed=seed)

    def best_setting(self, frequency_hz: float, *, load_share: float = 0.0) -> tuple[int, int, int]:
        """Codes of series, tune and match that reflect least: where a coil stands that was tuned before."""
        ladder = [code for code in range(32) if not code & 1 or code == 1]  # with the short in, the others do nothing
        codes = list(itertools.product(ladder[1:], range(32), ladder[1:]))
        z = self._impedances(np.array([frequency_hz]), np.array(codes), load_share)[:, 0]
        return codes[int(np.abs((z - _Z0) / (z + _Z0)).argmin())]

    def reflection(self, frequency_hz: NDArray[np.float64], state: PlantState) -> NDArray[np.complex128]:
        """What the network analyser sees, without its own noise. Shape as ``frequency_hz``."""
        if not state.analyser_connected:
            return _open_end(frequency_hz, 0.3)
        return self._at_network(frequency_hz, state)

    def power_share(self, frequency_hz: float, state: PlantState) -> float:
        """Share of the transmitter's power that goes into the coil, and of the coil's signal that reaches the receiver."""
        if state.analyser_connected or not state.coil_plugged or state.coil_cable_broken:
            return 0.0
        return float(1 - np.abs(self._at_network(np.array([frequency_hz]), state)[0]) ** 2)

    def _at_network(self, frequency_hz: NDArray[np.float64], state: PlantState) -> NDArray[np.complex128]:
        if state.coil_cable_broken:
            return _open_end(frequency_hz, 1.1)
        z = self.impedance(frequency_hz, state.capacitors, load_share=state.coil_load_share, is_plugged=state.coil_plugged)
        return np.asarray((z - _Z0) / (z + _Z0), dtype=np.complex128)

    def impedance(
        self,
        frequency_hz: NDArray[np.float64],
        codes: tuple[int, int, int],
        *,
        load_share: float = 0.0,
        is_plugged: bool = True,
    ) -> NDArray[np.complex128]:
        """At the port [ohm], for codes of series, tune and match."""
        rows = self._impedances(frequency_hz, np.array([codes]), load_share, is_plugged=is_plugged)
        return np.asarray(rows[0], dtype=np.complex128)

    def _impedances(
        self, frequency_hz: NDArray[np.float64], codes: NDArray[np.int64], load_share: float, *, is_plugged: bool = True
    ) -> NDArray[np.complex128]:
        """The same for many settings, shape ``(settings, frequencies)``."""
        omega = 2 * np.pi * frequency_hz
        series_f, tune_f, match_f = (_sums(bank, code) for bank, code in zip(self._banks(), codes.T, strict=True))
        reactance = omega * self.inductance_h / (1 - load_share) ** 2  # what is near shifts the resonance down
        coil = (
            reactance / self.quality * (1 + 20 * abs(load_share)) + 1j * reactance
            if is_plugged
            else np.full(len(omega), _OPEN)
        )
        branch = coil + _capacitor(omega, series_f)
        middle = 1 / (1 / branch + 1j * omega * (tune_f + self.stray_f))
        return np.asarray(_capacitor(omega, match_f) + middle + 0.2, dtype=np.complex128)  # relay contacts: 0.2 ohm

    def _banks(self) -> tuple[tuple[float, ...], ...]:
        """What is really in the box."""
        random_ = random.Random(self.seed)  # noqa: S311 - the spread of parts is no secret
        return tuple(
            tuple(value * (1 + random_.gauss(0, self.spread)) for value in bank) for bank in (SERIES_F, TUNE_F, MATCH_F)
        )


def _sums(bank: tuple[float, ...], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each code switches in, as a column."""
    is_in = (codes[:, None] >> np.arange(len(bank))) & 1 == 1
    return np.asarray(np.where(is_in, np.array(bank), 0.0).sum(axis=1)[:, None], dtype=np.float64)


def _capacitor(omega: NDArray[np.float64], value_f: NDArray[np.float64]) -> NDArray[np.complex128]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ohm = (1 + 1j / 2000) / (1j * omega * value_f)  # quality 2000
    return np.asarray(np.where(np.isinf(value_f), 0.0, np.where(value_f == 0, _OPEN, ohm)), dtype=np.complex128)


def _open_end(frequency_hz: NDArray[np.float64], length_m: float) -> NDArray[np.complex128]:
    """Of a cable with an open end."""
    return np.asarray(_CABLE * np.exp(-4j * np.pi * frequency_hz * length_m / 2e8), dtype=np.complex128)
