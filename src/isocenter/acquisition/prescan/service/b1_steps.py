# SPDX-License-Identifier: MIT
"""Service steps on the transmitted field: whether 90 degrees are 90 degrees, and how even it is."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.service.base import ServicePhantom, ServiceStep, calibrated, measure
from isocenter.acquisition.prescan.service.double_angle import angle_rad, require_recovery, require_signal, total
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import signed

FLIP_RAD: Final = math.pi / 3
MAP_FLIP_RAD: Final = math.pi / 4
TOLERANCE: Final = 0.05
"""Source: reference domain.md 2, row 7."""
_RF_SHARE: Final = 0.8
_SHORTEST_S: Final = 100e-6
_MIN_VOXELS: Final = 64
_MIN_SNR: Final = 10.0
_MASK: Final = 0.2


class FlipCheckStep(ServiceStep):
    """Compares the signal after a pulse with that after one of twice the angle; changes nothing.

    What it finds is kept: with the calibration of the power it tells how strong the transmitter is, also over months.
    """

    name = "flip_check"
    title = "Flip angle check"

    def __init__(self, tr_s: float = 1.0, averages: int = 4) -> None:
        self._tr_s, self._averages = tr_s, averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        del tell
        single, double, plot, path = two_angles(bench, self._tr_s, self._averages)
        ratio = total(single, double)
        angle = float(angle_rad(np.ones(1, np.complex128), np.array([ratio]))[0])
        if not math.isfinite(angle) or abs(ratio.imag) > 0.2:
            raise AcquisitionError(
                f"The signal after twice the pulse is {signed(ratio.real, 2)} times that after one (and "
                f"{signed(ratio.imag, 2)} across); no flip angle explains that.",
                "Check that the RF amplifier is on and the frequency is right; then repeat.",
            )
        share = angle / FLIP_RAD
        is_right = abs(share - 1) <= TOLERANCE
        return self._result(
            f"A pulse of {math.degrees(FLIP_RAD):.0f}° turns by {math.degrees(angle):.1f}°: "
            f"{signed(100 * (share - 1), 1)} %.",
            verdict=Verdict.PASS if is_right else Verdict.FAIL,
            remedy="" if is_right else "Repeat the calibration of the transmit power, then this check.",
            values=(self._value(bench, share, path),) if is_right else (),
            plots=(plot,),
        )

    @staticmethod
    def _value(bench: Bench, share: float, path: Path) -> CalibrationValue:
        strength = share * bench.calibration.rf_scale
        value = calibrated(bench, Quantity.FLIP_CHECK, (share, strength), (math.nan, math.nan), path)
        return replace(value, coil=bench.scanner.receiver.coil_name)


class B1MapStep(ServiceStep):
    """Maps the flip angle over the phantom."""

    name = "b1_map"
    title = "Transmit field map"

    def __init__(self, phantom: ServicePhantom | None = None, tr_s: float = 0.8, averages: int = 1) -> None:
        self._phantom = phantom or ServicePhantom()
        self._tr_s, self._averages = tr_s, averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        two_angles(bench, self._tr_s, 2)  # refuses a phantom that is not there, or whose T1 is too long
        fov_m = round(1.4 * self._phantom.diameter_m + 2 * max(map(abs, self._phantom.centre_device_m)), 3)
        images = []
        path = None
        for times in (1, 2):
            tell(self._result(f"Measuring with {times} times {math.degrees(MAP_FLIP_RAD):.0f}°"))
            parameters: dict[str, float | int | str | bool] = {
                "fov_read_m": fov_m,
                "fov_phase_m": fov_m,
                "fov_slab_m": fov_m,
                "n_read": 16,
                "n_phase": 16,
                "n_slab": 12,
                "tr_s": self._tr_s,
                "te_s": 0.004,
                "bandwidth_hz": 20e3,
                "flip_rad": times * MAP_FLIP_RAD,
                "rf_s": pulse_s(bench.scanner, bench.calibration.rf_scale),
                "dummy_shots": 3,
                "rf_spoiling": False,
                "averages": self._averages,
            }
            raw, path = measure(bench, "gre_3d", parameters)
            images.append(_image(raw))
        found = evaluate_map(images[0], images[1], MAP_FLIP_RAD)
        is_even = abs(found.mean_scale - 1) <= TOLERANCE
        return self._result(
            f"B1 is {100 * found.mean_scale:.0f} % of what was asked on average, with a standard deviation of "
            f"{100 * found.spread:.1f} % over {found.n_voxels} voxels.",
            verdict=Verdict.PASS if is_even else Verdict.WARN,
            remedy="" if is_even else "The mean is off: repeat the calibration of the transmit power.",
            values=(
                calibrated(bench, Quantity.B1_MAP, (found.spread,), (found.spread_sd,), path, phantom=self._phantom.name),
            ),
            plots=(_plot(found),),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class B1Map:
    """Flip angles over an object.

    Attributes
    ----------
    mean_scale
        Mean over the nominal one.
    spread, spread_sd
        Standard deviation over mean, noise taken away; and how well that is known.
    n_voxels
        That count.
    ratio
        True over nominal, of each.
    """

    mean_scale: float
    spread: float
    spread_sd: float
    n_voxels: int
    ratio: NDArray[np.float64]


def evaluate_map(single: NDArray[np.complexfloating], double: NDArray[np.complexfloating], flip_rad: float) -> B1Map:
    """Map from two images of any shape, the first with a nominal flip angle and the second with twice that.

    Raises
    ------
    AcquisitionError
        There is too little signal, or the images contradict each other.
    """
    from isocenter.recon.correct.noise import background_sigma

    strength = np.abs(single)
    noise = float(background_sigma(strength.astype(np.float32)))
    mask = strength > max(_MASK * float(np.quantile(strength, 0.99)), _MIN_SNR * noise)
    angle = angle_rad(single[mask], double[mask])
    good = angle[np.isfinite(angle)]
    if len(good) < _MIN_VOXELS or len(good) < 0.9 * np.count_nonzero(mask):
        raise AcquisitionError(
            f"Only {len(good)} of {np.count_nonzero(mask)} voxels show a flip angle; {_MIN_VOXELS} are needed.",
            "Put the service phantom into the coil, find the frequency, shim, then repeat with more averages.",
        )
    ratio = good / flip_rad
    # d(angle) = noise sqrt(1 + (ratio/2)^2) / (2 S sin(angle)) for each of two images
    each = (
        noise / strength[mask][np.isfinite(angle)] / (2 * np.maximum(np.sin(good), 0.2)) * np.sqrt(1 + np.cos(good) ** 2 * 4)
    )
    of_noise = float(np.mean(each**2)) / flip_rad**2
    spread = math.sqrt(max(float(ratio.var()) - of_noise, 0.0)) / float(ratio.mean())
    return B1Map(
        mean_scale=float(ratio.mean()),
        spread=spread,
        spread_sd=math.sqrt(of_noise / len(good)) + spread / math.sqrt(2 * len(good)),
        n_voxels=len(good),
        ratio=ratio,
    )


def pulse_s(scanner: Scanner, rf_scale: float) -> float:
    """Length of a pulse for which the transmitter can give twice the angle [s]."""
    shortest_s = 2 * FLIP_RAD / (2 * math.pi) / (_RF_SHARE * scanner.rf.full_scale_hz * min(rf_scale, 1.0))
    return math.ceil(max(_SHORTEST_S, shortest_s) * 1e5) / 1e5


def two_angles(
    bench: Bench, tr_s: float, averages: int
) -> tuple[NDArray[np.complexfloating], NDArray[np.complexfloating], Plot, Path]:
    """Signals after a pulse and one of twice the angle, shape ``(averages, n_samples)``; and the data of the last.

    Raises
    ------
    AcquisitionError
        There is no signal, or the magnetisation does not come back within TR.
    """
    found = []
    for times, factor in ((1, 1.0), (2, 1.0), (1, 0.5)):
        parameters: dict[str, float | int | str | bool] = {
            "flip_rad": times * FLIP_RAD,
            "rf_s": pulse_s(bench.scanner, bench.calibration.rf_scale),
            "tr_s": factor * tr_s,
            "averages": averages,
            "dummy_shots": 3,
            "n_samples": 512,
            "bandwidth_hz": 50e3,
        }
        raw, path = measure(bench, "fid", parameters)
        found.append(raw.samples[:, 0].astype(np.complex128))
        if len(found) == 1:
            require_signal(found[0])
    single, double, fast = found
    half = total(single, fast)
    require_recovery(1.0 + 0j, half, FLIP_RAD, tr_s)
    time_ms = np.arange(single.shape[1], dtype=np.float64) * (1e3 * raw.dwell_s)
    curves = tuple(
        Curve(label=label, x=time_ms, y=np.abs(shots.mean(axis=0)))
        for label, shots in (("one angle", single), ("twice the angle", double), ("half of TR", fast))
    )
    return single, double, Plot(title="Signals", x_label="Time [ms]", y_label="Signal", curves=curves), path


def _image(raw: RawScan) -> NDArray[np.complexfloating]:
    from isocenter.recon.steps.base import NoParameters, Work
    from isocenter.recon.steps.grid import Oversampling, Transform, oversampling, transform
    from isocenter.recon.steps.sort import sort

    work = transform(oversampling(sort(Work(raw=raw), NoParameters()), Oversampling()), Transform())
    data = np.asarray(work.pictures[0].data)
    return data[0] if data.ndim == 4 else data


def _plot(found: B1Map) -> Plot:
    count, edges = np.histogram(100 * found.ratio, bins=40)
    middle = np.asarray((edges[1:] + edges[:-1]) / 2, dtype=np.float64)
    return Plot(
        title="B1 over the phantom",
        x_label="B1 over what was asked [%]",
        y_label="Voxels",
        curves=(Curve(label="voxels", x=middle, y=count.astype(np.float64)),),
        marks={"asked": 100.0, "mean": 100 * found.mean_scale},
    )
