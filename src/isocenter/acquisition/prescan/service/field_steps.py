# SPDX-License-Identifier: MIT
"""Service steps on the main field: its map, and the linear shim that follows from it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.service.base import ServicePhantom, ServiceStep, calibrated, measure
from isocenter.acquisition.prescan.service.field import (
    MIN_GAIN,
    FieldSamples,
    Floats,
    ShimFit,
    field_samples,
    fit_shim,
    require_ball,
    spread_hz,
)
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T, signed

if TYPE_CHECKING:
    from isocenter.recon.correct.harmonics import HarmonicField

MAX_SHIM_SHARE: Final = 0.1
"""Of a channel's full scale. Source: reference domain.md 2, row 5: shims heat coils all the time."""
MAX_ROUGHNESS: Final = 0.5
"""Rms of what no smooth field explains, over the spread; a larger one is noise or a wrapped phase."""
_SURPRISE: Final = 1.15
_SLACK_HZ: Final = 3.0
_ROUGH_HZ: Final = 60.0
_ORDER: Final = 5
_TR_S: Final = 0.5
"""Longer than a segment may be: each shot is then a segment of its own, and the shim pauses after every one alike."""


def map_parameters(phantom: ServicePhantom, averages: int) -> dict[str, float | int | str | bool]:
    """Of the sequence ``b0_map``: all of the phantom, in voxels of about 8 mm."""
    fov_m = round(1.4 * phantom.diameter_m + 2 * max(map(abs, phantom.centre_device_m)), 3)
    n = int(np.clip(2 * round(fov_m / 0.016), 16, 48))
    return {
        "fov_read_m": fov_m,
        "fov_phase_m": fov_m,
        "fov_slab_m": fov_m,
        "n_read": n,
        "n_phase": n,
        "n_slab": n,
        "averages": averages,
        "tr_s": _TR_S,
        "bandwidth_hz": 40e3,
    }


class B0MapStep(ServiceStep):
    """Measures the field over the phantom."""

    name = "b0_map"
    title = "Field map"

    def __init__(self, phantom: ServicePhantom | None = None, averages: int = 1) -> None:
        self._phantom = phantom or ServicePhantom()
        self._averages = averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        raw, path = measure(bench, "b0_map", map_parameters(self._phantom, self._averages))
        samples = field_samples(raw)
        require_ball(samples, self._phantom.diameter_m)
        plots = (_plot({"field": samples}),)
        tell(self._result("Fitting", plots=plots))
        field, spread = smooth_field(samples), spread_hz(samples)
        wanted_m = bench.scanner.magnet.imaging_diameter_m / 2
        radius_m = min(wanted_m, self._phantom.diameter_m / 2)
        centre_m = np.array(self._phantom.centre_device_m) if radius_m < wanted_m else np.zeros(3)
        value = field.frequency_hz(_inside(radius_m) + centre_m)
        peak_hz, ppm = float(np.ptp(value)), 1e6 / bench.calibration.larmor_hz
        stated = bench.scanner.magnet.homogeneity_ppm
        is_worse = peak_hz * ppm > 1.5 * stated
        where = f"a ball of {2e3 * radius_m:.0f} mm"
        part = (
            ""
            if radius_m == wanted_m
            else f"; the imaging sphere is {2e3 * wanted_m:.0f} mm, which this phantom does not fill"
        )
        return self._result(
            f"{peak_hz:.0f} Hz ({peak_hz * ppm:.0f} ppm) from end to end in {where}, standard deviation {spread:.0f} Hz, "
            f"rough by {field.rms_hz:.0f} Hz{part}.",
            verdict=Verdict.WARN if is_worse else Verdict.PASS,
            remedy=f"The hardware file says {stated:.0f} ppm: look for iron in or near the magnet." if is_worse else "",
            values=(calibrated(bench, Quantity.B0_MAP, (peak_hz,), (2 * field.rms_hz,), path, phantom=self._phantom.name),),
            plots=plots,
        )


class ShimByMapStep(ServiceStep):
    """Takes away what is linear in the measured field, then measures again."""

    name = "shim_by_map"
    title = "Shim by field map"

    def __init__(self, phantom: ServicePhantom | None = None, averages: int = 1) -> None:
        self._phantom = phantom or ServicePhantom()
        self._averages = averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        parameters = map_parameters(self._phantom, self._averages)
        raw, path = measure(bench, "b0_map", parameters)
        before = field_samples(raw)
        require_ball(before, self._phantom.diameter_m)
        tell(self._result("Checking", plots=(_plot({"before": before}),)))
        scanner, old = bench.scanner, np.array(bench.calibration.shim_t_per_m)
        smooth_field(before)
        fit = fit_shim(before, *shim_room(scanner, old))
        advice = second_order_text(fit)
        if fit.gain < MIN_GAIN:
            return self._result(
                f"The spread is {fit.before_hz:.0f} Hz; a linear shim would leave {fit.predicted_hz:.0f} Hz. "
                "The shim stays.",
                verdict=Verdict.WARN if advice else Verdict.PASS,
                remedy=advice,
                plots=(_plot({"before": before}),),
            )
        new = old - scanner.gradients.channel_from_device @ fit.gradient_hz_per_m / GAMMA_HZ_PER_T
        x, y, z = (float(value) for value in new)
        raw, _ = measure(bench, "b0_map", parameters, replace(bench.calibration, shim_t_per_m=(x, y, z)))
        after = field_samples(raw)
        require_ball(after, self._phantom.diameter_m)
        after_hz = spread_hz(after)
        plots = (_plot({"before": before, "after": after}),)
        tell(self._result("Comparing", plots=plots))
        if after_hz > _SURPRISE * fit.predicted_hz + _SLACK_HZ or after_hz >= fit.before_hz:
            raise AcquisitionError(
                f"The new shim was to leave {fit.predicted_hz:.0f} Hz of {fit.before_hz:.0f} Hz, "
                f"but left {after_hz:.0f} Hz.",
                "See that the phantom lies still and the gradients' directions and strengths are calibrated; then repeat.",
            )
        sd = np.abs(scanner.gradients.channel_from_device) @ fit.gradient_sd_hz_per_m / GAMMA_HZ_PER_T
        limited = "A channel's shim is at its limit; passive shims would help. " if fit.is_limited else ""
        return self._result(
            f"Spread {fit.before_hz:.0f} Hz before, {after_hz:.0f} Hz after ({fit.predicted_hz:.0f} Hz predicted); shim "
            + ", ".join(f"{name} {signed(1e6 * value, 1)}" for name, value in zip("xyz", new, strict=True))
            + " uT/m.",
            verdict=Verdict.WARN if advice or limited else Verdict.PASS,
            remedy=limited + advice,
            values=(calibrated(bench, Quantity.SHIM, new, sd, path),),
            plots=plots,
        )


def smooth_field(samples: FieldSamples) -> "HarmonicField":
    """Solid harmonics through a map.

    Raises
    ------
    AcquisitionError
        The map is rough, as noise and wrapped phases are.
    """
    from isocenter.recon.correct.harmonics import fit_field

    field, spread = fit_field(samples.frequency_hz, samples.weight, samples.position_m, order=_ORDER), spread_hz(samples)
    if field.rms_hz > max(MAX_ROUGHNESS * spread, _ROUGH_HZ):
        raise AcquisitionError(
            f"The map is rough: {field.rms_hz:.0f} Hz are no smooth field, of a spread of {spread:.0f} Hz.",
            "Repeat with more averages, or a shorter time step where the field is very uneven.",
        )
    return field


def shim_room(scanner: Scanner, shim_t_per_m: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest gradient of the field that the shim can still take away, device axes [Hz/m]."""
    turn = scanner.gradients.channel_from_device
    limit = np.array([MAX_SHIM_SHARE * abs(axis.full_scale_t_per_m) for axis in scanner.gradients.axes])
    one, other = (turn.T @ (shim_t_per_m + sign * limit) * GAMMA_HZ_PER_T for sign in (-1, 1))
    return np.minimum(one, other), np.maximum(one, other)


def second_order_text(fit: ShimFit) -> str:
    """Advice when linear shims are not the limit; empty when they are."""
    if not fit.needs_second_order:
        return ""
    return (
        f"Linear shims are not what limits this magnet: they leave {fit.predicted_hz:.0f} Hz, terms of second order as well "
        f"would leave {fit.second_order_hz:.0f} Hz. Use passive or second-order shims."
    )


def _inside(radius_m: float) -> Floats:
    axis = np.linspace(-radius_m, radius_m, 21)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[np.linalg.norm(grid, axis=1) <= radius_m])


def _plot(maps: dict[str, FieldSamples]) -> Plot:
    curves = []
    for name, samples in maps.items():
        offset = samples.frequency_hz - np.average(samples.frequency_hz, weights=samples.weight)
        count, edges = np.histogram(offset, bins=60, weights=samples.weight)
        share = 100 * count / max(float(count.sum()), 1e-30)
        curves.append(Curve(label=name, x=(edges[1:] + edges[:-1]) / 2, y=share))
    return Plot(title="Field over the phantom", x_label="Offset [Hz]", y_label="Share [%]", curves=tuple(curves))
