# SPDX-License-Identifier: MIT
"""Steps against what disturbs readouts: interference and a drifting frequency."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, integer
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import to_images
from isocenter.recon.plan import encoded_axes
from isocenter.recon.steps.base import Stage, Step, Work
from isocenter.recon.steps.readouts import is_imaging, noise_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """How interference is predicted from the sensors."""

    n_taps: int = integer(7, "Taps", low=0, high=31, help="Samples before and after that help to predict one.")
    n_lines: int = integer(8, "Smallest window", low=1, high=4096, help="Fewest lines that may have a fit of their own.")


def interference(work: Work, p: Interference) -> Work:
    """Coils without what the sensor channels explain."""
    from isocenter.recon.correct.editer import remove_with_sensors

    raw = work.raw
    if not raw.sensor_channels:
        return dataclasses.replace(work, said="the scan has no sensor channels")
    coils = [index for index in range(raw.samples.shape[1]) if index not in raw.sensor_channels]
    order = np.argsort(raw.time_s, kind="stable") if len(raw.time_s) == len(raw.samples) else np.arange(len(raw.samples))
    lines = raw.samples[order]
    done = remove_with_sensors(
        lines[:, coils], lines[:, list(raw.sensor_channels)], taps=p.n_taps, smallest_window=p.n_lines
    )
    if not done.is_changed:
        return dataclasses.replace(work, said="the sensors explain nothing, so nothing was changed")
    samples = raw.samples.copy()
    samples[np.ix_(order, np.array(coils, dtype=np.int64))] = done.samples
    unused = f"; {done.n_unused} sensors hear the object and were not used" if done.n_unused else ""
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=samples), said=f"{done.figure}{unused}")


def tones(work: Work, _: object) -> Work:
    """Readouts without narrow interference, told from the noise readouts or the edges of k-space."""
    from isocenter.recon.correct.spectral import remove_tones

    raw = work.raw
    done = remove_tones(raw.samples, raw.dwell_s, noise=noise_of(raw))
    if not done.is_changed:
        return dataclasses.replace(work, said="no tone was found, so nothing was changed")
    said = f"{', '.join(f'{hz:.0f}' for hz in done.frequencies_hz)} Hz; {done.figure}"
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=done.samples), said=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the frequency is followed."""

    method: str = choice(
        "auto",
        "Method",
        choices=("auto", "repeated", "sharpest"),
        help="auto: from navigators (label NAV), else from measurements of the frequency in pauses of the scan; "
        "repeated: also from lines that were measured more than "
        "once; sharpest: the drift that makes the image sharpest.",
    )


def drift(work: Work, p: Drift) -> Work:
    """Readouts as if the magnet's frequency had not changed."""
    from isocenter.recon.correct.drift import drift_figure, fit_drift, measure_changes, remove_drift
    from isocenter.recon.correct.drift_sharpness import sharpest_drift

    raw = work.raw
    if p.method == "auto" and np.count_nonzero(_is_navigator(raw)) < 2:
        return _drift_by_looks(work)
    if len(raw.time_s) != len(raw.samples) or len(raw.samples) == 0:
        raise ReconError("The data do not say when each readout was measured.", "Leave the step 'drift' out.")
    encoding, _ = encoded_axes(raw.encoding)
    evolution_s = _evolution_s(raw, encoding.centre_sample)
    if p.method == "sharpest":
        if len(np.unique(np.round(evolution_s, 6))) > 1:
            raise ReconError("Echoes at several times have no one drift that is sharpest.", "Use navigators.")
        rows = is_imaging(raw)
        curve = sharpest_drift(
            raw.samples[rows],
            raw.time_s[rows],
            raw.dwell_s,
            encoding.centre_sample,
            lambda lines: _rough_image(raw, rows, lines),
            evolution_s=float(evolution_s[0]),
        )
    else:
        groups = _groups(raw, only_navigators=p.method == "auto")
        if p.method == "auto" and groups.max(initial=-1) < 0:
            return dataclasses.replace(work, said="no two navigators measure the same, so nothing to go by")
        if len(raw.lo_shift_hz) == len(raw.samples):
            return _drift_in_stretches(work, groups, encoding.centre_sample, evolution_s)
        changes = measure_changes(raw.samples, groups, raw.time_s, raw.dwell_s)
        curve = fit_drift(changes, 0.0, float(raw.time_s.max()))  # the frequency was set before the scan began
    frequency_hz = curve.frequency_hz(raw.time_s)
    samples = remove_drift(raw.samples, frequency_hz, raw.dwell_s, encoding.centre_sample, evolution_s=evolution_s)
    said = f"{float(np.ptp(frequency_hz)):.1f} Hz over the scan; {drift_figure(curve, raw.dwell_s, raw.samples.shape[2])}"
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=samples), said=said)


def _drift_in_stretches(
    work: Work, groups: NDArray[np.int64], centre_sample: float, evolution_s: NDArray[np.float64]
) -> Work:
    """The oscillator was moved in pauses of the scan: between them the frequency is smooth, and only there."""
    from isocenter.recon.correct.drift import remove_drift
    from isocenter.recon.correct.drift_stretches import follow_stretches

    raw = work.raw
    stretch = np.concatenate([[0], np.cumsum(np.diff(raw.lo_shift_hz) != 0)])
    frequency_hz = follow_stretches(raw.samples, groups, raw.time_s, raw.dwell_s, stretch)
    samples = remove_drift(raw.samples, frequency_hz, raw.dwell_s, centre_sample, evolution_s=evolution_s)
    said = (
        f"{float(np.ptp(frequency_hz)):.1f} Hz from the oscillator, which was moved {int(stretch[-1])} times by "
        f"{float(np.ptp(raw.lo_shift_hz)):.0f} Hz"
    )
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=samples), said=said)


def _drift_by_looks(work: Work) -> Work:
    """The scan was paused to measure the frequency: between two pauses it is taken to change steadily."""
    raw = work.raw
    if len(raw.drift_hz) != len(raw.samples) or not raw.drift_hz.any():
        return dataclasses.replace(work, said="no navigators and no pauses in which it had changed, so nothing to go by")
    first_s = raw.evolution_s if len(raw.evolution_s) == len(raw.samples) else np.zeros(len(raw.samples))
    if raw.definitions.get("SteadyState", "") == "balanced":  # refocused at the echo whatever the frequency is
        first_s = np.full(len(raw.samples), -(raw.samples.shape[2] // 2) * raw.dwell_s)
    time_s = np.nan_to_num(first_s)[:, np.newaxis] + np.arange(raw.samples.shape[2]) * raw.dwell_s
    turns = raw.drift_hz[:, np.newaxis] * time_s
    samples = raw.samples * np.exp(-2j * np.pi * turns).astype(np.complex64)[:, np.newaxis]
    said = f"{float(np.ptp(raw.drift_hz)):.1f} Hz from the oscillator, by measurements in pauses of the scan"
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=samples), said=said)


def _groups(raw: RawScan, *, only_navigators: bool) -> NDArray[np.int64]:
    """Readouts that measured the same, by number; -1 for those that stand alone.

    Navigators of one echo planar train do not: each lies at another time of free evolution.
    """
    names = ("NAV", "LIN", "PAR", "SLC", "ECO", "SET", "PHS", "REV", "SEG")
    navigators = _is_navigator(raw)
    keys = np.stack([np.where(navigators & (name in {"LIN", "PAR"}), 0, raw.label(name)) for name in names], axis=1)
    if len(raw.evolution_s) == len(raw.samples):
        microseconds = np.round(np.nan_to_num(raw.evolution_s) * 1e6).astype(np.int64)
        keys = np.concatenate([keys, microseconds[:, np.newaxis]], axis=1)
    use = (raw.label("NOISE") == 0) & (navigators | (not only_navigators))
    _, which, counts = np.unique(
        np.concatenate([keys, use[:, np.newaxis]], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    which = which.ravel()
    return np.where((counts[which] > 1) & use, which, -1).astype(np.int64)


def _is_navigator(raw: RawScan) -> NDArray[np.bool_]:
    """Lines that follow the frequency; those of a reference train (REF) come all at once and tell nothing of drift."""
    return np.asarray((raw.label("NAV") != 0) & (raw.label("REF") == 0))


def _evolution_s(raw: RawScan, centre_sample: float) -> NDArray[np.float64]:
    """For how long phase has grown at each readout's centre [s]."""
    if len(raw.evolution_s) == len(raw.samples):
        return np.nan_to_num(raw.evolution_s + centre_sample * raw.dwell_s)
    is_gradient_echo = raw.definitions.get("ScanningSequence", "").strip().upper().startswith("GR")
    te_s = raw.facts.te_s if raw.facts is not None and is_gradient_echo and np.isfinite(raw.facts.te_s) else 0.0
    return np.full(len(raw.samples), te_s)


def _rough_image(raw: RawScan, rows: NDArray[np.bool_], lines: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Image of one channel and contrast, good enough to see how sharp it is."""
    encoding, (read, lin, par) = encoded_axes(raw.encoding)
    n_slices = max(len(encoding.slice_positions_m), 1)
    grid = np.zeros((n_slices, lines.shape[1], par.n_samples, lin.n_samples, lines.shape[2]), dtype=np.complex64)
    where = tuple(raw.label(name)[rows] for name in ("SLC", "PAR", "LIN"))
    for channel in range(lines.shape[1]):
        grid[:, channel][where] = lines[:, channel]
    axes = [(4, lines.shape[2], read.centre), (3, lin.n_samples, lin.centre)]
    return to_images(grid, [*axes, (2, par.n_samples, par.centre)] if par.n_samples > 1 else axes, overwrite=True)


STEPS: Final = (
    Step(
        name="interference",
        title="Interference removal",
        help="Takes out of the coils what sensor channels explain (EDITER). A scan without interference stays as it is.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=interference,
        parameters=Interference,
        is_live=False,
    ),
    Step(
        name="tones",
        title="Tone removal",
        help="Takes out narrow interference without sensors. A scan without tones stays as it is.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=tones,
        is_live=False,
    ),
    Step(
        name="drift",
        title="Frequency drift",
        help="Makes readouts as if the magnet's frequency had not changed while the scan ran.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=drift,
        parameters=Drift,
        is_live=False,
    ),
)
