# SPDX-License-Identifier: MIT
"""Current and heat of gradient amplifiers and coils, from what was compiled and what was played before."""

import math
from collections.abc import Mapping
from typing import Final

from isocenter.compiler.check.dose import Windows
from isocenter.domain.exposure import Exposure, Label, Quantity
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import GradientThermal
from isocenter.domain.scanner import GradientAxis, Scanner

_UNKNOWN: Final = "The hardware file does not say enough about this channel (gradients.{letter}.thermal)."
RMS_WINDOW_S: Final = 60.0
STAGE_WINDOW_S: Final = 1.0
_NONE: Final = GradientThermal()


def gradient_exposures(windows: Windows, scanner: Scanner, loads: Mapping[str, float]) -> list[Exposure]:
    """Peak current, root mean square, heat of the output stage and of the coil, of each channel.

    Parameters
    ----------
    loads
        Of ``check_gradients``: amplitude and RMS over a second as fractions of their limits.
    """
    found = []
    for channel, (letter, axis) in enumerate(zip("xyz", scanner.gradients.axes, strict=True)):
        thermal = axis.thermal or _NONE
        peak_t_per_m = loads[f"{letter} gradient amplitude"] * axis.max_t_per_m
        alone_t_per_m = loads[f"{letter} gradient RMS in one second"] * axis.max_rms_t_per_m
        rms_t_per_m = max(alone_t_per_m, math.sqrt(windows.mean_across(Quantity(Quantity.GX_SQUARE + channel), 1.0)))
        current_a = peak_t_per_m * thermal.a_per_t_per_m
        found += [
            _exposure(f"{letter} gradient current", current_a, thermal.max_a, "A", 0.0, letter),
            _exposure(f"{letter} gradient RMS", rms_t_per_m, axis.max_rms_t_per_m, "T/m", 1.0, letter),
            *_heat(
                channel,
                axis,
                math.sqrt(windows.mean(Quantity(Quantity.GX_SQUARE + channel), RMS_WINDOW_S)),
                _stage_w(windows, channel, thermal),
                rise_k(windows, channel, thermal),
            ),
        ]
    return found


def gradient_exposures_now(history: ExposureHistory, now_s: float, scanner: Scanner) -> list[Exposure]:
    """The same of what was played until now; peak current is not kept."""
    found = []
    for channel, axis in enumerate(scanner.gradients.axes):
        thermal, letter = axis.thermal or _NONE, "xyz"[channel]
        square = Quantity(Quantity.GX_SQUARE + channel)
        rms_t_per_m = math.sqrt(history.mean(square, 1.0, now_s))
        found.append(_exposure(f"{letter} gradient RMS", rms_t_per_m, axis.max_rms_t_per_m, "T/m", 1.0, letter))
        size_a = thermal.a_per_t_per_m * history.mean(Quantity(Quantity.GX_SIZE + channel), STAGE_WINDOW_S, now_s)
        square_a2 = thermal.a_per_t_per_m**2 * history.mean(square, STAGE_WINDOW_S, now_s)
        stage_w = max(thermal.supply_v * size_a - thermal.resistance_ohm * square_a2, 0.0)
        stage_w = math.nan if math.isnan(thermal.supply_v * size_a - thermal.resistance_ohm * square_a2) else stage_w
        rms_minute = math.sqrt(history.mean(square, RMS_WINDOW_S, now_s))
        found += _heat(channel, axis, rms_minute, stage_w, _rise_now_k(history, now_s, channel, thermal))
    return found


def rise_k(windows: Windows, channel: int, thermal: GradientThermal) -> float:
    """Largest rise of the coil's temperature during a scan [K]; NaN when its constants are unknown."""
    power = thermal.resistance_ohm * thermal.a_per_t_per_m**2
    if math.isnan(power * thermal.rise_k_per_w * thermal.time_constant_s):
        return math.nan
    return windows.rise_k(channel, power, thermal.rise_k_per_w, thermal.time_constant_s)


def _rise_now_k(history: ExposureHistory, now_s: float, channel: int, thermal: GradientThermal) -> float:
    power = thermal.resistance_ohm * thermal.a_per_t_per_m**2
    if math.isnan(power * thermal.rise_k_per_w * thermal.time_constant_s):
        return math.nan
    return history.decayed(Quantity(Quantity.GX_SQUARE + channel), thermal.time_constant_s, now_s) * (
        power * thermal.rise_k_per_w / thermal.time_constant_s
    )


def _stage_w(windows: Windows, channel: int, thermal: GradientThermal) -> float:
    if math.isnan(thermal.a_per_t_per_m * thermal.resistance_ohm * thermal.supply_v):
        return math.nan
    return windows.stage_w(channel, thermal.a_per_t_per_m, thermal.resistance_ohm, thermal.supply_v, STAGE_WINDOW_S)


def _heat(channel: int, axis: GradientAxis, rms_t_per_m: float, stage_w: float, rise: float) -> list[Exposure]:
    """Over a minute, in the output stage, and in the coil. A switching amplifier has no linear stage: it is left out."""
    letter, thermal = "xyz"[channel], axis.thermal or _NONE
    rms_a = rms_t_per_m * thermal.a_per_t_per_m
    found = [_exposure(f"{letter} gradient current RMS", rms_a, thermal.max_rms_a, "A", RMS_WINDOW_S, letter)]
    if not math.isnan(thermal.supply_v):
        found.append(_exposure(f"{letter} amplifier heat", stage_w, thermal.max_stage_w, "W", STAGE_WINDOW_S, letter))
    return [*found, _exposure(f"{letter} gradient coil warming", rise, thermal.max_rise_k, "K", 0.0, letter)]


def _exposure(name: str, value: float, limit: float, unit: str, window_s: float, letter: str) -> Exposure:
    """Unknown without the value, and also without the limit: a coil without a limit is not known to be safe."""
    is_known = not math.isnan(value) and not math.isnan(limit)
    return Exposure(
        name=name,
        value=value,
        limit=limit,
        unit=unit,
        window_s=window_s,
        label=Label.MODEL if is_known else Label.UNKNOWN,
        note="" if is_known else _UNKNOWN.format(letter=letter),
    )
