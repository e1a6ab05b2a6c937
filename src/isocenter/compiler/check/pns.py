# SPDX-License-Identifier: MIT
"""Stimulation of nerves and heart by gradients: the SAFE model where its constants are known, else a worst-case bound.

The bound. At radius r a slew rate S changes the field by at most S r. What a channel's field changes by in one go is at most
its largest minus its smallest gradient, D r, so its largest slew rate S lasts for at most D / S. The thresholds of nerve and
heart fall with that time; the share of them that S r reaches grows with S and with D, so the largest of both bounds every
ramp of the scan. Channels are taken to do their worst at once, in the direction in which they add.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from isocenter.compiler.check.gradients import shim_switches, spacing_ticks
from isocenter.compiler.check.timeline import Ints, Line, Timeline
from isocenter.domain.events import GRADIENT_CHANNELS, CompiledScan
from isocenter.domain.exposure import Exposure, Label
from isocenter.domain.limits import (
    NERVE_SHARE,
    NerveModel,
    OperatingMode,
    Subject,
    heart_threshold_t_per_s,
    nerve_threshold_t_per_s,
)
from isocenter.domain.scanner import Scanner

NERVE: Final = "nerve stimulation"
HEART: Final = "heart stimulation"
_NOTE: Final = "Worst case from slew rate and {radius:.0f} mm radius; constants of this coil would give less."


def stimulation_exposures(
    scan: CompiledScan,
    timeline: Timeline,
    scanner: Scanner,
    loads: Mapping[str, float],
    subject: Subject | None,
    mode: OperatingMode,
    slower: float = 1.0,
) -> list[Exposure]:
    """Stimulation of nerves and of the heart as shares of their thresholds.

    Parameters
    ----------
    loads
        Of ``check_gradients``: slew rates as fractions of their limits.
    slower
        What the SAFE model would say if every ramp took this many times as long.
    """
    slews = [
        loads[f"{letter} gradient slew"] * axis.max_slew_t_per_m_s
        for letter, axis in zip("xyz", scanner.gradients.axes, strict=True)
    ]
    reaches = [
        float(np.ptp(timeline.lines[name].values)) * abs(per_code)
        for name, per_code in zip(GRADIENT_CHANNELS, scan.gradient_t_per_m_per_code, strict=True)
    ]
    radius_m = scanner.safety.nerve_radius_m
    radius_m = scanner.magnet.bore_m / 2 if math.isnan(radius_m) else radius_m
    nerve, heart = bounds(slews, reaches, radius_m)
    nerve_label = Label.BOUND
    if all(axis.nerve is not None for axis in scanner.gradients.axes):
        nerve, nerve_label = safe_stimulation(scan, timeline, scanner, slower), Label.MODEL
    is_nobody = subject is not None and subject.is_phantom
    rows = ((NERVE, nerve, NERVE_SHARE[mode], nerve_label), (HEART, heart, 1.0, Label.BOUND))
    return [
        Exposure(
            name=name,
            value=value,
            limit=math.nan if is_nobody else limit,
            unit="",
            window_s=0.0,
            label=label,
            note=_NOTE.format(radius=radius_m * 1e3) if label is Label.BOUND else "",
        )
        for name, value, limit, label in rows
    ]


def bounds(slews_t_per_m_s: list[float], reaches_t_per_m: list[float], radius_m: float) -> tuple[float, float]:
    """Largest share of the thresholds of nerve and heart that any ramp can reach.

    Parameters
    ----------
    slews_t_per_m_s, reaches_t_per_m
        Of each channel: its largest slew rate; its largest minus its smallest gradient.
    """
    nerve = heart = 0.0
    for slew, reach in zip(slews_t_per_m_s, reaches_t_per_m, strict=True):
        if slew <= 0 or reach <= 0:
            continue
        duration_s = reach / slew
        nerve += (slew * radius_m / nerve_threshold_t_per_s(duration_s)) ** 2
        heart += (slew * radius_m / heart_threshold_t_per_s(duration_s)) ** 2
    return math.sqrt(nerve), math.sqrt(heart)


def safe_stimulation(scan: CompiledScan, timeline: Timeline, scanner: Scanner, slower: float = 1.0) -> float:
    """Largest stimulation by the SAFE model; 1 is the limit of first level mode.

    Parameters
    ----------
    slower
        What it would be if every ramp took this many times as long.
    """
    from isocenter.compiler.check.pns_loops import largest_stimulation, slopes_of

    spacing, is_shared = spacing_ticks(scanner)
    update_s = max(scanner.gradients.update_interval_s, spacing * (3 if is_shared else 1) / timeline.clock_hz)
    half_update = max(round(update_s * timeline.clock_hz), 1)  # in half ticks, the unit of all times here
    times, slopes = [], []
    tau_s, weights = np.ones((3, 3)), np.zeros((3, 3))
    for channel, (name, axis) in enumerate(zip(GRADIENT_CHANNELS, scanner.gradients.axes, strict=True)):
        per_code = abs(scan.gradient_t_per_m_per_code[channel])
        places = shim_switches(scan, timeline, timeline.lines[name], channel, per_code)
        line = _without(timeline.lines[name], places)
        starts, rates = slopes_of(line.ticks, line.values, half_update, slower)
        times.append(starts)
        slopes.append(rates * (per_code * 2 * timeline.clock_hz))
        assert axis.nerve is not None
        tau_s[channel], weights[channel] = _constants(axis.nerve)
    stimulation, _ = largest_stimulation(
        np.concatenate(times),
        np.concatenate(slopes),
        np.array([len(part) for part in times], dtype=np.int64),
        1 / (2 * timeline.clock_hz),
        tau_s,
        weights,
    )
    return float(stimulation)


def _constants(model: NerveModel) -> tuple[list[float], list[float]]:
    scale = model.g_scale / model.stimulation_limit_t_per_m_s
    return [model.tau1_s, model.tau2_s, model.tau3_s], [scale * model.a1, scale * model.a2, scale * model.a3]


def _without(line: Line, places: Ints) -> Line:
    """The line without some of its steps; ``places`` are those between value ``i`` and ``i + 1``."""
    steps = np.diff(line.values)
    steps[places] = 0
    values = np.concatenate([[0], np.cumsum(steps)])
    is_kept = np.concatenate([[True], steps != 0])
    return Line(ticks=line.ticks[is_kept], values=values[is_kept])
