# SPDX-License-Identifier: MIT
"""Whole numbers out of text in one pass (numba); most of a sequence file is these."""

import numba
import numpy as np
from numpy.typing import NDArray

MAX_DIGITS = 18
"""As many as always fit into 64 bits."""


@numba.njit(cache=True, nogil=True)
def read_integers(text: NDArray[np.uint8], n_lines: int) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Numbers without a sign, how many each line has, and whether every word is one.

    Parameters
    ----------
    text
        Bytes; the last one is a line break. Whatever is not above a space parts words.
    n_lines
        Number of line breaks.
    """
    values, counts = np.empty((len(text) + 1) // 2, dtype=np.int64), np.zeros(n_lines, dtype=np.int64)
    zero = np.int64(0)
    n, line, value, length, is_sound = 0, 0, zero, 0, True
    for byte in text:
        if byte > 32:
            digit = np.int64(byte) - 48
            is_sound = is_sound and bool(0 <= digit <= 9)
            value = value * 10 + digit
            length += 1
            continue
        if length:
            values[n] = value
            n += 1
            counts[line] += 1
            is_sound = is_sound and length <= MAX_DIGITS
            value, length = zero, 0
        line += byte == 10
    return values[:n], counts, is_sound
