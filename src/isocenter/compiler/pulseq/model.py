# SPDX-License-Identifier: MIT
"""A Pulseq file as arrays: one row a block or event, times in seconds, shapes decompressed.

Event tables are indexed by *row*; the reader has already turned the file's ids into rows. In ``Blocks`` a row of -1 means
"none". All versions (1.2 to 1.5.1) come out in the terms of 1.5.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Blocks in the order in which they are played, shape ``(n_blocks,)`` each.

    Attributes
    ----------
    duration_s
        Length [s], float64.
    rf, gx, gy, gz, adc
        Row of the event in its table, -1 for none. gx, gy, gz are rows of ``gradients``.
    extension
        Row of the block's extension set in ``PulseqFile.extension_sets``, -1 for none.
    number
        The block's number in the file.
    """

    duration_s: Floats
    rf: Ints
    gx: Ints
    gy: Ints
    gz: Ints
    adc: Ints
    extension: Ints
    number: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class RfEvents:
    """RF pulses.

    Attributes
    ----------
    amplitude_hz, delay_s, center_s
        Peak; start of the shape within the block; the pulse's centre after that start [Hz, s, s] (computed from the shape
        for files before 1.5).
    frequency_hz, phase_rad, frequency_ppm, phase_ppm
        Offsets; the ppm parts are added times the Larmor frequency in MHz (Hz/ppm, rad/ppm).
    use
        e excitation, r refocusing, i inversion, s saturation, p preparation, o other, u undefined.
    times_s, envelope
        For each pulse: sample times after its start [s] and complex samples of magnitude at most 1 (amplitude not
        applied), shape ``(n_samples,)``. Samples are raster centres unless the file gives times. Pulses with the same
        shapes share one array, so ``is`` tells that they are equal.
    duration_s
        Length of each shape, edges included [s].
    on_raster
        True where samples stand for whole raster intervals (hold), False where they are points to join by lines.
    """

    amplitude_hz: Floats
    delay_s: Floats
    center_s: Floats
    frequency_hz: Floats
    phase_rad: Floats
    frequency_ppm: Floats
    phase_ppm: Floats
    use: NDArray[np.str_]
    times_s: tuple[Floats, ...]
    envelope: tuple[NDArray[np.complex128], ...]
    duration_s: Floats
    on_raster: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientEvents:
    """Gradients, trapezoids and free shapes alike, as points joined by straight lines.

    Attributes
    ----------
    amplitude_hz_per_m
        Factor on the shape [Hz/m].
    delay_s
        Start within the block [s].
    times_s, shape
        For each event: times after its start [s] and values (amplitude not applied), from the event's first edge to its
        last, shape ``(n_points,)``. A trapezoid has 4 points (3 without a flat top). Times always increase: a ramp without
        length has no point of its own, so such an event starts or ends at its full value. Events of the same shape may
        share one array.
    is_trapezoid
        True for events of the [TRAP] table.
    """

    amplitude_hz_per_m: Floats
    delay_s: Floats
    times_s: tuple[Floats, ...]
    shape: tuple[Floats, ...]
    is_trapezoid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdcEvents:
    """Readouts.

    Attributes
    ----------
    n_samples
        Samples, int64.
    dwell_s, delay_s
        Spacing; start within the block [s]. Sample i lies at ``delay + dwell * (i + 1/2)``.
    frequency_hz, phase_rad, frequency_ppm, phase_ppm
        Offsets, as for RF.
    phase_shape_rad
        For each event extra phase per sample [rad], empty where the file gives none.
    """

    n_samples: Ints
    dwell_s: Floats
    delay_s: Floats
    frequency_hz: Floats
    phase_rad: Floats
    frequency_ppm: Floats
    phase_ppm: Floats
    phase_shape_rad: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A digital output pulse or a wait for an input.

    Attributes
    ----------
    is_output
        True: play a pulse; False: wait for a signal.
    channel
        The file's channel number.
    delay_s, duration_s
        Within the block [s].
    """

    is_output: bool
    channel: int
    delay_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftDelay:
    """A delay whose length the operator may set: block duration = input / factor + offset."""

    number: int
    offset_s: float
    factor: float
    hint: str


class ExtensionSet(NamedTuple):
    """Everything that one extension list attaches to a block. A tuple, since a scan may have one for each readout.

    Attributes
    ----------
    label_set, label_increment
        ``(label, value)`` pairs; within a block all sets come before all increments.
    rotation
        Unit quaternion (w, x, y, z), None for none.
    rf_shim
        Complex weight of each transmit channel, None for none.
    """

    triggers: tuple[Trigger, ...] = ()
    label_set: tuple[tuple[str, int], ...] = ()
    label_increment: tuple[tuple[str, int], ...] = ()
    soft_delay: SoftDelay | None = None
    rotation: tuple[float, float, float, float] | None = None
    rf_shim: tuple[complex, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseqFile:
    """A whole file.

    Attributes
    ----------
    version
        (major, minor, revision).
    definitions
        Text by key.
    gradient_raster_s, rf_raster_s, adc_raster_s, block_raster_s
        Rasters [s].
    signature
        ``valid``, ``invalid``, ``absent`` or ``unknown type``.
    warnings
        Plain sentences, such as about unknown optional extensions.
    """

    version: tuple[int, int, int]
    definitions: dict[str, str]
    gradient_raster_s: float
    rf_raster_s: float
    adc_raster_s: float
    block_raster_s: float
    blocks: Blocks
    rf: RfEvents
    gradients: GradientEvents
    adc: AdcEvents
    extension_sets: tuple[ExtensionSet, ...]
    signature: str
    warnings: tuple[str, ...] = field(default=())
