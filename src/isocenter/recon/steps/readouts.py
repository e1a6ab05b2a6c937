# SPDX-License-Identifier: MIT
"""Steps on readouts: receiver, phase cycling, noise of several channels."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, number
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex
from isocenter.recon.steps.base import Stage, Step, Work

_NOT_IMAGE: Final = ("NAV", "NOISE", "OFF")
_FEW_SAMPLES: Final = 16  # noise samples per channel below which a covariance is a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """What the receive chain left to correct."""

    delay_s: float = number(
        0.0,
        "Delay left",
        unit="us",
        low=-1e-2,
        high=1e-2,
        help="By how much the samples come later than the file says; moves the place of k = 0 along the readout.",
    )


def receive(work: Work, p: Receive) -> Work:
    """Says what the receiver did, and moves k = 0 by a delay that it left."""
    raw = work.raw
    done = "CIC droop and delay undone when the samples were received" if raw.facts is not None else "as the file has them"
    if p.delay_s == 0 or raw.encoding is None:
        return dataclasses.replace(work, said=done)
    encoding = dataclasses.replace(raw.encoding, centre_sample=raw.encoding.centre_sample - p.delay_s / raw.dwell_s)
    return dataclasses.replace(work, raw=dataclasses.replace(raw, encoding=encoding), said=done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """How the phase of averages was cycled."""

    cycle: str = choice(
        "received",
        "Phase cycle",
        choices=("received", "alternate", "quarter"),
        help="received: the receiver's phase has followed the pulses already, as the compiler makes it; alternate: every "
        "second average has the opposite sign; quarter: each is turned by 90 degrees more than the one before.",
    )


def average(work: Work, p: Average) -> Work:
    """Averages with their phases made equal, so that ``sort`` can take their mean."""
    number_of = work.raw.label("AVG")
    n_averages = int(number_of.max(initial=0)) + 1
    if p.cycle == "received" or n_averages == 1:
        said = f"{n_averages} averages, phases as received" if n_averages > 1 else "one average"
        return dataclasses.replace(work, said=said)
    turn = {"alternate": -1.0 + 0j, "quarter": 1j}[p.cycle]
    back = (np.complex128(turn) ** number_of).conj().astype(np.complex64)
    samples = work.raw.samples * back[:, np.newaxis, np.newaxis]
    raw = dataclasses.replace(work.raw, samples=samples)
    return dataclasses.replace(work, raw=raw, said=f"phases of {n_averages} averages turned back")


def whiten(work: Work, _: object) -> Work:
    """Channels mixed so that their noise is independent and equally strong."""
    raw = work.raw
    coils = [index for index in range(raw.samples.shape[1]) if index not in raw.sensor_channels]
    if len(coils) < 2:
        return dataclasses.replace(work, said="one channel, nothing to do")
    noise = noise_of(raw)
    if noise is None:
        return dataclasses.replace(work, said="no noise readouts, so the channels stay as they are")
    if noise.shape[0] * noise.shape[2] < _FEW_SAMPLES * len(coils):
        raise ReconError(
            f"{noise.shape[0] * noise.shape[2]} samples of noise do not tell how {len(coils)} channels are related.",
            "Measure more noise readouts.",
        )
    mixing = whitening_matrix(noise[:, coils])
    samples = raw.samples.copy()
    samples[:, coils] = np.einsum("ab,rbs->ras", mixing, samples[:, coils])
    said = f"from {noise.shape[0] * noise.shape[2]} noise samples of {len(coils)} channels"
    return dataclasses.replace(work, raw=dataclasses.replace(raw, samples=samples), said=said)


def noise_of(raw: RawScan) -> Complex | None:
    """The scan's noise readouts, kept apart or among the others; None without any."""
    if raw.noise is not None and raw.noise.size:
        return raw.noise
    marked = raw.label("NOISE") != 0
    return raw.samples[marked] if marked.any() else None


def whitening_matrix(noise: Complex) -> Complex:
    """Matrix W such that ``W noise`` has one and the same power in every channel and no correlation between them.

    Parameters
    ----------
    noise
        complex64, shape ``(n, n_channels, n_samples)``.

    Returns
    -------
        complex64, shape ``(n_channels, n_channels)``, lower triangular; the mean power of the channels stays what it is, so
        that images keep their scale.

    Raises
    ------
    ReconError
        A channel without noise, or two that are the same.
    """
    flat = noise.transpose(1, 0, 2).reshape(noise.shape[1], -1).astype(np.complex128)
    flat -= flat.mean(axis=1, keepdims=True)
    covariance: NDArray[np.complex128] = flat @ flat.conj().T / flat.shape[1]
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        lower = np.zeros((0, 0), dtype=np.complex128)
    if len(lower) == 0 or np.linalg.cond(covariance) > 1e10:
        raise ReconError(
            "The noise of the channels does not make a regular covariance: one is silent, or two are the same.",
            "Check the receivers' cables, or take 'whiten' out of the pipeline.",
        )
    scale = np.sqrt(np.trace(covariance).real / len(covariance))
    return np.asarray(np.linalg.inv(lower) * scale, dtype=np.complex64)


def is_imaging(raw: RawScan) -> NDArray[np.bool_]:
    """Which readouts are lines of the image: no noise, no navigator, no line only for calibration."""
    skip = np.zeros(len(raw.samples), dtype=bool)
    for name in _NOT_IMAGE:
        skip |= raw.label(name) != 0
    skip |= (raw.label("REF") != 0) & (raw.label("IMA") == 0)
    return ~skip


STEPS: Final = (
    Step(
        name="receive",
        title="Receiver",
        help="Records that droop and delay of the receiver's filter were undone; corrects a delay that is left.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=receive,
        parameters=Receive,
        is_required=True,
    ),
    Step(
        name="average",
        title="Phase cycle",
        help="Turns averages back that were measured with other phases; the mean itself is taken by 'sort'.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=average,
        parameters=Average,
        is_required=True,
    ),
    Step(
        name="whiten",
        title="Noise whitening",
        help="Makes the noise of several channels independent and equal, from the scan's noise readouts.",
        takes=Stage.READOUTS,
        gives=Stage.READOUTS,
        run=whiten,
    ),
)
