# SPDX-License-Identifier: MIT
"""What a person may choose about a Cartesian reconstruction."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.recon.windows import Filter, window

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
        In half axes, see ``windows.window``; None for the usual one.
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
        return window(self.filter, n_samples, centre, half_width, self.filter_width)
