# SPDX-License-Identifier: MIT
"""Smooth fields as sums of solid harmonics, as every field in free space is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmonicField:
    """A field that solves Laplace's equation.

    Attributes
    ----------
    coefficients
        Of the harmonics of ``basis`` [Hz at the radius], float64.
    order
        Highest order.
    centre_m, radius_m
        Where the harmonics are zero [m], shape (3,); distance at which they are of the order of 1 [m].
    rms_hz
        How far the measured values lie from the field [Hz].
    """

    coefficients: NDArray[np.float64]
    order: int
    centre_m: NDArray[np.float64]
    radius_m: float
    rms_hz: float

    def frequency_hz(self, position_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Field [Hz] at places of shape ``(..., 3)`` [m]."""
        flat = ((np.asarray(position_m, dtype=np.float64) - self.centre_m) / self.radius_m).reshape(-1, 3)
        value = np.empty(len(flat))
        for start in range(0, len(flat), 65536):  # keeps the table of harmonics small
            part = slice(start, start + 65536)
            value[part] = basis(flat[part], self.order) @ self.coefficients
        return value.reshape(position_m.shape[:-1])


def basis(place: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Real solid harmonics up to an order at places in units of the radius, shape ``(n, (order + 1)^2)``.

    Source
    ------
    Recurrence of the associated Legendre functions, e.g. NIST DLMF 14.10.3, times powers of the radius.
    """
    x, y, z = place.T
    square = (place**2).sum(axis=1)
    columns = []
    real, imag = np.ones_like(x), np.zeros_like(x)
    for m in range(order + 1):
        below, here = np.zeros_like(x), np.ones_like(x)
        for degree in range(m, order + 1):
            columns.append(here * real)
            if m:
                columns.append(here * imag)
            below, here = here, ((2 * degree + 1) * z * here - (degree + m) * square * below) / (degree - m + 1)
        real, imag = x * real - y * imag, x * imag + y * real
    return np.stack(columns, axis=1)


def fit_field(
    frequency_hz: NDArray[np.floating],
    weight: NDArray[np.floating],
    position_m: NDArray[np.floating],
    *,
    order: int = 4,
    stiffness: float = 1e-4,
) -> HarmonicField:
    """Field through measured values; outliers lose their weight.

    Parameters
    ----------
    frequency_hz
        Values [Hz], any shape.
    weight
        How much each counts; 0 for not at all. Of the same shape.
    position_m
        Where they were measured [m], shape ``(..., 3)``.
    order
        Highest order, 6 at most; lowered when there are too few values.
    stiffness
        Keeps coefficients small that the values do not determine, more so at high order.

    Source
    ------
    Order up to 6 and masks by signal: reference domain.md 2, row 12.
    """
    used = np.asarray(weight) > 0
    value = np.asarray(frequency_hz, dtype=np.float64)[used]
    trust = np.asarray(weight, dtype=np.float64)[used]
    place_m = np.asarray(position_m, dtype=np.float64)[used]
    if len(value) == 0:
        raise ValueError("no value has any weight")
    while order > 0 and (order + 1) ** 2 * 3 > len(value):
        order -= 1
    centre_m = np.average(place_m, axis=0, weights=trust)
    radius_m = max(float(np.sqrt(np.max(((place_m - centre_m) ** 2).sum(axis=1)))), 1e-6)
    table = basis((place_m - centre_m) / radius_m, order)
    degree = np.concatenate([[d] * (1 if m == 0 else 2) for m in range(order + 1) for d in range(m, order + 1)])
    size = np.maximum(np.sqrt(np.average(table**2, axis=0, weights=trust)), 1e-9)
    table = table / size
    penalty = np.diag(stiffness * degree.astype(np.float64) ** 2)
    robust = np.ones_like(trust)
    coefficients = np.zeros(table.shape[1])
    for _ in range(_ROUNDS):
        w = trust * robust
        w = w / w.sum()
        coefficients = np.linalg.solve(table.T @ (table * w[:, None]) + penalty, table.T @ (w * value))
        left = np.abs(value - table @ coefficients)
        limit = 2.5 * 1.4826 * float(np.median(left)) + 1e-9
        robust = np.minimum(1, limit / np.maximum(left, 1e-12)) ** 2
    rms_hz = float(np.sqrt(np.average((value - table @ coefficients) ** 2, weights=trust * robust)))
    return HarmonicField(coefficients=coefficients / size, order=order, centre_m=centre_m, radius_m=radius_m, rms_hz=rms_hz)
