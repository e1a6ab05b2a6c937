# SPDX-License-Identifier: MIT
"""What lies in a virtual scanner and everything that is wrong with it. Same scenario, same seed: same result.

Each fault is off by its default. Positions and directions are in device axes unless said otherwise.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from isocenter.domain.geometry import PatientPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnetFaults:
    """What is wrong with the main field.

    Attributes
    ----------
    frequency_offset_hz
        True frequency at the isocenter minus the hardware file's, at the start [Hz].
    spread_hz
        Peak-to-peak frequency over the imaging sphere of a random field of solid harmonics of order 1 to 3 [Hz].
    harmonics_hz
        Coefficients of chosen solid harmonics [Hz at the radius of the imaging sphere], by name (``z2``, ``xy`` ...);
        added to the random field.
    table
        CSV file of a measured field with columns X, Y, Z, B0 [m, T]; its mean over the imaging sphere is taken as the
        centre frequency. Empty for none.
    temperature_c, drift_c_per_s
        Magnet temperature at the start [degree C] and how it changes [K/s]; the hardware file says how much field that is.
    drift_settling_s
        Time constant with which the change dies out [s]; 0: it goes on for ever.
    jump_c, jump_s
        A sudden change of temperature [K] and when it comes, on the scanner's clock [s].
    has_concomitant
        Maxwell terms of the gradients, for a field along ``field_axis``.
    field_axis
        Direction of B0 in device axes, ``x``, ``y`` or ``z``; across the bore in a Halbach magnet.
    """

    frequency_offset_hz: float = 0.0
    spread_hz: float = 0.0
    harmonics_hz: dict[str, float] = field(default_factory=dict)
    table: str = ""
    temperature_c: float = 25.0
    drift_c_per_s: float = 0.0
    drift_settling_s: float = 0.0
    jump_c: float = 0.0
    jump_s: float = 0.0
    has_concomitant: bool = False
    field_axis: str = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class EddyTerm:
    """One exponential of an eddy current: after a step of the gradient a share that dies out with a time constant.

    Attributes
    ----------
    channel
        ``x``, ``y`` or ``z``: which gradient makes it.
    share
        Field left just after a step, over the step; negative opposes it.
    time_constant_s
        With which it dies out [s].
    is_b0
        True: it shifts the whole field, by ``share`` of the field at 0.1 m from the centre, instead of making a gradient.
    """

    channel: str
    share: float
    time_constant_s: float
    is_b0: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFaults:
    """What is wrong with the gradients, per channel x, y, z.

    Attributes
    ----------
    delay_s
        Beyond the delay of the hardware file, which the compiler takes into account [s].
    scale
        True gradient over the one that the hardware file says.
    nonlinearity
        Loss of gradient at the radius of the imaging sphere: along the channel's own axis the gradient falls by this share
        (third-order solid harmonics).
    eddy
        Eddy currents.
    ripple_t_per_m, ripple_hz
        Amplitude of the amplifiers' ripple [T/m] and its frequency [Hz].
    """

    delay_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nonlinearity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    eddy: tuple[EddyTerm, ...] = ()
    ripple_t_per_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ripple_hz: float = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoilFaults:
    """What is wrong with the transmitter and the coil.

    Attributes
    ----------
    b1_fall_db
        About how much the transmit and receive fields fall towards the edge of the imaging sphere [dB].
    transmit_scale
        True B1 over the one that the hardware file says.
    compression
        Loss of the power amplifier at full scale: output is ``a (1 - compression a^2)`` for an input ``a`` of 0 ... 1.
    ring_down_s
        Time constant with which the coil's own oscillation dies out after a pulse [s]; 0 for none.
    ring_down_level
        What the receiver hears of a full-scale pulse just after its end [1 = receiver full scale].
    is_disconnected
        The receive cable is broken: noise and interference only.
    n_receive
        Receive coils: 1 is one coil around the patient, more are loops in a ring around the bore.
    """

    b1_fall_db: float = 0.0
    transmit_scale: float = 1.0
    compression: float = 0.0
    ring_down_s: float = 0.0
    ring_down_level: float = 0.0
    is_disconnected: bool = False
    n_receive: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFaults:
    """What is wrong with the receive chain.

    Attributes
    ----------
    noise
        Thermal noise over that of a good 50 mT head coil; 0 for none.
    gain_db
        Gain over the one that brings a head to a fifth of full scale [dB].
    adc_bits
        Bits of the converter; 0 for a perfect one. One with bits clips at full scale.
    dropouts_hz
        Readouts whose samples are lost, on average [per second].
    sensor_leak
        Share of the coil's signal that each sensor hears.
    """

    noise: float = 0.0
    gain_db: float = 0.0
    adc_bits: int = 0
    dropouts_hz: float = 0.0
    sensor_leak: float = 0.0


class InterferenceKind(StrEnum):
    """Kinds of sources outside the scanner."""

    TONE = "tone"
    MAINS_COMB = "mains-comb"
    BROADBAND = "broadband"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """One source outside the scanner.

    Attributes
    ----------
    kind
        A tone, a comb of lines at multiples of the mains frequency, or noise through a band.
    level
        What the receive coil picks up of it, root mean square [1 = receiver full scale].
    frequency_hz
        Of a tone and of the middle of a comb or band, relative to the magnet's nominal frequency [Hz].
    width_hz
        Width of a comb or band [Hz]; how much a tone's frequency wanders.
    modulation_hz
        Frequency with which its strength changes [Hz]; 0 for none. For a comb: the mains frequency.
    """

    kind: InterferenceKind
    level: float
    frequency_hz: float = 0.0
    width_hz: float = 0.0
    modulation_hz: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionStep:
    """From a time on the patient lies elsewhere.

    Attributes
    ----------
    start_s
        Virtual time [s].
    shift_lps_m
        Total shift from the first place, patient axes [m].
    turn_lps_rad
        Total turn about the patient's axes L, P, S through the isocenter, as a rotation vector [rad].
    """

    start_s: float
    shift_lps_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_lps_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How the patient moves.

    Attributes
    ----------
    steps
        In order of time.
    breathing_lps_m
        Amplitude of a regular motion [m]; the position follows ``sin^4``, resting at the end of breathing out.
    breathing_period_s
        Its period [s].
    restless_hz, restless_m
        Random moves: how often on average [per second], and their root mean square [m]; each also turns the
        head by as much at 0.1 m.
    """

    steps: tuple[MotionStep, ...] = ()
    breathing_lps_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    breathing_period_s: float = 4.0
    restless_hz: float = 0.0
    restless_m: float = 0.0


class DeviceEventKind(StrEnum):
    """What can happen to the boxes around a virtual scanner."""

    AMPLIFIER_OFF = "amplifier-off"
    """Somebody switches both amplifiers off by hand."""
    EMERGENCY_STOP = "emergency-stop"
    DOOR_OPEN = "door-open"
    ON_BATTERY = "on-battery"
    BATTERY_LOW = "battery-low"
    GRADIENT_FAULT = "gradient-fault"
    GRADIENT_HOT = "gradient-hot"
    RF_FAULT = "rf-fault"
    COIL_UNPLUGGED = "coil-unplugged"
    COIL_DETUNED = "coil-detuned"
    LINE_SILENT = "line-silent"
    """The device hears and does not answer."""
    LINE_CUT = "line-cut"
    LINE_STALLED = "line-stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """One thing that happens to the boxes.

    Attributes
    ----------
    kind
        What.
    start_s
        After the virtual scanner was first asked to play, on the wall's clock [s].
    lasts_s
        Then it is as before [s]; 0: for ever.
    role
        For the lines: whose, such as ``rf_amplifier``.
    """

    kind: DeviceEventKind
    start_s: float
    lasts_s: float = 0.0
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFaults:
    """Boxes around the virtual scanner, and what is wrong with them.

    Attributes
    ----------
    is_connected
        The virtual scanner has all boxes on lines of their own, also when its hardware file names none.
    coil_load_share
        Change of the coil's resonance by what is near it: 0.01 is one percent of frequency lower.
    board_gain, board_offset
        Of channels x, y, z of a GPA-FHDO: current over what it was told, and share of full scale that flows at zero.
    events
        What happens while it is used.
    """

    is_connected: bool = False
    coil_load_share: float = 0.0
    board_gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    board_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    events: tuple[DeviceEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a virtual scanner that is not in its hardware file.

    Attributes
    ----------
    name, summary, look_for
        For people; the last one tells a trainee what this scenario does to images.
    scanner
        Name of the hardware file that it is meant for; empty for any.
    phantom
        Name of a phantom.
    phantom_file
        NIfTI label map instead of a phantom by name, with its table of tissues beside it; empty for none.
    position
        How the patient lies.
    n_spins
        About how many isochromats.
    has_t2_prime, has_chemical_shift
        Frequencies spread inside each tissue; fat is shifted.
    has_diffusion
        Spins wander as the diffusion of their tissue says.
    n_sensors
        Channels that hear only interference, 0 ... 12.
    seed
        Chooses everything random.
    """

    name: str = "custom"
    summary: str = ""
    look_for: str = ""
    scanner: str = ""
    phantom: str = "head"
    phantom_file: str = ""
    position: PatientPosition = PatientPosition.HFS
    n_spins: int = 200_000
    has_t2_prime: bool = True
    has_chemical_shift: bool = True
    has_diffusion: bool = False
    magnet: MagnetFaults = field(default_factory=MagnetFaults)
    gradients: GradientFaults = field(default_factory=GradientFaults)
    coil: CoilFaults = field(default_factory=CoilFaults)
    receiver: ReceiverFaults = field(default_factory=ReceiverFaults)
    interference: tuple[Interference, ...] = ()
    n_sensors: int = 0
    motion: Motion = field(default_factory=Motion)
    devices: DeviceFaults = field(default_factory=DeviceFaults)
    seed: int = 1
