# SPDX-License-Identifier: MIT
"""Receive samples as a MaRCoS server sends them, to complex numbers with full scale 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ProtocolError

_FULL_SCALE = 2.0**31
_RESTART = "Restart the console's server and start the scan again."


def parse_samples(result: Any) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Samples of both receivers, in full scales of the 32-bit word.

    Parameters
    ----------
    result
        What ``run_seq`` or ``read_rx`` returned: 0, or lists of unsigned numbers that are int32 in two's complement.

    Raises
    ------
    ProtocolError
        When it is something else.
    """
    if isinstance(result, int) and not isinstance(result, bool):
        return np.empty(0, dtype=np.complex64), np.empty(0, dtype=np.complex64)
    if not isinstance(result, dict) or not {"rx0_i", "rx0_q", "rx1_i", "rx1_q"}.issuperset(result):
        raise ProtocolError("The console sent samples in a form that cannot be right.", _RESTART)
    return _complex(result, "rx0"), _complex(result, "rx1")


def _complex(result: dict[str, Any], receiver: str) -> NDArray[np.complex64]:
    real, imaginary = (_numbers(result.get(f"{receiver}_{part}", [])) for part in "iq")
    if len(real) != len(imaginary):
        raise ProtocolError(f"The console sent {len(real)} real and {len(imaginary)} imaginary parts of samples.", _RESTART)
    samples = np.empty(len(real), dtype=np.complex64)
    samples.real, samples.imag = real, imaginary
    return samples


def _numbers(values: Any) -> NDArray[np.float32]:
    if values == []:
        return np.empty(0, dtype=np.float32)
    try:
        array = np.array(values)
    except (OverflowError, ValueError, TypeError):
        array = np.empty((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= 2**32:
        raise ProtocolError("The console sent samples that are no 32-bit numbers.", _RESTART)
    return (array.astype(np.uint32).view(np.int32) / _FULL_SCALE).astype(np.float32)
