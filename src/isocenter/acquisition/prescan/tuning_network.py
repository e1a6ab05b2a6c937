# SPDX-License-Identifier: MIT
"""What a coil with switched capacitors reflects, and what its measured reflections tell of the coil.

The network from the port: match capacitors in series, tune capacitors to ground, then series capacitors and the coil. From
the reflections at a few settings follow the coil's resistance and reactance, the capacitance of wires, and how far each
capacitor is off its label; then every other setting can be computed instead of tried.

Source
------
Reference domain.md 1.4 for the network of the i3M tuner and its capacitors; the fit is a least-squares estimate with a
normal prior on the capacitors' deviations.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = tuple[int, int, int]
"""Five bits each for series, tune and match; bit 0 is the largest capacitor, 1 is in."""

PORT_OHM: Final = 50.0
_OPEN_OHM: Final = 1e9
_DEVIATION: Final = 0.05  # of capacitors from their labels, and
_STRAY_F: Final = 20e-12  # capacitance of wires: standard deviations of what is thought before anything is measured
_REFLECTION_SD: Final = 0.01
_FEW: Final = 4  # measurements that may have misled


@dataclass(frozen=True, slots=True, kw_only=True)
class TunerNetwork:
    """Capacitors of a tuner.

    Attributes
    ----------
    series_f, tune_f, match_f
        Of the five places of each bank [F], largest first; infinity is a short.
    """

    series_f: tuple[float, ...] = (math.inf, 8e-9, 3.9e-9, 1.8e-9, 1e-9)
    tune_f: tuple[float, ...] = (326e-12, 174e-12, 87e-12, 44e-12, 26e-12)
    match_f: tuple[float, ...] = (math.inf, 500e-12, 262e-12, 142e-12, 75e-12)

    @property
    def banks(self) -> tuple[tuple[float, ...], ...]:
        """All three."""
        return self.series_f, self.tune_f, self.match_f

    def settings(self) -> list[Codes]:
        """Every setting that differs from the others and lets power through."""
        series, tune, match = self._choices()
        return list(itertools.product(series, tune, match))

    def neighbours(self, codes: Codes) -> list[Codes]:
        """Settings one step of capacitance away in one bank, tune before match before series; then two steps of tune."""
        found: list[Codes] = []
        choices = self._choices()
        for bank, step in ((1, 1), (1, -1), (2, 1), (2, -1), (0, 1), (0, -1), (1, 2), (1, -2)):
            ladder = choices[bank]
            at = ladder.index(codes[bank]) + step if codes[bank] in ladder else -1
            if 0 <= at < len(ladder):
                series, tune, match = (ladder[at] if n == bank else code for n, code in enumerate(codes))
                found.append((series, tune, match))
        return found

    def _choices(self) -> list[list[int]]:
        """Codes of each bank by rising capacitance; a short makes all else in its bank pointless."""
        choices = []
        for bank, is_needed in zip(self.banks, (True, False, True), strict=True):
            shorts = [1 << place for place, value in enumerate(bank) if math.isinf(value)]
            plain = [code for code in range(1 << len(bank)) if not any(code & short for short in shorts)]
            codes = [code for code in plain if code or not is_needed] + shorts[:1]
            choices.append(sorted(codes, key=partial(_total, bank)))
        return choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Reflection at one setting.

    Attributes
    ----------
    codes
        The setting.
    frequency_hz, s11
        Shape ``(n,)`` each.
    """

    codes: Codes
    frequency_hz: NDArray[np.float64]
    s11: NDArray[np.complex128]


class CoilFit:
    """The coil behind the network, as far as measurements tell.

    Parameters
    ----------
    network
        Capacitors as labelled.
    larmor_hz
        Where predictions are wanted.
    """

    def __init__(self, network: TunerNetwork, larmor_hz: float) -> None:
        self._network, self._larmor_hz = network, larmor_hz
        n = sum(len(bank) for bank in network.banks)
        self._parameters = np.concatenate(([math.log(4.0), math.log(100.0), 0.3], np.zeros(n)))
        self._settings = network.settings()
        self._table = np.array(self._settings, dtype=np.int64)

    @property
    def resistance_ohm(self) -> float:
        """Of the coil."""
        return float(np.exp(self._parameters[0]))

    @property
    def reactance_ohm(self) -> float:
        """Of the coil at the wanted frequency."""
        return float(np.exp(self._parameters[1]))

    def learn(self, measured: Sequence[Measured]) -> float:
        """Take all measurements into account; returns the root mean square of what is left unexplained."""
        from scipy.optimize import least_squares

        def misfit(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
            prior = parameters[2:] - np.concatenate(([0.3], np.zeros(len(parameters) - 3)))
            return np.concatenate((self._residuals(parameters, measured) / _REFLECTION_SD, prior))

        best = min(
            (least_squares(misfit, start, x_scale=0.1, max_nfev=60) for start in self._starts(measured)),
            key=lambda fit: float(fit.cost),
        )
        self._parameters = best.x
        return float(np.sqrt(np.mean(self._residuals(best.x, measured) ** 2)))

    def predict(self) -> tuple[list[Codes], NDArray[np.float64]]:
        """All settings, and the magnitude of their reflection at the wanted frequency, shape ``(n,)``."""
        s11 = self._reflect(self._parameters, self._table, np.array([self._larmor_hz]))
        return self._settings, np.abs(s11[:, 0])

    def _starts(self, measured: Sequence[Measured]) -> list[NDArray[np.float64]]:
        """What was thought so far; while little is known, also the best of a grid of coils."""
        if len(measured) > _FEW:
            return [self._parameters]
        cost = []
        for resistance in np.geomspace(0.5, 40, 8):
            for reactance in np.geomspace(20, 600, 70):
                trial = self._parameters.copy()
                trial[:3] = math.log(resistance), math.log(reactance), 0.3
                trial[3:] = 0
                cost.append((float(np.sum(self._residuals(trial, measured) ** 2)), trial))
        cost.sort(key=lambda item: item[0])
        return [self._parameters, cost[0][1]]

    def _residuals(self, parameters: NDArray[np.float64], measured: Sequence[Measured]) -> NDArray[np.float64]:
        parts = []
        for one in measured:
            error = self._reflect(parameters, np.array([one.codes]), one.frequency_hz)[0] - one.s11
            parts += [error.real, error.imag]
        return np.concatenate(parts)

    def _reflect(
        self, parameters: NDArray[np.float64], codes: NDArray[np.int64], frequency_hz: NDArray[np.float64]
    ) -> NDArray[np.complex128]:
        omega = 2 * np.pi * frequency_hz[None, :]
        ratio = frequency_hz[None, :] / self._larmor_hz
        coil = (math.exp(parameters[0]) + 1j * math.exp(parameters[1])) * ratio
        values, at = [], 3
        for bank, code in zip(self._network.banks, codes.T, strict=True):
            deviation = 1 + _DEVIATION * parameters[at : at + len(bank)]
            is_in = (code[:, None] >> np.arange(len(bank))) & 1 == 1
            values.append(np.where(is_in, np.array(bank) * deviation, 0.0).sum(axis=1)[:, None])
            at += len(bank)
        series, tune, match = values
        middle = 1 / (1 / (coil + _series_ohm(omega, series)) + 1j * omega * (tune + _STRAY_F * parameters[2]))
        z = _series_ohm(omega, match) + middle
        return np.asarray((z - PORT_OHM) / (z + PORT_OHM), dtype=np.complex128)


def _series_ohm(omega: NDArray[np.float64], value_f: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Impedance of a capacitor: none for a short, nearly infinite for nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ohm = np.where(value_f == 0, _OPEN_OHM, -1 / (omega * value_f))
    return np.asarray(1j * np.where(np.isinf(value_f), 0.0, ohm), dtype=np.complex128)


def _total(bank: tuple[float, ...], code: int) -> float:
    return sum(value for place, value in enumerate(bank) if code >> place & 1)
