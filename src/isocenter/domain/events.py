# SPDX-License-Identifier: MIT
"""What a console plays: event tables on its clock, and what it will measure. Produced by ``compiler``.

Ticks are periods of the console's clock, counted from the start of a segment. **A value takes effect at the pin at its
tick**: whatever latency a channel has (an output register, the serial line to a DAC) is the driver's to compensate. The
delay of amplifiers and coils *after* the DAC is compensated by the compiler.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

CHANNELS: Final[tuple[str, ...]] = (
    "tx0_i",
    "tx0_q",
    "grad_vx",
    "grad_vy",
    "grad_vz",
    "rx0_rate",
    "rx0_en",
    "tx_gate",
    "rx_gate",
    "trig_out",
    "leds",
    "rx1_rate",
    "rx1_en",
)
"""Every channel that a table may hold, in fixed order. Values are integers:

tx0_i, tx0_q           -32767 ... 32767, the two parts of the RF envelope; 32767 is full scale
grad_vx, _vy, _vz      signed DAC codes, 0 is no current: OCRA1 -131072 ... 131071, GPA-FHDO -32768 ... 32767
rx0_rate               decimation of the receiver, 4 ... 4095; takes effect for the windows that follow
rx0_en                 1 while the receiver's decimator takes samples
rx1_rate, rx1_en       the same of the second receiver, where a sensor of interference is connected to it
tx_gate, rx_gate       RF amplifier unblanked; receiver connected
trig_out, leds         trigger output 0/1; eight digital outputs 0 ... 255
"""

GRADIENT_CHANNELS: Final[tuple[str, str, str]] = ("grad_vx", "grad_vy", "grad_vz")

TX_FULL_SCALE: Final = 32767


@dataclass(frozen=True, slots=True)
class Track:
    """One channel's changes: it holds ``values[i]`` from ``ticks[i]`` on. Before the first it is 0.

    Attributes
    ----------
    ticks
        Strictly increasing int64, shape ``(n,)`` [console ticks].
    values
        int32, shape ``(n,)``.
    """

    ticks: NDArray[np.int64]
    values: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readouts:
    """Windows in which samples are taken, in order of time, one row each; arrays of length n unless said otherwise.

    The receiver delivers ``n_raw`` samples, one every ``decimation`` ticks from ``window_tick`` on. ``recon.receive`` makes
    of them the ``n_samples`` that the sequence asked for, at ``first_sample_tick + i * dwell_ticks``.

    Attributes
    ----------
    block
        Row of the Pulseq block, int64.
    window_tick
        Tick at which ``rx0_en`` rises, relative to the segment's tick 0, int64.
    decimation, n_raw
        Ticks per raw sample, raw samples in the window, int32; ``rx0_en`` is high for their product.
    n_samples
        Samples that the sequence asked for, int32.
    first_sample_tick, dwell_ticks
        Centre of the first sample, relative to the segment's tick 0, and spacing [ticks], float64.
    phase_rad, frequency_hz
        The receiver's phase at the readout's first sample minus half a dwell (the start of the ADC event) and its
        frequency relative to the local oscillator [rad, Hz], float64. Samples are multiplied by
        ``exp(-i (phase + 2 pi frequency (t - t_start)))``.
    labels
        Pulseq labels at each readout by name (LIN, PAR, SLC, ECO, AVG, REP, SET, SEG, PHS, ACQ, NAV, REV, NOISE, ...),
        int32; only those that the sequence sets.
    bend_rad
        Further phase by which each sample is demodulated, float32, shape ``(n, largest n_samples)``: for a field of view off
        the isocenter whose readouts have gradients that change. Samples are multiplied by ``exp(-i bend)`` as well. None
        where no readout needs it.
    """

    block: NDArray[np.int64]
    window_tick: NDArray[np.int64]
    decimation: NDArray[np.int32]
    n_raw: NDArray[np.int32]
    n_samples: NDArray[np.int32]
    first_sample_tick: NDArray[np.float64]
    dwell_ticks: NDArray[np.float64]
    phase_rad: NDArray[np.float64]
    frequency_hz: NDArray[np.float64]
    labels: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    bend_rad: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.window_tick)

    def label(self, name: str) -> NDArray[np.int32]:
        """One label for each readout; zeros where the sequence never sets it."""
        return self.labels.get(name, np.zeros(len(self), dtype=np.int32))

    def slice(self, start: int, stop: int) -> "Readouts":
        """Rows ``start`` to ``stop`` as views."""
        part = slice(start, stop)
        return Readouts(
            block=self.block[part],
            window_tick=self.window_tick[part],
            decimation=self.decimation[part],
            n_raw=self.n_raw[part],
            n_samples=self.n_samples[part],
            first_sample_tick=self.first_sample_tick[part],
            dwell_ticks=self.dwell_ticks[part],
            phase_rad=self.phase_rad[part],
            frequency_hz=self.frequency_hz[part],
            labels={name: values[part] for name, values in self.labels.items()},
            bend_rad=None if self.bend_rad is None else self.bend_rad[part],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stretch of a scan that the console plays without a break.

    Attributes
    ----------
    index
        0, 1, 2 ...
    tracks
        Changes by channel name; a channel that stays 0 may be missing. All outputs are 0 at the end.
    end_tick
        Length [ticks]; no event lies at or behind it.
    start_s
        When it should start, counted from the start of the scan [s]. The runner waits for it, never starts earlier.
    readouts
        What it measures. Windows of dummy shots are not in it, and ``rx0_en`` stays 0 there.
    n_dummy_shots
        Shots played at its start only to bring the steady state back.
    shim_codes
        Gradient DAC codes that are the shim and stay on while the segment runs; the driver sets them before and takes
        them away after. Included in the tracks.
    """

    index: int
    tracks: Mapping[str, Track]
    end_tick: int
    start_s: float
    readouts: Readouts
    n_dummy_shots: int = 0
    shim_codes: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a Cartesian scan samples k-space, found from the compiled gradients, not from a form.

    k of sample i of the line (LIN, PAR) is, up to rounding,
    ``(i - centre_sample) * step_read + (LIN - centre_lin) * step_lin + (PAR - centre_par) * step_par``.

    Attributes
    ----------
    step_read_per_m, step_lin_per_m, step_par_per_m
        Steps in k-space along device axes [1/m], shape (3,). Zero vector where nothing is encoded that way.
    centre_sample, centre_lin, centre_par
        Where k is zero, in samples and label values, float.
    n_samples, n_lin, n_par
        Samples of a line; extent of the labels, from the file's definitions where it says so, else the largest seen + 1.
    slice_positions_m, slice_normal_device, slice_thickness_m
        For slice-selective scans: centre of each SLC along the normal [m], counted from ``centre_device_m``, shape
        (n_slices,), NaN for a label that no readout has; the normal; the thickness [m]. Empty, zero vector and 0 otherwise.
    centre_device_m
        Centre of the field of view in device axes [m], shape (3,). Samples are already shifted to it.
    """

    step_read_per_m: NDArray[np.float64]
    step_lin_per_m: NDArray[np.float64]
    step_par_per_m: NDArray[np.float64]
    centre_sample: float
    centre_lin: float
    centre_par: float
    n_samples: int
    n_lin: int
    n_par: int
    slice_positions_m: NDArray[np.float64]
    slice_normal_device: NDArray[np.float64]
    slice_thickness_m: float
    centre_device_m: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFacts:
    """What a technologist and DICOM want to know of a scan, measured on the compiled events.

    Attributes
    ----------
    duration_s
        From first to last event, gaps and dummies included [s].
    tr_s, te_s
        Time between excitations (median), and from excitation to the k-space centre (effective echo time) [s]; NaN if none.
    ti_s
        From inversion to excitation [s]; NaN if there is no inversion.
    echo_train_length
        Imaging readouts per excitation.
    flip_rad
        Flip angle of the excitation [rad].
    peak_b1_t, rf_duty
        Largest B1+ [T]; fraction of time with RF.
    b1_rms_t
        Root mean square of B1+ over the scan [T].
    peak_gradient_t_per_m, peak_slew_t_per_m_s, rms_gradient_t_per_m
        Per channel x, y, z, shim included.
    """

    duration_s: float
    tr_s: float
    te_s: float
    ti_s: float
    echo_train_length: int
    flip_rad: float
    peak_b1_t: float
    rf_duty: float
    b1_rms_t: float
    peak_gradient_t_per_m: tuple[float, float, float]
    peak_slew_t_per_m_s: tuple[float, float, float]
    rms_gradient_t_per_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScan:
    """A whole scan, ready to be checked and played.

    Attributes
    ----------
    scanner_name, clock_hz, lo_hz
        For which scanner; its clock [Hz]; frequency of the local oscillator [Hz].
    segments
        In order.
    readouts
        Those of all segments, in order; ``segment_of_readout`` says which segment each belongs to.
    gradient_t_per_m_per_code, tx_t_per_code
        What one DAC code of each gradient channel, and one TX code, is [T/m, T].
    definitions
        The ``[DEFINITIONS]`` of the sequence, text by key.
    encoding
        Cartesian encoding, or None if this is none (a spectrum, a radial scan; see ``trajectory_per_m``).
    facts
        Times, angles and loads.
    warnings
        Plain sentences that the operator should see.
    signature
        ``valid``, ``invalid``, ``absent`` or ``unknown type``: the state of the file's signature.
    trajectory_per_m
        Where each sample of the imaging readouts (neither NOISE nor NAV, in order) lies in k-space, device axes, counted
        from the centre of the field of view [1/m], float32, shape ``(n_imaging, n_samples, 3)``, NaN behind the end of a
        shorter readout. None where the encoding says it all, and where nothing is encoded.
    evolution_s
        How long the spins have turned freely at the first sample of each readout [s], float64, shape ``(n_readouts,)``:
        time since the excitation, inverted by each refocusing pulse, so 0 at a spin echo. A spin off by f has turned by
        ``2 pi f (evolution + i dwell)`` at sample i. NaN before the first pulse; empty when unknown.
    square_moments_per_m2
        What concomitant fields have left of phase at the first sample of each readout, but for the functions of space:
        integral of ``g_i g_j / (2 lo_hz)`` since the excitation, g the gradient in device axes [Hz/m], inverted by each
        refocusing pulse [turns/m2]; columns xx, yy, zz, xy, xz, yz, float32, shape ``(n_readouts, 6)``. Empty when unknown.
    """

    scanner_name: str
    clock_hz: float
    lo_hz: float
    segments: tuple[Segment, ...]
    readouts: Readouts
    segment_of_readout: NDArray[np.int32]
    gradient_t_per_m_per_code: tuple[float, float, float]
    tx_t_per_code: float
    definitions: dict[str, str]
    encoding: Encoding | None
    facts: ScanFacts
    warnings: tuple[str, ...] = ()
    signature: str = "absent"
    trajectory_per_m: NDArray[np.float32] | None = None
    evolution_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    square_moments_per_m2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 6), dtype=np.float32))
