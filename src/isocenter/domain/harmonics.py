# SPDX-License-Identifier: MIT
"""Solid harmonics: the shapes that a static field can have where no source is.

A harmonic has an order n and a degree m; ``c`` goes with cos(m phi), ``s`` with sin(m phi), where phi turns about z. So
``c20`` is z2 and ``s21`` is yz. Those of order 1 to 3 that shim coils are named after have their usual names too. Each is
scaled to 1 at its largest on the unit sphere, so a coefficient is the peak that it makes there.

Source
------
Recurrence of the associated Legendre functions, in Cartesian form; any text on potential theory.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

LARGEST_ORDER: Final = 12
"""Highest order that can be named or fitted."""

USUAL_NAMES: Final[dict[str, str]] = {
    "x": "c11",
    "y": "s11",
    "z": "c10",
    "z2": "c20",
    "xz": "c21",
    "yz": "s21",
    "x2-y2": "c22",
    "xy": "s22",
    "z3": "c30",
    "xz2": "c31",
    "yz2": "s31",
    "zx2-zy2": "c32",
    "xyz": "s32",
    "x3": "c33",
    "y3": "s33",
    "z4": "c40",
    "z5": "c50",
    "z6": "c60",
}
"""Usual names of harmonics; ``c31`` is x (4 z2 - x2 - y2), ``c33`` is x (x2 - 3 y2), ``s33`` is y (3 x2 - y2)."""

Key: TypeAlias = tuple[int, int, bool]


def harmonic_key(name: str) -> Key:
    """Order, degree and whether it goes with the sine, of a harmonic's name.

    Raises
    ------
    ValueError
        When there is none of that name; says how names are made.
    """
    plain = USUAL_NAMES.get(name, name)
    found = re.fullmatch(r"([cs])(\d{1,2})(\d{1,2})", plain)
    for split in range(2, len(plain)) if found else ():
        order, degree, is_sine = int(plain[1:split]), int(plain[split:]), plain[0] == "s"
        if 1 <= order <= LARGEST_ORDER and degree <= order and not (is_sine and degree == 0):
            return order, degree, is_sine
    raise ValueError(
        f"there is no solid harmonic '{name}'; use {', '.join(USUAL_NAMES)}, or c and s with order and degree such as c42"
    )


def harmonic_keys(order: int) -> tuple[Key, ...]:
    """All harmonics from order 0, the constant, up to an order: ``(order + 1) ** 2`` of them."""
    return tuple(
        (n, m, is_sine) for n in range(order + 1) for m in range(n + 1) for is_sine in ((False, True) if m else (False,))
    )


def harmonic_values(unit: NDArray[np.floating], keys: tuple[Key, ...]) -> NDArray[np.float64]:
    """Values of harmonics.

    Parameters
    ----------
    unit
        Places in units of the reference radius, shape ``(n, 3)``.
    keys
        Which harmonics.

    Returns
    -------
        float64, shape ``(len(keys), n)``.
    """
    x, y, z = (np.asarray(unit[:, axis], dtype=np.float64) for axis in range(3))
    square = x * x + y * y + z * z
    out = np.empty((len(keys), len(x)))
    turned = np.ones(len(x), dtype=np.complex128)
    for m in range(max(m for _, m, _ in keys) + 1):
        if m:
            turned *= x + 1j * y
        wanted = {key: index for index, key in enumerate(keys) if key[1] == m}
        if not wanted:
            continue
        before, now = np.zeros_like(x), np.ones_like(x)
        for n in range(m, max(n for n, _, _ in wanted) + 1):
            if n > m:
                before, now = now, ((2 * n - 1) * z * now - (n + m - 1) * square * before) / (n - m)
            for is_sine in (False, True):
                index = wanted.get((n, m, is_sine))
                if index is not None:
                    out[index] = now * (turned.imag if is_sine else turned.real) / _peak(n, m)
    return out


@cache
def _peak(order: int, degree: int) -> float:
    """Largest value on the unit sphere of the recurrence above."""
    height = np.linspace(-1.0, 1.0, 20001)
    before, now = np.zeros_like(height), np.ones_like(height)
    for n in range(degree + 1, order + 1):
        before, now = now, ((2 * n - 1) * height * now - (n + degree - 1) * before) / (n - degree)
    return float(np.abs(now * (1 - height**2) ** (degree / 2)).max())


def harmonic_name(key: Key) -> str:
    """Name of a harmonic that ``harmonic_key`` understands."""
    order, degree, is_sine = key
    return f"{'s' if is_sine else 'c'}{order}{degree}"


_BEYOND: Final = 1.25
"""How far outside the measured places a measured field is believed, as a ratio of radii."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoilField:
    """What three gradient coils make of space, as it was measured.

    Attributes
    ----------
    keys
        Solid harmonics of the deviation.
    weights_m
        By how much each coil's field, over its gradient at the centre, deviates from its axis: peak of each harmonic on the
        sphere of ``radius_m`` [m], float64, shape ``(3, len(keys))``, device axes x, y, z.
    radius_m
        Of the reference sphere [m].
    reach_m
        How far from the isocenter places were measured [m].
    rms_m
        What the harmonics leave of the measured places, in three dimensions [m].
    n_points
        Places that were measured.
    name, scanner
        What it comes from; name of the scanner's hardware file.
    """

    keys: tuple[Key, ...]
    weights_m: NDArray[np.float64]
    radius_m: float
    reach_m: float
    rms_m: float
    n_points: int
    name: str = ""
    scanner: str = ""

    def apparent_m(self, position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where things at places of shape ``(n, 3)`` in device axes seem to be [m].

        Far outside the measured places the deviation is that on the way there, since harmonics explode.
        """
        distance_m = np.linalg.norm(position_m, axis=1, keepdims=True)
        inside = np.minimum(1.0, _BEYOND * self.reach_m / np.maximum(distance_m, 1e-9))
        values = harmonic_values(position_m * inside / self.radius_m, self.keys)
        apparent: NDArray[np.float64] = position_m + (self.weights_m @ values).T
        return apparent
