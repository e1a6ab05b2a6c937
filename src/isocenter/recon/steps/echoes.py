# SPDX-License-Identifier: MIT
"""Steps that make readouts of both polarities, and the echoes of a train, alike."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, number
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex, to_image, to_kspace
from isocenter.recon.ghost import LinePhase, phase_between, phase_by_entropy
from isocenter.recon.plan import encoded_axes
from isocenter.recon.reference_train import echo_gains, even_amplitude, fit_reference
from isocenter.recon.steps.base import Stage, Step, Work, only
from isocenter.recon.steps.readouts import is_imaging
from isocenter.recon.steps.sort import forward_lines, volumes_of
from isocenter.recon.trains import TrainFit, decay_weights, echo_numbers, echo_spacing_s, fit_background

_MOST_IMAGES: Final = 8
_SAME: Final = 0.005  # strengths that differ by less make no ghost


@dataclass(frozen=True, slots=True, kw_only=True)
class Ghost:
    """How the phase between readouts of both polarities is found."""

    method: str = choice(
        "auto",
        "Method",
        choices=("auto", "reference", "entropy"),
        help="reference: from lines without phase encoding (label REF or NAV) of both polarities; entropy: the sharpest "
        "image; auto: the first where there are such lines, else the second.",
    )


def ghost(work: Work, p: Ghost) -> Work:
    """Reversed readouts in the order and with the phase of the others."""
    raw = work.raw
    is_reversed = raw.label("REV") != 0
    mixed = _of_mixed_volumes(raw, is_reversed)
    if not mixed.any():
        return dataclasses.replace(work, said="all readouts of a volume run the same way")
    image = _lines_image(raw)
    reference = _is_reference(raw)
    has_both = bool((reference & is_reversed).any() and (reference & ~is_reversed).any())
    if p.method == "reference" and not has_both:
        raise ReconError("There are no reference lines of both polarities.", "Measure them (label REF), or use 'entropy'.")
    phases: dict[int, LinePhase] = {}
    slices = raw.label("SLC")
    for index in np.unique(slices).tolist():
        here = slices == index
        if has_both and p.method != "entropy":
            chosen = here & reference if (here & reference & is_reversed).any() else reference
            phases[index] = _from_reference(image, chosen, is_reversed)
        else:
            phases[index] = _from_entropy(raw, image, here & mixed, is_reversed)
        rows = here & is_reversed
        image[rows] *= phases[index].along(image.shape[2])
    corrected = dataclasses.replace(
        raw, samples=_lines_kspace(raw, image), labels={**raw.labels, "REV": np.zeros_like(raw.label("REV"))}
    )
    worst = max(phases.values(), key=lambda phase: abs(phase.constant_rad) + abs(phase.slope_rad))
    shift = worst.slope_rad * image.shape[2] / (2 * np.pi)
    how = "reference lines" if has_both and p.method != "entropy" else "entropy"
    said = f"from {how}: up to {worst.constant_rad:.3f} rad and {shift:.3f} samples"
    return dataclasses.replace(work, raw=corrected, said=said)


def _of_mixed_volumes(raw: RawScan, is_reversed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines of the image that belong to a volume with lines of both polarities."""
    imaging = is_imaging(raw)
    mixed = np.zeros_like(imaging)
    for _key, chosen in volumes_of(raw) if is_reversed.any() else []:
        rows = imaging & chosen
        mixed |= rows & bool(is_reversed[rows].any() and not is_reversed[rows].all())
    return mixed


def _from_reference(image: Complex, chosen: NDArray[np.bool_], is_reversed: NDArray[np.bool_]) -> LinePhase:
    return phase_between(image[chosen & ~is_reversed].mean(axis=0), image[chosen & is_reversed].mean(axis=0))


def _from_entropy(raw: RawScan, image: Complex, chosen: NDArray[np.bool_], is_reversed: NDArray[np.bool_]) -> LinePhase:
    """From images of forward and reversed lines apart, in the planes with the most signal."""
    _, (_read, lin, par) = encoded_axes(raw.encoding)
    rows = np.flatnonzero(chosen)
    planes = raw.label("PAR")[rows]
    shape = (par.n_samples, image.shape[1], lin.n_samples, image.shape[2])
    parts = np.zeros((2, *shape), dtype=np.complex64)
    parts[is_reversed[rows].astype(np.int64), planes, :, raw.label("LIN")[rows]] = image[rows]
    flat = parts.reshape(2, -1, lin.n_samples, image.shape[2])
    strongest = np.argsort(-np.sum(np.abs(flat) ** 2, axis=(0, 2, 3)))[:_MOST_IMAGES]
    halves = to_image(flat[:, strongest], 2, size=lin.n_samples, centre=lin.centre, with_phase=False)
    return phase_by_entropy(halves[0], halves[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoTrain:
    """How differences between echoes are found, and which are taken away."""

    method: str = choice(
        "auto",
        "Method",
        choices=("auto", "measured", "reference", "background"),
        help="reference: from a train without phase encoding (label REF or NAV); measured: likewise, and nothing without "
        "one; background: the phase alone, with which the image is darkest around the object; auto: reference where there "
        "is such a train, else background.",
    )
    amplitude: str = choice(
        "leave",
        "Amplitude",
        choices=("leave", "even", "equal"),
        help="From a reference train. even: takes away what goes up and down from echo to echo and leaves the decay; equal: "
        "makes all echoes as strong as the central one: sharper, with more noise.",
    )
    factor: float = number(
        3.0, "Largest gain", unit="", low=1.0, high=20.0, help="No echo is made stronger than by this factor."
    )


def echo_train(work: Work, p: EchoTrain) -> Work:
    """The echoes of a train with the phase, and if wanted the strength, of the one that carries the centre of k-space."""
    raw, reference = work.raw, _reference_train(work.raw)
    if p.method == "measured" and not reference.any():
        return dataclasses.replace(work, said="no reference train, so nothing to go by")
    echoes, imaging = echo_numbers(raw), is_imaging(raw)
    if int(echoes[imaging].max(initial=0)) == 0:
        return dataclasses.replace(work, said="one echo after each excitation")
    central = _central_echo(raw, echoes, imaging)
    if p.method == "background" or (p.method == "auto" and not reference.any()):
        if p.amplitude != "leave":
            raise ReconError("The background does not tell the strength of echoes.", "Measure a reference train.")
        image = _lines_image(raw)
        fit, gains, how = _from_background(raw, image, echoes, imaging, central), None, "the background"
    elif reference.any():
        if int(echoes[imaging].max()) > int(echoes[reference].max()):
            raise ReconError(f"The reference train has no echo {int(echoes[imaging].max())}.", "Measure a whole train.")
        lines = np.delete(_lines_image(only(raw, reference)), raw.sensor_channels, axis=1)  # sensors hear no signal
        fit = fit_reference(lines, echoes[reference], central)
        gains, how = _gains(fit, p), "the reference train"
    else:
        raise ReconError("There is no reference train.", "Measure one (label REF), or use 'background'.")
    said = f"from {how}: {_describe(fit, gains, central, raw.samples.shape[2])}"
    if gains is None and not fit.constant_rad.any() and not fit.slope_rad.any():
        return dataclasses.replace(work, said=said)
    return dataclasses.replace(work, raw=_corrected(raw, imaging, echoes, fit, gains), said=said)


def _reference_train(raw: RawScan) -> NDArray[np.bool_]:
    """Lines of a reference train: those with REF, else navigators."""
    marked = (raw.label("REF") != 0) & (raw.label("IMA") == 0) & (raw.label("NOISE") == 0)
    return np.asarray(marked) if marked.any() else _is_reference(raw)


def _gains(fit: TrainFit, p: EchoTrain) -> NDArray[np.float64] | None:
    """Factor of each echo; None where their strength is left."""
    if p.amplitude == "leave":
        return None
    if p.amplitude == "equal":
        return echo_gains(fit.amplitude, fit.noise, p.factor)
    off = even_amplitude(fit.amplitude)
    return None if np.abs(np.log(off)).max() < max(2 * fit.error_rad, _SAME) else np.minimum(1 / off, p.factor)


def _describe(fit: TrainFit, gains: NDArray[np.float64] | None, central: int, n_samples: int) -> str:
    """What was found, and what is left alone."""
    parts = []
    if fit.constant_rad.any() or fit.slope_rad.any():
        shift = np.abs(fit.slope_rad).max() * n_samples / (2 * np.pi)
        parts.append(f"phases up to {np.abs(fit.constant_rad).max():.3f} rad against echo {central + 1}")
        parts += [f"k = 0 up to {shift:.3f} samples off"] if shift else []
    else:
        parts.append("no phase of an echo stands out, so they stay")
    if fit.n_unsure:
        parts.append(f"{fit.n_unsure} echoes too weak, left as they are")
    if gains is None:
        parts.append(f"strength down to {100 * np.nanmin(fit.amplitude):.0f} % (left)")
    else:
        parts.append(f"strength changed by {gains.min():.2f} to {gains.max():.2f}")
    return ", ".join(parts)


def _corrected(
    raw: RawScan,
    imaging: NDArray[np.bool_],
    echoes: NDArray[np.int32],
    fit: TrainFit,
    gains: NDArray[np.float64] | None,
) -> RawScan:
    """The scan with phase and strength of each echo's lines of the image changed."""
    factors = np.ones(int(echoes.max()) + 1, dtype=np.complex128)
    factors[: len(fit.constant_rad)] = np.exp(-1j * fit.constant_rad) * (1.0 if gains is None else gains)
    factor = np.where(imaging, factors[echoes], 1).astype(np.complex64)
    if not fit.slope_rad.any():
        return dataclasses.replace(raw, samples=raw.samples * factor[:, np.newaxis, np.newaxis])
    image = _lines_image(raw)
    image *= factor[:, np.newaxis, np.newaxis]
    for echo in np.flatnonzero(fit.slope_rad).tolist():
        phase = LinePhase(constant_rad=0.0, slope_rad=float(fit.slope_rad[echo]))
        image[imaging & (echoes == echo)] *= phase.along(image.shape[2])
    return dataclasses.replace(
        raw, samples=_lines_kspace(raw, image), labels={**raw.labels, "REV": np.zeros_like(raw.label("REV"))}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deblur:
    """Which decay along the train is undone."""

    t2_s: float = number(
        0.1,
        "T2",
        unit="ms",
        low=0.005,
        high=5.0,
        help="Of the tissue that is to be sharp; others get a little too sharp.",
    )
    noise: float = number(
        0.3, "Care", unit="", low=0.01, high=3.0, help="Level over the signal below which an echo is not raised further."
    )


def deblur(work: Work, p: Deblur) -> Work:
    """Lines as if the signal had not decayed along the echo train, as far as noise allows."""
    raw = work.raw
    echoes, imaging = echo_numbers(raw), is_imaging(raw)
    if int(echoes.max(initial=0)) == 0:
        return dataclasses.replace(work, said="one echo after each excitation")
    central = _central_echo(raw, echoes, imaging)
    weights = decay_weights(int(echoes.max()) + 1, central, echo_spacing_s(raw, echoes), p.t2_s, p.noise)
    gain = float(np.sqrt(np.mean(weights[echoes[imaging]] ** 2)))
    factor = np.where(imaging, weights[echoes], 1.0).astype(np.float32)
    samples = raw.samples * factor[:, np.newaxis, np.newaxis]
    return dataclasses.replace(
        work, raw=dataclasses.replace(raw, samples=samples), said=f"noise is {gain:.2f} times what it was"
    )


def _central_echo(raw: RawScan, echoes: NDArray[np.int32], imaging: NDArray[np.bool_]) -> int:
    _, (_read, lin, par) = encoded_axes(raw.encoding)
    distance = np.hypot(raw.label("LIN") - lin.centre, (raw.label("PAR") - par.centre) * 1e-3)
    rows = np.flatnonzero(imaging)
    return int(echoes[rows[int(np.argmin(distance[rows]))]])


def _from_background(
    raw: RawScan, image: Complex, echoes: NDArray[np.int32], imaging: NDArray[np.bool_], central: int
) -> TrainFit:
    _, (_read, lin, par) = encoded_axes(raw.encoding)
    rows = np.flatnonzero(imaging & (raw.label("AVG") == 0))
    n_slices, n_channels = int(raw.label("SLC").max()) + 1, image.shape[1]
    where = (raw.label("SLC")[rows], raw.label("PAR")[rows], raw.label("LIN")[rows])
    hybrid = np.zeros((n_slices, par.n_samples, lin.n_samples, *image.shape[1:]), dtype=np.complex64)
    hybrid[where] = image[rows]
    numbers = np.full(hybrid.shape[:3], -1, dtype=np.int32)
    numbers[where] = echoes[rows]
    flat = np.moveaxis(hybrid, 3, 1).reshape(-1, *hybrid.shape[1:3], image.shape[2])
    return fit_background(flat, np.repeat(numbers, n_channels, axis=0), central, (par.centre, lin.centre))


def _is_reference(raw: RawScan) -> NDArray[np.bool_]:
    return np.asarray(((raw.label("REF") != 0) | (raw.label("NAV") != 0)) & (raw.label("NOISE") == 0))


def _lines_image(raw: RawScan) -> Complex:
    """Images along the readout, reversed ones turned round; a new array."""
    lines = forward_lines(raw)
    _, (read, _lin, _par) = encoded_axes(raw.encoding)
    return to_image(lines, 2, size=lines.shape[2], centre=read.centre)


def _lines_kspace(raw: RawScan, image: Complex) -> Complex:
    _, (read, _lin, _par) = encoded_axes(raw.encoding)
    return to_kspace(image, 2, centre=read.centre)


STEPS: Final = (
    Step(
        name="ghost",
        title="Ghost correction",
        help="Takes away the phase between readouts of both polarities (label REV), which makes a ghost at half the field "
        "of view. Does nothing when all run the same way.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=ghost,
        parameters=Ghost,
        is_live=False,
    ),
    Step(
        name="echo_train",
        title="Echo train",
        help="Makes the echoes of a train alike in phase, and in strength if wanted. Skipped with its reason when neither "
        "a reference train nor the lines themselves tell.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=echo_train,
        parameters=EchoTrain,
        is_live=False,
    ),
    Step(
        name="deblur",
        title="T2 deblurring",
        help="Undoes the decay along an echo train (Wiener): sharper, with more noise where late echoes lie outside.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=deblur,
        parameters=Deblur,
        is_live=False,
    ),
)
