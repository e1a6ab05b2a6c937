# SPDX-License-Identifier: MIT
"""What a hardware file may say. Keys are those of ``domain.scanner``, in SI, with the unit in the name.

Numbers come as ``{ value, evidence, source }``. Ranges are wide: they catch a wrong unit or a slipped digit, they do not
judge a design.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, StringConstraints

from isocenter.config.drivers import problem_with
from isocenter.domain.device import DeviceRole
from isocenter.domain.scanner import Evidence, GradientBoard

Text = Annotated[str, Strict(), StringConstraints(max_length=64, strip_whitespace=True)]
NonEmpty = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Source = Annotated[str, Strict(), StringConstraints(min_length=3, strip_whitespace=True)]


class Table(BaseModel):
    """A table of the file: no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(Table):
    """One number, how well it is known, and where it comes from."""

    value: Annotated[float, Strict()]
    evidence: Evidence
    source: Source


class Count(Table):
    """One whole number, how well it is known, and where it comes from."""

    value: Annotated[int, Strict()]
    evidence: Evidence
    source: Source


class Wiring(Table):
    """``channel = value @ device``: rows are the channels x, y, z, columns the device axes X, Y, Z."""

    value: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    evidence: Evidence
    source: Source


def brief(number: float) -> str:
    """A number for a message; whole numbers may be longer than a float can hold."""
    try:
        return f"{number:g}"
    except OverflowError:
        return f"a number of {len(str(abs(number)))} digits"


def within(low: float, high: float, unit: str, *, may_be_unknown: bool = False) -> AfterValidator:
    """Validator: the value lies in a range; ``nan`` stands for unknown where that is allowed."""

    def check(quantity: Any) -> Any:
        if may_be_unknown and math.isnan(quantity.value):
            return quantity
        if not low <= quantity.value <= high:  # in this form NaN fails too
            unknown = ", or nan for unknown" if may_be_unknown else ""
            raise ValueError(
                f"found {brief(quantity.value)}; allowed is {low:g} to {high:g} {unit}{unknown}".replace(" ,", ",")
            )
        return quantity

    return AfterValidator(check)


def _signed_permutation(wiring: Wiring) -> Wiring:
    matrix = np.array(wiring.value)
    if not np.array_equal(matrix @ matrix.T, np.eye(3)) or not np.all(np.isin(matrix, (-1.0, 0.0, 1.0))):
        raise ValueError(
            f"found {[list(map(float, row)) for row in wiring.value]}; allowed are the numbers -1, 0 and 1 with exactly one "
            "that is not 0 in each row and each column"
        )
    return wiring


def _words(allowed: frozenset[str]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in allowed:
                raise ValueError(f"found '{value}'; allowed are {', '.join(sorted(allowed))}")
        return values

    return check


# A subset of the defined terms of DICOM PS3.16 annex L that a low-field scanner meets.
BODY_PARTS = frozenset(
    {"ABDOMEN", "ANKLE", "BRAIN", "BREAST", "CSPINE", "ELBOW", "EXTREMITY", "FOOT", "HAND", "HEAD", "KNEE", "LSPINE", "NECK"}
    | {"PHANTOM", "SHOULDER", "WRIST"}
)


class MagnetTable(Table):
    """``[magnet]``."""

    larmor_hz: Annotated[Quantity, within(1e5, 6e7, "Hz")]
    search_span_hz: Annotated[Quantity, within(1e2, 1e6, "Hz")]
    bore_m: Annotated[Quantity, within(0.01, 1.5, "m")]
    imaging_diameter_m: Annotated[Quantity, within(0.005, 1.0, "m")]
    homogeneity_ppm: Annotated[Quantity, within(0.01, 1e5, "ppm", may_be_unknown=True)]
    drift_hz_per_c: Annotated[Quantity, within(-1e5, 1e5, "Hz per degree")]


class ThermalTable(Table):
    """``[gradients.x.thermal]``: amplifier and coil of one channel; what is left out is unknown."""

    a_per_t_per_m: Annotated[Quantity, within(1.0, 1e6, "A/(T/m)")] | None = None
    max_a: Annotated[Quantity, within(0.01, 1e4, "A")] | None = None
    max_rms_a: Annotated[Quantity, within(0.001, 1e4, "A")] | None = None
    resistance_ohm: Annotated[Quantity, within(1e-3, 1e3, "ohm")] | None = None
    supply_v: Annotated[Quantity, within(1.0, 1e3, "V")] | None = None
    max_stage_w: Annotated[Quantity, within(0.1, 1e5, "W")] | None = None
    rise_k_per_w: Annotated[Quantity, within(1e-4, 1e3, "K/W")] | None = None
    time_constant_s: Annotated[Quantity, within(1.0, 3600.0, "s")] | None = None
    max_rise_k: Annotated[Quantity, within(1.0, 200.0, "K")] | None = None


class NerveTable(Table):
    """``[gradients.x.nerve]``: constants of the SAFE model of one channel, all of them."""

    tau1_s: Annotated[Quantity, within(1e-6, 0.1, "s")]
    tau2_s: Annotated[Quantity, within(1e-6, 0.1, "s")]
    tau3_s: Annotated[Quantity, within(1e-6, 0.1, "s")]
    a1: Annotated[Quantity, within(0.0, 1.0, "(a fraction)")]
    a2: Annotated[Quantity, within(0.0, 1.0, "(a fraction)")]
    a3: Annotated[Quantity, within(0.0, 1.0, "(a fraction)")]
    stimulation_limit_t_per_m_s: Annotated[Quantity, within(0.1, 1e4, "T/m/s")]
    g_scale: Annotated[Quantity, within(1e-3, 10.0, "(a fraction)")]


class SafetyTable(Table):
    """``[safety]``: what must be known of a patient's exposure; what is left out is unknown, or has no limit."""

    forward_power_w: Annotated[Quantity, within(1e-3, 1e5, "W", may_be_unknown=True)] | None = None
    absorbed_share: Annotated[Quantity, within(1e-4, 1.0, "(a fraction)")] | None = None
    max_b1_rms_t: Annotated[Quantity, within(1e-8, 1e-3, "T")] | None = None
    nerve_radius_m: Annotated[Quantity, within(0.01, 1.0, "m")] | None = None


class AxisTable(Table):
    """``[gradients.x]``, ``[gradients.y]``, ``[gradients.z]``."""

    full_scale_t_per_m: Annotated[Quantity, within(1e-5, 1.0, "T/m")]
    max_t_per_m: Annotated[Quantity, within(1e-5, 1.0, "T/m")]
    max_slew_t_per_m_s: Annotated[Quantity, within(0.1, 1000.0, "T/m/s")]
    max_rms_t_per_m: Annotated[Quantity, within(1e-6, 1.0, "T/m")]
    delay_s: Annotated[Quantity, within(0.0, 1e-3, "s")]
    thermal: ThermalTable | None = None
    nerve: NerveTable | None = None


class GradientsTable(Table):
    """``[gradients]``."""

    board: GradientBoard
    spi_divider: Annotated[Count, within(1, 63, "")]
    update_interval_s: Annotated[Quantity, within(1e-6, 1e-3, "s")]
    channel_from_device: Annotated[Wiring, AfterValidator(_signed_permutation)]
    board_full_scale_a: Annotated[Quantity, within(0.1, 1000, "A", may_be_unknown=True)] | None = None
    x: AxisTable
    y: AxisTable
    z: AxisTable


class RfTable(Table):
    """``[rf]``."""

    full_scale_t: Annotated[Quantity, within(1e-7, 0.01, "T")]
    warmup_s: Annotated[Quantity, within(0.0, 5e-3, "s")]
    hold_s: Annotated[Quantity, within(0.0, 5e-3, "s")]
    dead_time_s: Annotated[Quantity, within(0.0, 0.01, "s")]
    max_pulse_s: Annotated[Quantity, within(1e-5, 0.1, "s")]
    max_duty: Annotated[Quantity, within(1e-4, 1.0, "(a fraction)")]


def _sensors(n: int) -> int:
    if n not in (0, 1):
        raise ValueError(f"found {n}; allowed is 0 or 1")
    return n


class ReceiverTable(Table):
    """``[receiver]``. DICOM's coil name is a short string of at most 16 characters; a console has one input for a sensor."""

    oversampling: Annotated[Count, within(1, 64, "")]
    volts_per_unit: Annotated[Quantity, within(1e-9, 100.0, "V", may_be_unknown=True)]
    coil_bandwidth_hz: Annotated[Quantity, within(10.0, 1e7, "Hz", may_be_unknown=True)]
    coil_name: Annotated[str, Strict(), StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
    sensors: Annotated[int, Strict(), AfterValidator(_sensors)] = 0
    gain_db: Annotated[Quantity, within(-60.0, 140.0, "dB", may_be_unknown=True)] | None = None


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError(f"found {port}; allowed is 1 to 65535")
    return port


def _baud(baud: int) -> int:
    if baud and not 1200 <= baud <= 4_000_000:
        raise ValueError(f"found {baud}; allowed is 1200 to 4000000, or 0 for the driver's own")
    return baud


def _usb_number(number: int) -> int:
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"found {brief(number)}; allowed is 0x0000 to 0xffff")
    return number


def _sign(count: Count) -> Count:
    if count.value not in (-1, 1):
        raise ValueError(f"found {brief(count.value)}; allowed is 1 or -1")
    return count


class ConsoleTable(Table):
    """``[console]``."""

    family: Literal["marcos"]
    host: NonEmpty
    port: Annotated[int, Strict(), AfterValidator(_port)]
    clock_hz: Annotated[Quantity, within(1e6, 1e9, "Hz")]
    segment_gap_s: Annotated[Quantity, within(1e-3, 10.0, "s")]
    tx_phase_sign: Annotated[Count, AfterValidator(_sign)] | None = None


class UsbTable(Table):
    """``usb`` of a device: what ``python -m serial.tools.list_ports -v`` shows for its port."""

    vendor_id: Annotated[int, Strict(), AfterValidator(_usb_number)]
    product_id: Annotated[int, Strict(), AfterValidator(_usb_number)]
    serial_number: Text = ""


def _url(url: str) -> str:
    scheme, colons, _ = url.partition("://")
    if colons and scheme not in ("socket", "rfc2217"):
        raise ValueError(f"found '{url}'; allowed is the name of a port, socket://host:port or rfc2217://host:port")
    return url


class DeviceTable(Table):
    """``[devices.<role>]``."""

    driver: NonEmpty
    url: Annotated[str, Strict(), StringConstraints(min_length=1, max_length=200), AfterValidator(_url)] | None = None
    usb: UsbTable | None = None
    baud: Annotated[int, Strict(), AfterValidator(_baud)] = 0
    required: Annotated[bool, Strict()] = True
    options: dict[str, Quantity] = {}


def _plays(role: DeviceRole) -> AfterValidator:
    """Validator: the driver plays this role, takes these options, and is told where the device is."""

    def check(table: DeviceTable | None) -> DeviceTable | None:
        if table is None:
            return None
        found = problem_with(role, table.driver, {name: entry.value for name, entry in table.options.items()})
        if found:
            raise ValueError(found[0])
        if (table.url is None) == (table.usb is None):
            raise ValueError(f"found {'neither' if table.url is None else 'both'} url and usb; allowed is one of them")
        return table

    return AfterValidator(check)


class DevicesTable(Table):
    """``[devices]``: what hangs on lines, each by its role."""

    interlock: Annotated[DeviceTable | None, _plays(DeviceRole.INTERLOCK)] = None
    rf_amplifier: Annotated[DeviceTable | None, _plays(DeviceRole.RF_AMPLIFIER)] = None
    gradient_amplifier: Annotated[DeviceTable | None, _plays(DeviceRole.GRADIENT_AMPLIFIER)] = None
    sar_monitor: Annotated[DeviceTable | None, _plays(DeviceRole.SAR_MONITOR)] = None
    network_analyser: Annotated[DeviceTable | None, _plays(DeviceRole.NETWORK_ANALYSER)] = None
    tuner: Annotated[DeviceTable | None, _plays(DeviceRole.TUNER)] = None
    attenuator: Annotated[DeviceTable | None, _plays(DeviceRole.ATTENUATOR)] = None
    sensors: Annotated[DeviceTable | None, _plays(DeviceRole.SENSORS)] = None


class HardwareFile(Table):
    """A whole hardware file."""

    title: NonEmpty
    manufacturer: NonEmpty
    model: NonEmpty
    serial_number: Text
    station_name: Annotated[str, Strict(), StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
    institution: Text
    body_parts: Annotated[tuple[str, ...], AfterValidator(_words(BODY_PARTS))]
    magnet: MagnetTable
    gradients: GradientsTable
    rf: RfTable
    receiver: ReceiverTable
    console: ConsoleTable
    safety: SafetyTable = SafetyTable()
    devices: DevicesTable = DevicesTable()
