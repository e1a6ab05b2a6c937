# SPDX-License-Identifier: MIT
"""What kind of sequence it was, in DICOM's terms, from measured facts and the sequence's definitions."""

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.domain.events import Encoding
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume

_SPIN_ECHO: Final = re.compile(r"(?<![a-z])(tse|fse|rare|haste|se|mse|spin_?echo|turbo_?spin_?echo)(?![a-z])")
_GRADIENT_ECHO: Final = re.compile(
    r"(?<![a-z])(gre|flash|spgr|fgre|ge|grad_?echo|gradient_?echo|bssfp|trufi|localizer)(?![a-z])"
)
_PLANAR: Final = re.compile(r"(?<![a-z])(epi)(?![a-z])")
_STEADY_STATE: Final = re.compile(r"(?<![a-z])(bssfp|trufi)(?![a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceKind:
    """Scanning Sequence and Sequence Variant (0018,0020 and 0018,0021)."""

    scanning: tuple[str, ...]
    variant: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlane:
    """How the image plane was encoded.

    Attributes
    ----------
    phase_direction
        ``ROW`` or ``COL``: along which image axis the phase encoding runs.
    acquisition_matrix
        Frequency rows, frequency columns, phase rows, phase columns; two of them are 0.
    n_phase_steps
        Phase encoding steps in the plane.
    pixel_bandwidth_hz
        Receiver bandwidth of one voxel [Hz].
    percent_phase_fov
        Field of view along phase over that along read [%].
    is_3d
        With a second phase encoding.
    """

    phase_direction: str
    acquisition_matrix: tuple[int, int, int, int]
    n_phase_steps: int
    pixel_bandwidth_hz: float
    percent_phase_fov: int | float
    is_3d: bool


def sequence_kind(raw: RawScan) -> SequenceKind:
    """Kind of sequence; ``RM`` (research mode) when nothing says whether echoes are spin or gradient echoes.

    The sequence may say it itself: the definition ``ScanningSequence`` holds ``SE``, ``GR`` or ``EP``.
    """
    name = raw.definitions.get("Name", "").lower() or raw.name.lower()
    stated = raw.definitions.get("ScanningSequence", "").strip().upper()
    scanning = stated if stated in {"SE", "GR", "EP"} else _guess(name)
    train = raw.facts.echo_train_length if raw.facts else 1
    inverted = raw.facts is not None and math.isfinite(raw.facts.ti_s) and raw.facts.ti_s > 0
    variant = "NONE"
    if scanning == "SE" and train > 1:
        variant = "SK"
    elif scanning == "GR":
        variant = "SS" if _STEADY_STATE.search(name) else "SP"
    return SequenceKind(scanning=(scanning, "IR") if inverted else (scanning,), variant=(variant,))


def _guess(name: str) -> str:
    for pattern, term in ((_PLANAR, "EP"), (_SPIN_ECHO, "SE"), (_GRADIENT_ECHO, "GR")):
        if pattern.search(name):
            return term
    return "RM"


def in_plane(raw: RawScan, encoding: Encoding, volume: Volume) -> InPlane:
    """Encoding of the image plane, phase direction found from the compiled gradients and the image's geometry."""
    lps_from_device = raw.placement.lps_from_logical @ raw.placement.device_from_logical.T
    phase = lps_from_device @ encoding.step_lin_per_m
    geometry = volume.geometry
    along_row = abs(phase @ geometry.row_direction) > abs(phase @ geometry.column_direction)
    read_size = _unsampled(encoding, volume, along_row=bool(along_row))
    matrix = (read_size, 0, 0, encoding.n_lin) if along_row else (0, read_size, encoding.n_lin, 0)
    read_fov_m = read_size / (float(np.linalg.norm(encoding.step_read_per_m)) * encoding.n_samples)
    phase_fov_m = 1 / float(np.linalg.norm(encoding.step_lin_per_m))
    return InPlane(
        phase_direction="ROW" if along_row else "COL",
        acquisition_matrix=matrix,
        n_phase_steps=encoding.n_lin,
        pixel_bandwidth_hz=1 / (raw.dwell_s * encoding.n_samples),
        percent_phase_fov=100 * phase_fov_m / read_fov_m,
        is_3d=encoding.n_par > 1,
    )


def _unsampled(encoding: Encoding, volume: Volume, *, along_row: bool) -> int:
    """Readout matrix without oversampling: the kept field of view over the one that was sampled, times its samples."""
    axis = 1 if along_row else 2
    kept_m = float(volume.data.shape[axis]) * volume.geometry.spacing_m[axis]
    sampled_m = 1 / float(np.linalg.norm(encoding.step_read_per_m))
    return max(min(round(encoding.n_samples * kept_m / sampled_m), encoding.n_samples), 1)
