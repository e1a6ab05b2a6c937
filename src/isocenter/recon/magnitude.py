# SPDX-License-Identifier: MIT
"""Magnitude of an image in memory as it will be shown, so that nothing copies it later."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.recon.compiled import loops
from isocenter.recon.display import Display
from isocenter.recon.fourier import Complex
from isocenter.recon.pages import give_back, pages_of

_WORTH: Final = 2**15


def displayed_magnitude(image: Complex, display: Display, *, is_spent: bool = False) -> NDArray[np.float32]:
    """Absolute value in the order of the encoding, its memory in that of the display.

    Parameters
    ----------
    image
        complex64, shape ``(n_z, n_y, n_x)``.
    is_spent
        The image is void afterwards: its memory goes back while the magnitude grows (``pages``).

    Returns
    -------
        float32, shape of the image, within one rounding of the exact value.
    """
    result = display.empty(image.shape, np.float32)
    is_returned = is_spent and pages_of(image) is not None
    step = 1 if is_returned else max(len(image), 1)
    compiled = loops("magnitude_loops") if image.size >= _WORTH and image.flags.c_contiguous else None
    plane = np.empty(image.shape[1:], dtype=np.float32) if compiled is None else None
    for start in range(0, len(image), step):
        part, target = image[start : start + step], result[start : start + step]
        if compiled is not None:
            compiled.magnitude_across(*_places(part, target))
        else:
            for index, values in enumerate(part):
                target[index] = np.abs(values, out=plane)
        if is_returned:
            give_back(image, (start + step) * part[0].nbytes)
    return result


def _places(image: Complex, result: NDArray[np.float32]) -> tuple[NDArray[np.float32 | np.int64], ...]:
    """What the loop wants: both as they lie in memory, and where their parts are."""
    memory = result
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    n_bytes = memory.itemsize
    first = (result.ctypes.data - memory.ctypes.data) // n_bytes
    taken = (0, image.strides[0] // n_bytes, image.strides[1] // n_bytes)
    given = (first, *(stride // n_bytes for stride in result.strides))
    sizes, taken_at, given_at = (np.array(numbers, dtype=np.int64) for numbers in (image.shape, taken, given))
    return image.reshape(-1).view(np.float32), memory.reshape(-1), sizes, taken_at, given_at
