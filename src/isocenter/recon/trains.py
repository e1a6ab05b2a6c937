# SPDX-License-Identifier: MIT
"""Phase and amplitude from echo to echo of a train: what makes ghosts and blur in turbo spin echo images."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex, to_images

_GAP: Final = 1.5  # a pause longer than so many usual ones is not between two echoes of a train
_ROUNDS: Final = 2
_MOST_VALUES: Final = 2**25
_DARK: Final = 0.15  # of the bright part of the image
_LEAST_BACKGROUND: Final = 0.06
_CLEAR: Final = 0.3  # size of a factor below which noise has taken its phase over; half of it is still of some use
_FAINT: Final = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainFit:
    """How each echo of a train differs from the one that carries the centre of k-space.

    Attributes
    ----------
    constant_rad, slope_rad
        Phase of each echo's image line: at the centre, and for each voxel along the readout, shape ``(n_echoes,)``.
    amplitude
        Over that of the central echo, shape ``(n_echoes,)``; NaN where it is not known.
    noise
        Level of the noise over the central echo's signal, in the image of a line; 0 where it is not known.
    error_rad
        To be expected of the phases; of the amplitudes too, as a share of them.
    n_unsure
        Echoes that noise hides; their phase is given as 0.
    """

    constant_rad: NDArray[np.float64]
    slope_rad: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    noise: float = 0.0
    error_rad: float = 0.0
    n_unsure: int = 0


def echo_numbers(raw: RawScan) -> NDArray[np.int32]:
    """Which echo of its train each readout is, from 0.

    From the label SEG where the sequence sets it; else from the times: readouts follow each other evenly within a train,
    and a longer pause begins a new one. An echo that was played and not received leaves a pause of whole spacings; at the
    start of a train nothing tells, so sequences that leave echoes out should set SEG.

    Raises
    ------
    ReconError
        Neither is there.
    """
    if "SEG" in raw.labels and raw.label("SEG").max(initial=0) > 0:
        return raw.label("SEG")
    n_echoes = raw.facts.echo_train_length if raw.facts is not None else 0
    if len(raw.time_s) != len(raw.samples) or len(raw.time_s) < 2 or n_echoes < 2:
        raise ReconError("Nothing says which echo of its train a readout is.", "Set the label SEG in the sequence.")
    gaps = np.diff(raw.time_s)
    spacing_s = float(np.median(gaps[gaps < np.median(gaps) * _GAP]))
    steps = np.round(gaps / spacing_s).astype(np.int64)
    numbers = np.zeros(len(raw.time_s), dtype=np.int32)
    for index, step in enumerate(steps.tolist()):
        number = int(numbers[index]) + step
        numbers[index + 1] = number if 0 < number < n_echoes else 0
    return numbers


def echo_spacing_s(raw: RawScan, echoes: NDArray[np.int32]) -> float:
    """Time from one echo of a train to the next [s], from the readouts' times, else the definition EchoSpacing.

    Raises
    ------
    ReconError
        Neither says.
    """
    if len(raw.time_s) == len(echoes) and len(echoes) > 1:
        gaps, steps = np.diff(raw.time_s), np.diff(echoes)
        within = (steps > 0) & (gaps > 0)
        if within.any():
            return float(np.median(gaps[within] / steps[within]))
    try:
        spacing_s = float(raw.definitions.get("EchoSpacing", ""))
    except ValueError:
        spacing_s = 0.0
    if not 0 < spacing_s < 10:
        raise ReconError("Nothing says how far apart the echoes of a train are.", "Set the definition EchoSpacing.")
    return spacing_s


def decay_weights(n_echoes: int, central: int, spacing_s: float, t2_s: float, noise: float) -> NDArray[np.float64]:
    """Wiener weights that undo the decay along a train, 1 at the central echo, shape ``(n_echoes,)``.

    Parameters
    ----------
    noise
        Level over the signal at which noise would be raised more than signal; larger is more careful.

    Source
    ------
    Reference performance.md 3: ``W = T / (T^2 + noise^2)`` with the decay T.
    """
    decay = np.exp(-(np.arange(n_echoes) - central) * spacing_s / t2_s)
    return np.asarray(decay * (1 + noise**2) / (decay**2 + noise**2))


def fit_background(hybrid: Complex, echo_of_line: NDArray[np.int32], central: int, centres: tuple[float, float]) -> TrainFit:
    """Constant phase of each echo from the image's own background, which is darkest when all echoes fit together.

    The image is the sum of the images of each echo's lines. Outside the object the sum is zero; so, with the central echo
    fixed, the factors of the others are a linear least-squares fit there. Their phases are used. Their sizes say how much of
    an echo stands out of the noise: one that does not keeps its phase, which does little harm.

    Parameters
    ----------
    hybrid
        Image along the readout, k-space along PAR and LIN, complex, shape ``(n_images, n_par, n_lin, n_voxels)``.
    echo_of_line
        Echo of each line, -1 where none was measured, shape ``(n_images, n_par, n_lin)``.
    central
        The echo that keeps its phase.
    centres
        Index of k = 0 along PAR and LIN.

    Raises
    ------
    ReconError
        The object leaves no background, or its signal is too weak, to tell.

    Source
    ------
    Own; checked in tests/unit/recon/test_echoes.py against phases that were put in.
    """
    n_echoes = int(echo_of_line.max()) + 1
    columns = _columns(hybrid, n_echoes)
    axes = [(2, hybrid.shape[2], centres[1])]
    axes += [(1, hybrid.shape[1], centres[0])] if hybrid.shape[1] > 1 else []
    parts = np.stack(
        [
            to_images(np.where((echo_of_line == echo)[..., np.newaxis], hybrid[..., columns], np.complex64(0)), axes)
            for echo in range(n_echoes)
        ]
    )
    factors: NDArray[np.complex128] = np.ones(n_echoes, dtype=np.complex128)
    others = [echo for echo in range(n_echoes) if echo != central]
    for _ in range(_ROUNDS):  # a better image tells the background better
        background = _background(np.tensordot(factors / np.maximum(np.abs(factors), _FAINT), parts, axes=1))
        dark = parts[:, background].astype(np.complex128)
        gram = dark.conj() @ dark.T
        gram[np.diag_indices(n_echoes)] *= 1 + 1e-6
        factors[others] = np.linalg.solve(gram[np.ix_(others, others)], -gram[others, central])
    sizes = np.abs(factors)
    if np.max(sizes[others], initial=0.0) < _CLEAR:
        raise ReconError(
            f"The background tells the phase of no echo: the best stands out by {np.max(sizes[others], initial=0.0):.2f}, "
            f"and {_CLEAR} would be of use.",
            "Measure a reference train, or leave this step away.",
        )
    return TrainFit(
        constant_rad=np.where(sizes >= _FAINT, -np.angle(factors), 0.0),
        slope_rad=np.zeros(n_echoes),
        amplitude=np.ones(n_echoes),
    )


def _columns(hybrid: Complex, n_echoes: int) -> NDArray[np.int64]:
    """Voxels along the readout that are looked at: all, or the strongest as memory allows."""
    power = np.sum(np.abs(hybrid) ** 2, axis=(0, 1, 2), dtype=np.float64)
    most = max(_MOST_VALUES // (n_echoes * hybrid[..., 0].size), 4)
    return np.sort(np.argsort(-power)[:most])


def _background(image: NDArray[np.complex128]) -> NDArray[np.bool_]:
    """Where the object is not, shape of the image ``(n_images, n_par, n_lin, n_voxels)``."""
    from scipy.ndimage import binary_dilation, uniform_filter1d

    size = uniform_filter1d(np.abs(image), 5, axis=2)
    object_ = size > _DARK * np.percentile(size, 99)
    background = ~binary_dilation(object_, structure=np.ones((1, 1, 5, 1), dtype=bool))
    if background.mean() < _LEAST_BACKGROUND:
        raise ReconError(
            f"The object fills {100 - 100 * background.mean():.0f} % of the field of view: there is no background to tell.",
            "Measure a reference train, or enlarge the field of view.",
        )
    return np.asarray(background)
