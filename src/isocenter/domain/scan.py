# SPDX-License-Identifier: MIT
"""What a person asks to be scanned, and what the runner reports about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from isocenter.domain.geometry import Orientation
from isocenter.domain.pipeline import StepOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceInfo:
    """What a sequence file says of itself.

    Attributes
    ----------
    name
        Stem of the file, such as ``tse_3d``.
    title, summary
        For people: ``3D turbo spin echo``; one sentence.
    recon
        What its data become: ``cartesian`` or ``noncartesian`` (images), ``spectrum`` or ``noise``.
    is_clinical
        True when a technologist should be offered it.
    path
        The file.
    pipeline
        Steps from its data to images; empty for the usual ones of its kind.
    """

    name: str
    title: str
    summary: str
    recon: str
    is_clinical: bool
    path: str
    pipeline: tuple[StepOrder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescription:
    """Where to scan, in words a technologist uses. Patient axes, metres, radians.

    Attributes
    ----------
    orientation
        Of the slices or the slab.
    centre_lps_m
        Centre of the field of view relative to isocenter.
    tilt_rad
        About the row direction, then about the column direction.
    swap_read_phase
        Read out along image columns instead of rows.
    """

    orientation: Orientation = Orientation.AXIAL
    centre_lps_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tilt_rad: tuple[float, float] = (0.0, 0.0)
    swap_read_phase: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A sequence with its parameters and place: one entry of a queue.

    Attributes
    ----------
    name
        What the technologist calls it, such as ``T2 TSE axial``; becomes DICOM's SeriesDescription.
    sequence
        Name of a sequence, or path of a ``.seq`` file.
    parameters
        SI values of parameters that differ from the defaults.
    """

    name: str
    sequence: str
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    prescription: Prescription = field(default_factory=Prescription)


class ScanState(StrEnum):
    """States of the runner: IDLE → PREPARING → ARMED → SCANNING → FINISHING → IDLE."""

    IDLE = "idle"
    PREPARING = "preparing"
    ARMED = "armed"
    SCANNING = "scanning"
    FINISHING = "finishing"


class EndReason(StrEnum):
    """How a scan ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanProgress:
    """Frozen snapshot that the runner publishes.

    Attributes
    ----------
    state
        Of the runner.
    segment, n_segments
        Segments played so far, and all of them.
    elapsed_s, remaining_s
        Of this scan, NaN when not known.
    readouts, n_readouts
        Measured so far, and all.
    """

    state: ScanState
    segment: int = 0
    n_segments: int = 0
    elapsed_s: float = 0.0
    remaining_s: float = float("nan")
    readouts: int = 0
    n_readouts: int = 0
