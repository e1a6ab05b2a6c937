# SPDX-License-Identifier: MIT
"""Measured data of Tecmag's TNMR (``.tnt``).

Source: Tecmag, "A1 - TNMR File Format" (C structures, distributed with TNMR); offsets within the TMAG structure as published
with it. A file is eight bytes of version, then sections of a four-letter tag, a flag, a length (uint32, little endian) and
content: TMAG holds sizes, frequencies and dwell time, DATA the samples as pairs of float32, the first axis fastest.
"""

import math
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = re.compile(rb"TNT1\.\d\d\d")

_TMAG_LEAST: Final = 296
_ACTUAL_POINTS_AT: Final = 16
_FREQUENCY_MHZ_AT: Final = 84
_DWELL_S_AT: Final = 272
_TAG: Final = struct.Struct("<4sII")
_MAX_SECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TecmagData:
    """What a file holds.

    Attributes
    ----------
    samples
        complex64, the file's four axes without those of length 1; the readout first. Axes whose end was never measured are
        zero there.
    dwell_s, frequency_hz
        Sample spacing [s] and observed frequency [Hz]; 0 when the file does not say.
    n_missing
        Samples that the file should have and does not: it was cut off, or the measurement was stopped.
    """

    samples: NDArray[np.complex64]
    dwell_s: float
    frequency_hz: float
    n_missing: int


def read_tecmag(path: Path) -> TecmagData:
    """Samples of a file, also of one that was cut off within them.

    Raises
    ------
    ValueError
        It is damaged, or no such file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not MAGIC.fullmatch(file.read(8)):
            raise ValueError("it does not begin with TNT1")
        header, data_at, n_bytes = _find_sections(file, size)
        shape = struct.unpack_from("<4i", header, _ACTUAL_POINTS_AT)
        if min(shape) < 1:
            raise ValueError(f"it claims {' x '.join(map(str, shape))} points")
        n_wanted = math.prod(shape)
        available = min(n_bytes, size - data_at) // 8
        if n_wanted * 8 > 64 * size + 2**20 or available < 1:  # no more is asked of memory than a cut file could mean
            raise ValueError(f"it claims {n_wanted} points and holds {available}")
        file.seek(data_at)
        values = np.frombuffer(file.read(8 * min(available, n_wanted)), "<c8")
    samples = np.zeros(n_wanted, dtype=np.complex64)
    samples[: len(values)] = values
    kept = [n for n in shape if n > 1] or [n_wanted]
    dwell_s, frequency_mhz = (struct.unpack_from("<d", header, at)[0] for at in (_DWELL_S_AT, _FREQUENCY_MHZ_AT))
    return TecmagData(
        samples=samples.reshape(kept, order="F"),
        dwell_s=dwell_s if 0 < dwell_s < 1 else 0.0,
        frequency_hz=frequency_mhz * 1e6 if 0 < frequency_mhz < 1e4 else 0.0,
        n_missing=n_wanted - len(values),
    )


def _find_sections(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """TMAG's content, and where DATA begins and how long it claims to be."""
    header = b""
    for _ in range(_MAX_SECTIONS):
        head = file.read(_TAG.size)
        if len(head) < _TAG.size:
            break
        tag, _, length = _TAG.unpack(head)
        if tag == b"TMAG":
            header = file.read(min(length, 4096))
            if len(header) < _TMAG_LEAST:
                raise ValueError("its description is too short")
            file.seek(max(length - 4096, 0), os.SEEK_CUR)
        elif tag == b"DATA":
            if not header:
                raise ValueError("its data come before their description")
            return header, file.tell(), length
        elif file.tell() + length > size:
            break
        else:
            file.seek(length, os.SEEK_CUR)
    raise ValueError("it holds no data")
