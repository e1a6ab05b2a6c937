# SPDX-License-Identifier: MIT
"""Pictures of what is not yet an image, to look at a reconstruction between its steps."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.volume import Volume
from isocenter.recon.foreign import plain_volume

_MOST: Final = 64
_SIDE: Final = 512
_RANGE: Final = 1e-4


def view_of(data: NDArray[Any], *, is_image: bool) -> Volume:
    """Some planes of an array of readouts, k-space or images as a volume without a place.

    The last two axes are a plane; readouts are shown over time. K-space is shown as its logarithm, over four decades.
    """
    planes = data.swapaxes(0, 1) if data.ndim == 3 and not is_image else data
    planes = planes.reshape(-1, *planes.shape[-2:])
    planes = planes[np.unique(np.linspace(0, len(planes) - 1, min(len(planes), _MOST)).astype(np.int64))]
    steps = [-(-size // _SIDE) for size in planes.shape[1:]]
    shown: NDArray[np.float32] = np.abs(planes[:, :: steps[0], :: steps[1]]).astype(np.float32)
    if not is_image:
        floor = max(float(shown.max()) * _RANGE, 1e-30)
        shown = np.log10(np.maximum(shown / np.float32(floor), np.float32(1)))
    return plain_volume(shown, "intermediate result")
