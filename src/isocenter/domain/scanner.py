# SPDX-License-Identifier: MIT
"""What one scanner is and may do. Built from a hardware file by ``config``; immutable; passed as an argument."""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.device import DeviceLink
from isocenter.domain.limits import GradientThermal, NerveModel, PatientSafety
from isocenter.domain.units import GAMMA_HZ_PER_T, b0_t_from_larmor


class Evidence(StrEnum):
    """How well a value of a hardware file is known."""

    MEASURED = "measured"
    SPECIFIED = "specified"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value of a hardware file comes from."""

    evidence: Evidence
    source: str


class GradientBoard(StrEnum):
    """The gradient boards that a MaRCoS console drives."""

    OCRA1 = "ocra1"
    GPA_FHDO = "gpa-fhdo"


def board_spacing_ticks(board: GradientBoard, spi_divider: int) -> int:
    """Shortest time between two updates of a gradient board [console ticks].

    On a GPA-FHDO between updates of any two channels, since they share one line; on an OCRA1 between two moments at which
    any of its channels change.

    Source
    ------
    reference marcos.md 11.1: OCRA1 24 (div + 1) + 5, GPA-FHDO 26 (div + 1) + 2. Two more ticks on an OCRA1, seen on the
    simulated hardware: the line must also be free for the words that are stored before the one that starts a transfer.
    """
    return 24 * (spi_divider + 1) + 7 if board is GradientBoard.OCRA1 else 26 * (spi_divider + 1) + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Magnet:
    """The magnet and the space in it.

    Attributes
    ----------
    larmor_hz
        Nominal proton frequency [Hz]; B0 follows from it.
    search_span_hz
        Half width of the window in which the prescan looks for the frequency [Hz].
    bore_m, imaging_diameter_m
        Free bore and the diameter of the imaging sphere [m].
    homogeneity_ppm
        Peak-to-peak field variation over the imaging sphere [ppm], NaN when unknown.
    drift_hz_per_c
        Change of frequency with magnet temperature [Hz/K].
    """

    larmor_hz: float
    search_span_hz: float
    bore_m: float
    imaging_diameter_m: float
    homogeneity_ppm: float
    drift_hz_per_c: float

    @property
    def b0_t(self) -> float:
        """Main field [T]."""
        return b0_t_from_larmor(self.larmor_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientAxis:
    """One gradient channel with its amplifier and coil.

    Attributes
    ----------
    full_scale_t_per_m
        Gradient at a DAC value of +1, sign included in ``GradientSystem.channel_from_device`` [T/m].
    max_t_per_m
        Largest allowed amplitude, shim included [T/m].
    max_slew_t_per_m_s
        Largest allowed slew rate [T/m/s].
    max_rms_t_per_m
        Largest allowed root mean square over one second [T/m]; protects amplifier and coil from heat.
    delay_s
        Delay of amplifier and coil after the DAC [s]; the compiler plays that much earlier.
    thermal, nerve
        Amplifier and coil of this channel, and how it stimulates nerves; each None when unknown.
    """

    full_scale_t_per_m: float
    max_t_per_m: float
    max_slew_t_per_m_s: float
    max_rms_t_per_m: float
    delay_s: float
    thermal: GradientThermal | None = None
    nerve: NerveModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSystem:
    """The three gradient channels and their board.

    Attributes
    ----------
    board, spi_divider
        Which DAC board, and the divider of its SPI clock.
    update_interval_s
        Shortest time between two updates of one channel that the compiler uses [s]. At least the board's own minimum
        (on a GPA-FHDO times the number of channels, since they share one line).
    axes
        Channels x, y, z.
    channel_from_device
        Signed permutation, shape (3, 3): ``channel = channel_from_device @ device``. How this magnet is wired.
    board_full_scale_a
        Current of a GPA-FHDO at full scale [A]; NaN when unknown: then its currents are not read back.
    """

    board: GradientBoard
    spi_divider: int
    update_interval_s: float
    axes: tuple[GradientAxis, GradientAxis, GradientAxis]
    channel_from_device: NDArray[np.float64]
    board_full_scale_a: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class RfSystem:
    """Transmitter, its amplifier and coil.

    Attributes
    ----------
    full_scale_t
        B1+ (rotating frame) at a TX amplitude of 1 [T].
    warmup_s
        The amplifier is unblanked this long before a pulse [s].
    hold_s
        It stays unblanked this long after a pulse [s].
    dead_time_s
        From the end of a pulse until reception can start [s]: ring-down of the coil. At least ``hold_s``.
    max_pulse_s
        Longest single pulse [s].
    max_duty
        Largest fraction of time with RF, over any second and over the scan.
    """

    full_scale_t: float
    warmup_s: float
    hold_s: float
    dead_time_s: float
    max_pulse_s: float
    max_duty: float

    @property
    def full_scale_hz(self) -> float:
        """The same as a nutation frequency [Hz], the unit of Pulseq."""
        return self.full_scale_t * GAMMA_HZ_PER_T


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Receive coil and chain.

    Attributes
    ----------
    oversampling
        Raw samples per requested sample, at least; the rest is filtered away in software.
    volts_per_unit
        Voltage at the console's input for a sample of magnitude 1 [V], NaN when unknown.
    coil_bandwidth_hz
        3 dB bandwidth of the loaded coil [Hz], NaN when unknown.
    coil_name
        Name of the coil as DICOM shows it, at most 16 characters.
    n_sensors
        Further inputs of the console at which an antenna hears interference only.
    gain_db
        Of everything between coil and console but the attenuator [dB], NaN when unknown.
    """

    oversampling: int
    volts_per_unit: float
    coil_bandwidth_hz: float
    coil_name: str
    n_sensors: int = 0
    gain_db: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLink:
    """Where the console is and how its clock runs.

    Attributes
    ----------
    family
        Which driver, such as ``marcos``.
    host, port
        Address on the network.
    clock_hz
        Clock on which everything is played [Hz].
    segment_gap_s
        Time between the end of one segment and the start of the next that the link needs [s].
    tx_phase_sign
        1: the console's transmit mixer turns as the family's public design says; -1: the other way, as a loop-back showed.
    """

    family: str
    host: str
    port: int
    clock_hz: float
    segment_gap_s: float
    tx_phase_sign: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Everything the program knows about one scanner.

    Attributes
    ----------
    name
        Short name, the stem of its hardware file.
    title, manufacturer, model, serial_number, station_name, institution
        Text for people and for DICOM.
    body_parts
        DICOM body parts it is made for, such as ``HEAD``.
    origins
        Where each value comes from, by dotted key of the hardware file.
    safety
        What is known of a patient's exposure.
    devices
        What it is connected to besides its console.
    """

    name: str
    title: str
    manufacturer: str
    model: str
    serial_number: str
    station_name: str
    institution: str
    body_parts: tuple[str, ...]
    magnet: Magnet
    gradients: GradientSystem
    rf: RfSystem
    receiver: Receiver
    console: ConsoleLink
    origins: dict[str, Origin] = field(default_factory=dict)
    safety: PatientSafety = field(default_factory=PatientSafety)
    devices: tuple[DeviceLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a prescan found, as one scan uses it. A scan keeps the copy it ran with.

    Attributes
    ----------
    larmor_hz
        Measured frequency [Hz]; the local oscillator is set to it.
    rf_scale
        Measured B1+ at full scale over the hardware file's, dimensionless.
    shim_t_per_m
        Constant gradient added on channels x, y, z [T/m].
    measured_at
        When, ISO 8601, empty when this is only the hardware file's nominal value.
    gradient_scale
        Measured gradient of channels x, y, z over the hardware file's, dimensionless, positive.
    gradient_delay_s
        Measured delay of channels x, y, z beyond the hardware file's [s].
    """

    larmor_hz: float
    rf_scale: float = 1.0
    shim_t_per_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    measured_at: str = ""
    gradient_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gradient_delay_s: tuple[float, float, float] = (0.0, 0.0, 0.0)


def nominal_calibration(scanner: Scanner) -> Calibration:
    """Calibration that only knows the hardware file."""
    return Calibration(larmor_hz=scanner.magnet.larmor_hz)


def with_measured_gradients(scanner: Scanner, calibration: Calibration) -> Scanner:
    """The scanner as its gradients were measured: what a code gives, and how late it comes.

    Limits stay what they are, since they hold for true gradients. A stronger gradient may need less current or the same:
    nobody knows whether amplifier or coil is stronger, so the larger current counts.

    Returns
    -------
        The very same scanner when nothing was measured.
    """
    if calibration.gradient_scale == (1.0, 1.0, 1.0) and calibration.gradient_delay_s == (0.0, 0.0, 0.0):
        return scanner
    axes = [
        _as_measured(axis, scale, delay_s)
        for axis, scale, delay_s in zip(
            scanner.gradients.axes, calibration.gradient_scale, calibration.gradient_delay_s, strict=True
        )
    ]
    return replace(scanner, gradients=replace(scanner.gradients, axes=(axes[0], axes[1], axes[2])))


def as_measured(scanner: Scanner, calibration: Calibration) -> Scanner:
    """The scanner as its gradients and its transmitter were measured: what exposures are computed with.

    A field that is stronger than the hardware file's may come from a stronger amplifier or a better coil: nobody knows
    which, so the larger power counts. A weaker one needs larger amplitudes, which are counted anyway.
    """
    scanner, factor = with_measured_gradients(scanner, calibration), max(calibration.rf_scale, 1.0) ** 2
    if factor == 1.0:
        return scanner
    return replace(scanner, safety=replace(scanner.safety, forward_power_w=scanner.safety.forward_power_w * factor))


def _as_measured(axis: GradientAxis, scale: float, delay_s: float) -> GradientAxis:
    thermal = axis.thermal
    if thermal is not None:
        thermal = replace(thermal, a_per_t_per_m=thermal.a_per_t_per_m / min(scale, 1.0))
    return replace(axis, full_scale_t_per_m=axis.full_scale_t_per_m * scale, delay_s=axis.delay_s + delay_s, thermal=thermal)
