# SPDX-License-Identifier: MIT
"""The fields of a scenario's magnet and coils as functions of the place in the device.

They belong to the scanner, not to the patient: what moves asks again at its new place.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.harmonics import harmonic_key, harmonic_values
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.virtual.physics.coils import ring_sensitivity
from isocenter.virtual.physics.field_table import MeasuredField, fit_table, read_table
from isocenter.virtual.physics.magnet import b0_offset_hz, receive_sensitivity, transmit_scale

Places = NDArray[np.floating]

_CHUNK: Final = 1 << 16


class ScannerFields:
    """B0, transmit and receive fields of a scenario in a scanner.

    Parameters
    ----------
    scenario
        Its magnet's and coils' faults.
    scanner
        Says how large the imaging sphere is.

    Attributes
    ----------
    measured
        What became of the scenario's table; None without one.

    Raises
    ------
    ConfigError
        The scenario's table cannot be read or does not describe a field.
    """

    def __init__(self, scenario: Scenario, scanner: Scanner) -> None:
        self._magnet, self._coil, self._seed = scenario.magnet, scenario.coil, scenario.seed
        self._radius_m = scanner.magnet.imaging_diameter_m / 2
        self._keys = tuple(harmonic_key(name) for name in self._magnet.harmonics_hz)
        self._coefficients = np.array(list(self._magnet.harmonics_hz.values()), dtype=np.float64)
        self.measured: MeasuredField | None = None
        if self._magnet.table:
            path = Path(self._magnet.table)
            self.measured = fit_table(read_table(path), self._radius_m, name=str(path))
        self._strength = 1.0 - 10.0 ** (-self._coil.b1_fall_db / 20)

    def offset_hz(self, position_m: Places) -> NDArray[np.float32]:
        """Deviation from the centre frequency [Hz] at places in device axes, shape ``(n, 3)`` to ``(n,)``."""
        out = np.empty(len(position_m), dtype=np.float32)
        for at in _chunks(len(out)):
            places = position_m[at]
            total = b0_offset_hz(places, peak_to_peak_hz=self._magnet.spread_hz, radius_m=self._radius_m, seed=self._seed)
            if self._keys:
                total = total + self._coefficients @ harmonic_values(np.asarray(places) / self._radius_m, self._keys)
            if self.measured is not None:
                total = total + self.measured.offset_hz(places)
            out[at] = total
        return out

    def transmit(self, position_m: Places) -> NDArray[np.float32]:
        """Transmit field over its value at the isocenter, shape ``(n, 3)`` to ``(n,)``."""
        out = np.empty(len(position_m), dtype=np.float32)
        for at in _chunks(len(out)):
            out[at] = transmit_scale(position_m[at], strength=self._strength, radius_m=self._radius_m)
        return out

    def receive(self, position_m: Places) -> NDArray[np.complex64]:
        """Complex sensitivity, shape ``(n, 3)`` to ``(n,)`` for one coil and to ``(n_receive, n)`` for several."""
        if self._coil.n_receive > 1:
            return ring_sensitivity(
                position_m, n_coils=self._coil.n_receive, radius_m=self._radius_m, field_axis=self._magnet.field_axis
            )
        out = np.empty(len(position_m), dtype=np.complex64)
        for at in _chunks(len(out)):
            out[at] = receive_sensitivity(position_m[at], strength=self._strength, radius_m=self._radius_m)
        return out


def _chunks(n: int) -> Iterator[slice]:
    """Pieces that stay in the cache, so that millions of places need no large temporaries."""
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))
