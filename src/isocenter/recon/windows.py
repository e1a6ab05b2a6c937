# SPDX-License-Identifier: MIT
"""Windows over k-space: less ringing and noise for some blur."""

import math
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Filter(StrEnum):
    """Kinds of windows."""

    NONE = "none"
    HANN = "hann"
    TUKEY = "tukey"
    FERMI = "fermi"
    GAUSS = "gauss"


DEFAULT_WIDTH: Final = {Filter.NONE: 1.0, Filter.HANN: 1.0, Filter.TUKEY: 0.5, Filter.FERMI: 0.05, Filter.GAUSS: 0.6}
"""Of each kind when nobody chose one."""


def window(
    kind: Filter, n_samples: int, centre: float, half_width: float, width: float | None = None
) -> NDArray[np.float32]:
    """Weights of the samples of one axis, 1 at the centre, shape ``(n_samples,)``.

    Parameters
    ----------
    centre
        Index of k = 0.
    half_width
        Samples from there to the edge of k-space.
    width
        In half axes. Hann: where it reaches zero. Tukey: the part that falls off. Fermi: width of the fall-off at 0.9.
        Gauss: where it has fallen to a half. None: 1, 0.5, 0.05 and 0.6.
    """
    reach = np.minimum(np.abs(np.arange(n_samples) - centre) / max(half_width, 0.5), 1.0)
    width = DEFAULT_WIDTH[kind] if width is None else width
    if kind is Filter.HANN:
        weights = 0.5 + 0.5 * np.cos(np.pi * np.minimum(reach / width, 1.0))
    elif kind is Filter.TUKEY:
        weights = 0.5 + 0.5 * np.cos(np.pi * np.clip((reach - (1 - width)) / width, 0.0, 1.0))
    elif kind is Filter.FERMI:
        weights = 1 / (1 + np.exp((reach - 0.9) / width)) * (1 + math.exp(-0.9 / width))
    elif kind is Filter.GAUSS:
        weights = np.exp(-math.log(2) * (reach / width) ** 2)
    else:
        weights = np.ones(n_samples)
    return np.asarray(weights, dtype=np.float32)
