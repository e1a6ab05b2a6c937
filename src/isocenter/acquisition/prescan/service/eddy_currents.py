# SPDX-License-Identifier: MIT
"""Eddy currents of each gradient: the gradient and the shift of the whole field that stay behind when it is switched off."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.service.base import (
    ServicePhantom,
    ServiceStep,
    calibrated,
    channel_of_axis,
    measure,
    number,
    vector,
)
from isocenter.acquisition.prescan.service.eddy import (
    MAX_TERMS,
    EddyFit,
    EddyTiming,
    Floats,
    fit_eddy,
    phase_between,
    unwrapped_from_end,
)
from isocenter.acquisition.prescan.service.gradient_scale import field_of_view_m
from isocenter.acquisition.prescan.service.projections import projection, require_object
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan
from isocenter.domain.units import signed

NOTABLE: Final = 0.01
"""A share above this is worth a look at the magnet's shields."""
LEAST_SHARE: Final = 1e-4
"""Less is left alone."""
LEAST_SHIFT_M: Final = 1e-5
"""Shift over gradient that is left alone: 4 Hz for 10 mT/m."""
_STRENGTH: Final = 0.5
"""Of the largest gradient that may be used, shim included."""
_RMS_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of one gradient.

    Attributes
    ----------
    delays_s
        After it [s], shape ``(n,)``.
    gradient, shift
        Exponentials of the gradient itself [1] and of the whole field [m].
    moment_per_m, turns
        As measured.
    """

    delays_s: Floats
    gradient: EddyFit
    shift: EddyFit
    moment_per_m: Floats
    turns: Floats


class EddyCurrentsStep(ServiceStep):
    """Measures each channel by itself."""

    name = "eddy_currents"
    title = "Eddy currents"

    def __init__(self, phantom: ServicePhantom | None = None, averages: int = 2) -> None:
        self._phantom = phantom or ServicePhantom()
        self._averages = averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        found: dict[int, Left] = {}
        plots: list[Plot] = []
        path: Path | None = None
        for number_of, axis in enumerate("xyz"):
            raw, path = measure(bench, "eddy_currents", self._parameters(bench, axis))
            channel, sign = channel_of_axis(raw, bench.scanner.gradients.channel_from_device, number_of)
            found[channel] = find_left(raw, sign)
            plots.append(_plot(found[channel], "xyz"[channel]))
            tell(self._result(f"{number_of + 1} of 3 gradients measured", plots=tuple(plots)))
        lefts = [found[channel] for channel in range(3)]
        gradient, shift = _packed([each.gradient for each in lefts]), _packed([each.shift for each in lefts])
        largest = max((float(np.abs(each.gradient.shares).max(initial=0)) for each in lefts), default=0.0)
        is_much = largest > NOTABLE
        return self._result(
            " ".join(_said("xyz"[channel], each) for channel, each in enumerate(lefts)),
            verdict=Verdict.WARN if is_much else Verdict.PASS,
            remedy="Much is left of a gradient: look for loose shields and metal near the coil." if is_much else "",
            values=(
                calibrated(bench, Quantity.EDDY, *gradient, path),
                calibrated(bench, Quantity.EDDY_B0, *shift, path),
            ),
            plots=tuple(plots),
        )

    def _parameters(self, bench: Bench, axis: str) -> dict[str, float | int | str | bool]:
        axes = bench.scanner.gradients.axes
        tr_s, pulse_s = 0.6, 0.1
        strongest = min(each.max_t_per_m for each in axes) * _STRENGTH
        warmest = min(each.max_rms_t_per_m for each in axes) * _RMS_SHARE * (tr_s / pulse_s) ** 0.5 / 2
        return {
            "axis": axis,
            "gradient_t_per_m": min(strongest, warmest),
            "pulse_s": pulse_s,
            "tr_s": tr_s,
            "fov_m": field_of_view_m(self._phantom),
            "averages": self._averages,
        }


def find_left(raw: RawScan, sign: int = 1) -> Left:
    """What is left of a gradient, from a scan of the sequence ``eddy_currents``.

    Parameters
    ----------
    sign
        With which the axis of the scan drives its channel.

    Raises
    ------
    AcquisitionError
        It cannot be told.
    """
    timing = EddyTiming(
        delays_s=vector(raw, "Delays"),
        te_s=number(raw, "EffectiveEchoTime"),
        pulse_s=number(raw, "PulseLength"),
        ramp_s=number(raw, "Ramp"),
    )
    frequency_hz, _ = require_object(_line(raw, 0, 1), raw.dwell_s)
    place_m = frequency_hz / number(raw, "Gradient")
    rows = []
    for delay in range(len(timing.delays_s)):
        three = [projection(_line(raw, delay, phase), raw.dwell_s)[1] for phase in range(3)]
        rows.append(phase_between(three[0], three[1], three[2], place_m, _noise(raw)))
    table = np.array(rows)
    moment, turns, turns_sd = table[:, 0], unwrapped_from_end(table[:, 1]), float(table[:, 2].max())
    size_m = _size_m(_line(raw, 0, 1), raw.dwell_s, place_m)
    test = number(raw, "TestGradient")
    return Left(
        delays_s=timing.delays_s,
        gradient=fit_eddy(moment, turns_sd / size_m, test, timing, least=LEAST_SHARE),
        shift=fit_eddy(turns, turns_sd, sign * test, timing, least=LEAST_SHIFT_M),
        moment_per_m=moment,
        turns=turns,
    )


def _line(raw: RawScan, delay: int, phase: int) -> np.ndarray:
    chosen = (raw.label("SET") == delay) & (raw.label("PHS") == phase)
    if not chosen.any():
        raise AcquisitionError("Not all delays were measured with all three gradients.", "Repeat the calibration.")
    return np.asarray(raw.samples[chosen, 0].astype(np.complex128).mean(axis=0))


def _noise(raw: RawScan) -> float:
    """Of a point of a projection, from what the measurements without a gradient differ by from one to the next."""
    lines = raw.samples[raw.label("PHS") == 1, 0].astype(np.complex128)
    _, spectra = projection(lines[0], raw.dwell_s)
    inside = np.abs(spectra) < 0.05 * np.abs(spectra).max()
    outside = [projection(line, raw.dwell_s)[1][inside] for line in lines]
    n_each = len(raw.samples) / (3 * (int(raw.label("SET").max()) + 1))
    if np.count_nonzero(inside) < 8:  # the object fills the picture, or there is none
        outside = [projection(line, raw.dwell_s)[1] for line in lines]
    return float(np.sqrt(np.mean(np.abs(np.array(outside)) ** 2) / n_each))


def _size_m(line: np.ndarray, dwell_s: float, place_m: Floats) -> float:
    weight = np.abs(projection(line, dwell_s)[1]) ** 2
    centre = np.average(place_m, weights=weight)
    return float(np.sqrt(np.average((place_m - centre) ** 2, weights=weight)))


def _packed(fits: list[EddyFit]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Amplitude and time constant of three exponentials of each channel, and their spreads; zeros for fewer."""
    value: list[float] = []
    sd: list[float] = []
    for fit in fits:
        for index in range(MAX_TERMS):
            is_there = index < len(fit.shares)
            value += [float(fit.shares[index]), float(fit.time_constants_s[index])] if is_there else [0.0, 0.0]
            sd += [float(fit.shares_sd[index]), float(fit.time_constants_sd_s[index])] if is_there else [float("nan")] * 2
    return tuple(value), tuple(sd)


def _said(channel: str, left: Left) -> str:
    terms = [
        f"{signed(100 * share, 2)} % for {1e3 * tau_s:.3g} ms"
        for share, tau_s in zip(left.gradient.shares, left.gradient.time_constants_s, strict=True)
    ] + [
        f"a shift of {signed(1e3 * share, 2)} mm for {1e3 * tau_s:.3g} ms"
        for share, tau_s in zip(left.shift.shares, left.shift.time_constants_s, strict=True)
    ]
    return f"{channel}: {', '.join(terms) if terms else 'nothing that can be seen'}."


def _plot(left: Left, channel: str) -> Plot:
    log_ms = np.log10(1e3 * left.delays_s)
    return Plot(
        title=f"What is left of gradient {channel}",
        x_label="Delay, power of ten [ms]",
        y_label="Turns at 0.1 m",
        curves=(
            Curve(label="gradient", x=log_ms, y=0.1 * left.moment_per_m, is_points=True),
            Curve(label="gradient, fit", x=log_ms, y=0.1 * left.gradient.fitted),
            Curve(label="whole field", x=log_ms, y=left.turns, is_points=True),
            Curve(label="whole field, fit", x=log_ms, y=left.shift.fitted),
        ),
    )
