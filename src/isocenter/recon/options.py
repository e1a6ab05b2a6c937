# SPDX-License-Identifier: MIT
"""What a person may choose about a Cartesian reconstruction."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError


class Filter(StrEnum):
    """Window over k-space: less ringing and noise for some blur."""

    NONE = "none"
    HANN = "hann"
    TUKEY = "tukey"
    FERMI = "fermi"


_DEFAULT_WIDTH: Final = {Filter.NONE: 0.0, Filter.HANN: 1.0, Filter.TUKEY: 0.5, Filter.FERMI: 0.05}

MAX_MATRIX: Final = 2048
"""Largest image side that is made; a mistyped zero must not take the memory of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconOptions:
    """Choices for ``reconstruct``; the defaults change nothing that was measured.

    Attributes
    ----------
    filter
        Window over k-space, applied along every encoded axis.
    filter_width
        Tukey: part of the half axis that falls off, 0 ... 1. Fermi: width of the fall-off in half axes. None: 0.5 and 0.05.
    zero_fill
        Image voxels per encoded one along each axis, 1 or more.
    matrix
        Voxels along read, phase and second phase instead of ``zero_fill``; 0 leaves that axis as it was encoded. The last
        does nothing to selected slices.
    oversampling
        Readout samples per wanted voxel; None takes it from the sequence's definitions.
    keep_phase
        Complex images of a single channel instead of the magnitude.
    """

    filter: Filter = Filter.NONE
    filter_width: float | None = None
    zero_fill: float | None = None
    matrix: tuple[int, int, int] | None = None
    oversampling: float | None = None
    keep_phase: bool = False

    def __post_init__(self) -> None:
        if self.zero_fill is not None and not 1 <= self.zero_fill <= 16:
            raise ReconError(f"Zero-filling by {self.zero_fill:g} is not possible.", "Choose a factor from 1 to 16.")
        if self.zero_fill is not None and self.matrix is not None:
            raise ReconError("Both a zero-filling factor and a matrix were given.", "Give one of the two.")
        if self.matrix is not None and not all(0 <= size <= MAX_MATRIX for size in self.matrix):
            shown = " x ".join(map(str, self.matrix))
            raise ReconError(f"A matrix of {shown} is not possible.", f"Give sizes from 1 to {MAX_MATRIX}.")
        if self.oversampling is not None and not (self.oversampling >= 1 and math.isfinite(self.oversampling)):
            raise ReconError(f"A readout oversampling of {self.oversampling:g} is not possible.", "Give 1 or more.")
        width = self.filter_width
        if width is not None and not 0 < width <= 1:
            raise ReconError(f"A filter width of {width:g} is not possible.", "Give more than 0 and at most 1.")

    def window(self, n_samples: int, centre: float, half_width: float) -> NDArray[np.float32]:
        """Weights of the samples of one axis, 1 at the centre, shape ``(n_samples,)``.

        Parameters
        ----------
        centre
            Index of k = 0.
        half_width
            Samples from there to the edge of k-space.
        """
        reach = np.minimum(np.abs(np.arange(n_samples) - centre) / max(half_width, 0.5), 1.0)
        width = _DEFAULT_WIDTH[self.filter] if self.filter_width is None else self.filter_width
        if self.filter is Filter.HANN:
            weights = 0.5 + 0.5 * np.cos(np.pi * reach)
        elif self.filter is Filter.TUKEY:
            weights = 0.5 + 0.5 * np.cos(np.pi * np.clip((reach - (1 - width)) / width, 0.0, 1.0))
        elif self.filter is Filter.FERMI:
            weights = 1 / (1 + np.exp((reach - 0.9) / width)) * (1 + math.exp(-0.9 / width))
        else:
            weights = np.ones(n_samples)
        return np.asarray(weights, dtype=np.float32)

    def describe_filter(self) -> str:
        """Kind and width as text for the provenance."""
        width = _DEFAULT_WIDTH[self.filter] if self.filter_width is None else self.filter_width
        return f"{self.filter}, width {width:g}" if self.filter in {Filter.TUKEY, Filter.FERMI} else str(self.filter)
