# SPDX-License-Identifier: MIT
"""Fields of gradient coils that are not straight: gradients that bend, and the transverse parts that Maxwell asks for.

Source of the concomitant field: Bernstein et al., Magn. Reson. Med. 39 (1998) 300, equation 6 for symmetric coils, as in
reference domain.md 3.5; to first order in gradient over B0.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.physics.engine_gradients import Held

Places = NDArray[np.floating]


def effective_position_m(
    position_m: Places, nonlinearity: tuple[float, float, float], radius_m: float
) -> NDArray[np.float64]:
    """Where a place seems to be for the gradients: field of each coil over its gradient at the centre [m].

    Each coil's field is ``u + c (u^3 - 3/2 u (v^2 + w^2))`` along its own axis u, the third-order solid harmonic that
    belongs to that axis, so that it solves Laplace's equation as well. An image shows a spin at this place.

    Parameters
    ----------
    position_m
        True places [m], shape ``(n, 3)``.
    nonlinearity
        Share by which each axis' gradient has fallen on that axis at the radius; in the order of the columns.
    radius_m
        Of the imaging sphere [m].
    """
    place = np.asarray(position_m, dtype=np.float64)
    if not any(nonlinearity):
        return place
    squares = place**2
    total = squares.sum(axis=1)
    out = np.empty_like(place)
    for axis, share in enumerate(nonlinearity):
        own = squares[:, axis]
        out[:, axis] = place[:, axis] * (1.0 - share / (3 * radius_m**2) * (own - 1.5 * (total - own)))
    return out


def along_device(
    per_channel: tuple[float, float, float], channel_from_device: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Values that belong to channels x, y, z in the order of the device axes that those drive."""
    x, y, z = np.abs(channel_from_device).T @ np.asarray(per_channel, dtype=np.float64)
    return float(x), float(y), float(z)


N_MAXWELL: Final = 4
"""Quadratic functions of space that the concomitant field is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concomitant:
    """Concomitant field of a magnet.

    Attributes
    ----------
    axis
        Gradient channel whose axis lies along B0.
    larmor_hz
        Frequency of B0 [Hz].
    """

    axis: int
    larmor_hz: float

    def functions_m2(self, channel_m: Places) -> NDArray[np.float64]:
        """The functions at places in channel axes, shape ``(N_MAXWELL, n)`` [m2]."""
        x, y, z = (np.asarray(channel_m[:, (self.axis + step) % 3], dtype=np.float64) for step in (1, 2, 0))
        return np.stack([z * z, (x * x + y * y) / 4, -x * z, -y * z])

    def products(self, gradient: NDArray[np.floating]) -> NDArray[np.float64]:
        """Their strengths [Hz/m2] for gradients of three channels [Hz/m], shape ``(n, 3)`` to ``(n, N_MAXWELL)``."""
        gx, gy, gz = (gradient[:, (self.axis + step) % 3] for step in (1, 2, 0))
        return np.stack([gx * gx + gy * gy, gz * gz, gx * gz, gy * gz], axis=1) / (2 * self.larmor_hz)


def axis_along(field_axis: str, channel_from_device: NDArray[np.float64]) -> int:
    """Channel that drives a device axis ``x``, ``y`` or ``z``."""
    return int(np.argmax(np.abs(channel_from_device[:, "xyz".index(field_axis)])))


class ConcomitantMoments:
    """Integrals of the concomitant field's strengths over one run, exact for staircases."""

    def __init__(
        self, field: Concomitant, channels: tuple[Held, Held, Held], hz_per_m_per_code: NDArray[np.float64], tick_s: float
    ) -> None:
        ticks = np.unique(np.concatenate([channel.ticks for channel in channels]))
        codes = [channel.codes[np.maximum(np.searchsorted(channel.ticks, ticks, "right") - 1, 0)] for channel in channels]
        self._ticks, self._tick_s = ticks, tick_s
        self._rates = field.products(np.stack(codes, axis=1) * hz_per_m_per_code)
        passed = self._rates[:-1] * np.diff(ticks)[:, None] * tick_s
        self._turns = np.concatenate([np.zeros((1, N_MAXWELL)), np.cumsum(passed, axis=0)])

    def at(self, ticks: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Moments from the beginning to some ticks [turns/m2], shape ``(n, N_MAXWELL)``."""
        index = np.maximum(np.searchsorted(self._ticks, ticks, side="right") - 1, 0)
        return np.asarray(self._turns[index] + self._rates[index] * ((ticks - self._ticks[index]) * self._tick_s)[:, None])
