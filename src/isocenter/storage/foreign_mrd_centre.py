# SPDX-License-Identifier: MIT
"""Where k-space has its centre, when header, trajectory and data do not agree: the data decide where they can."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_PEAKED: Final = 3.0
"""Energy near the strongest index must be this often what an even spread would give."""
_SHORT: Final = 12
_TOLERANCE: Final = 1
_STRONGEST: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """Index of k = 0 along an axis, and what a person should know about it."""

    index: int
    warnings: tuple[str, ...] = ()


def read_centre(
    samples: NDArray[np.complex64], said: int | None, trajectory: NDArray[np.float32] | None, axis: int
) -> Centre:
    """Centre of the readout.

    Parameters
    ----------
    samples
        Shape ``(n_lines, n_channels, n_samples)``.
    said
        The heads' ``center_sample``; None when they leave it 0.
    trajectory
        Shape ``(n_lines, n_samples, n_axes)``, None without.
    axis
        Of the trajectory along which is read.
    """
    n_samples = samples.shape[2]
    power = _power(samples).sum(axis=1)
    by_line = power.sum(axis=1)
    strongest = np.argsort(by_line)[-max(int(_STRONGEST * len(by_line)), 1) :]
    found = peak(power[strongest].sum(axis=0, dtype=np.float64))
    drawn = None if trajectory is None else int(np.abs(np.median(trajectory[:, :, axis], axis=0)).argmin())
    said = said if said is not None and said < n_samples else None
    index = found if found is not None else said if said is not None else drawn if drawn is not None else n_samples // 2
    if found is not None and said is not None and abs(found - said) <= _TOLERANCE:
        index = said
    warnings = []
    if said is not None and abs(said - index) > _TOLERANCE:
        warnings.append(f"The lines say that sample {said} is the centre of k-space; in the data it is sample {index}.")
    if drawn is not None and abs(drawn - index) > 0:
        warnings.append(
            f"The trajectory puts the centre of k-space at sample {drawn}, the {'data' if found is not None else 'lines'} "
            f"at sample {index}; the latter is used."
        )
    return Centre(index=index, warnings=tuple(warnings))


def step_centre(name: str, values: NDArray[np.int32], samples: NDArray[np.complex64], said: int | None, size: int) -> Centre:
    """Centre of a phase encoding in values of its counter.

    Parameters
    ----------
    name
        LIN or PAR.
    values
        The counter of each line.
    said
        The header's centre, None without.
    size
        Of the header's matrix.
    """
    lowest, highest = int(values.min()), int(values.max())
    energy = _power(samples).sum(axis=(1, 2), dtype=np.float64)
    sums = np.bincount(values - lowest, weights=energy)
    counts = np.bincount(values - lowest)
    found = peak(np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0))
    found = None if found is None else found + lowest
    default = size // 2 if lowest >= 0 and highest < max(size, 1) else (lowest + highest + 1) // 2
    is_inside = said is not None and lowest <= said <= highest
    index = said if said is not None and is_inside else default
    if found is not None and abs(found - index) > _TOLERANCE:
        index = found
    warnings: tuple[str, ...] = ()
    if said is not None and said != index:
        warnings = (f"The header puts the centre of k-space at {name} {said}; in the data it is at {name} {index}.",)
    return Centre(index=index, warnings=warnings)


def _power(samples: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Of each sample, 2 at most, so that nothing overflows."""
    largest = np.float32(max(np.abs(samples.real).max(initial=0), np.abs(samples.imag).max(initial=0)))
    if not largest > 0:
        return np.zeros(samples.shape, dtype=np.float32)
    return np.asarray((samples.real / largest) ** 2 + (samples.imag / largest) ** 2, dtype=np.float32)


def peak(profile: NDArray[np.float64]) -> int | None:
    """Index around which the energy of a profile gathers, None when it does not."""
    total = float(profile.sum())
    if len(profile) < _SHORT or not total > 0:
        return None
    strongest = int(profile.argmax())
    reach = max(len(profile) // 16, 1)
    near = profile[max(strongest - reach, 0) : strongest + reach + 1]
    return strongest if near.sum() / total * len(profile) / len(near) >= min(_PEAKED, len(profile) / 4) else None
