# SPDX-License-Identifier: MIT
"""What three gradient coils do, from balls of known places that show elsewhere."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.harmonics import CoilField, Key, harmonic_keys, harmonic_values

Floats = NDArray[np.float64]

MOST_RMS_M: Final = 1e-3
"""A fit that leaves more is refused [m]."""
_POSES: Final = 40
_ROBUST_ROUNDS: Final = 4
_STIFFNESS: Final = 1e-5
_BETTER: Final = 0.97  # a higher order must foretell left-out points that much better
_LARGEST_TILT_RAD: Final = 0.1
_LARGEST_SHIFT_M: Final = 0.03
_LARGEST_SCALE: Final = 0.1  # more is a wrong phantom or a wrong hardware file, not a coil
_LINEAR: Final[tuple[Key, ...]] = ((1, 1, False), (1, 1, True), (1, 0, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class CoilFit:
    """Coils, and how the phantom lay.

    Attributes
    ----------
    field
        What the coils do.
    turn
        From the phantom's axes to the device's, shape (3, 3).
    shift_m
        Of the phantom's centre from the isocenter [m], shape (3,).
    scale
        Of each gradient at the isocenter over what the hardware file says, device axes x, y, z.
    foretold_rms_m
        How far points lie from where the others foretell them [m].
    """

    field: CoilField
    turn: Floats
    shift_m: Floats
    scale: tuple[float, float, float]
    foretold_rms_m: float


def candidate_keys(order: int, *, is_odd: bool) -> tuple[Key, ...]:
    """Harmonics of order 1 to ``order``, the odd ones only where the coils are symmetric."""
    return tuple(key for key in harmonic_keys(order) if key[0] > 0 and (key[0] % 2 or not is_odd))


def fit_coils(
    points_m: Floats, shown_m: Floats, *, radius_m: float, order: int = 5, name: str = "", scanner: str = ""
) -> CoilFit:
    """Field of the coils from places in the phantom and where they show, both in device axes but for the phantom's pose.

    Several sets of harmonics are tried: order 1, 3, 5 of symmetric coils, then with even ones too. The smallest is
    taken that foretells points left out of the fit as well as any.

    Parameters
    ----------
    points_m, shown_m
        Of the same balls [m], shape ``(n, 3)``.
    radius_m
        Of the reference sphere [m].
    order
        Highest order.
    name, scanner
        What the field comes from.

    Raises
    ------
    ReconError
        Too few points, or points that no coils explain; says what to do.

    Source
    ------
    Solid harmonics since a coil's field solves Laplace's equation; that the phantom's own pose is unknown makes constant and
    turning parts void.
    """
    orders = [n for n in (1, 3, 5) if n <= order]
    tried = [candidate_keys(n, is_odd=True) for n in orders] + [candidate_keys(n, is_odd=False) for n in orders if n > 1]
    least = 3 * len(tried[0])
    _require(points_m, least)
    best: tuple[float, tuple[Key, ...]] | None = None
    for keys in tried:
        if len(points_m) < 2 * len(keys) + 6:
            continue
        rms_m = _foretold_rms_m(points_m, shown_m, radius_m, keys)
        if best is None or rms_m < _BETTER * best[0]:
            best = rms_m, keys
    assert best is not None
    weights, turn, shift_m, trust = _fit(points_m, shown_m, radius_m, best[1])
    true_m = points_m @ turn.T + shift_m
    left = _left(true_m, shown_m, radius_m, best[1], weights)
    rms_m = float(np.sqrt(np.average((left**2).sum(axis=1), weights=trust)))
    _require_explained(rms_m, turn, shift_m, trust)
    linear = [best[1].index(key) for key in _LINEAR]
    x, y, z = (1 + weights[axis, at] / radius_m for axis, at in enumerate(linear))
    _require_scale((float(x), float(y), float(z)))
    field = CoilField(
        keys=best[1],
        weights_m=weights,
        radius_m=radius_m,
        reach_m=float(np.linalg.norm(true_m, axis=1).max()),
        rms_m=rms_m,
        n_points=len(points_m),
        name=name,
        scanner=scanner,
    )
    scale = float(x), float(y), float(z)
    return CoilFit(field=field, turn=turn, shift_m=shift_m, scale=scale, foretold_rms_m=best[0])


def _require_scale(scale: tuple[float, float, float]) -> None:
    axis = int(np.argmax(np.abs(np.array(scale) - 1)))
    if abs(scale[axis] - 1) > _LARGEST_SCALE:
        raise ReconError(
            f"Along {'xyz'[axis]} the phantom shows at {scale[axis]:.3f} of its size; coils that are right are within "
            f"{_LARGEST_SCALE:.0%}.",
            "See that the phantom named is the one that was scanned. If it is, multiply full_scale_t_per_m of that gradient "
            f"in the hardware file by {scale[axis]:.3f} and scan again.",
        )


def _require(points_m: Floats, least: int) -> None:
    if len(points_m) < max(least, 12):
        raise ReconError(
            f"Only {len(points_m)} balls of the phantom were found; at least {max(least, 12)} are needed.",
            "Lay the phantom into the isocenter, make the field of view cover it, use more averages, and scan again.",
        )
    if np.linalg.svd(points_m - points_m.mean(axis=0), compute_uv=False)[-1] < 1e-3:
        raise ReconError("The balls that were found lie in one plane.", "Scan the whole phantom, in three dimensions.")


def _require_explained(rms_m: float, turn: Floats, shift_m: Floats, trust: Floats) -> None:
    angle = float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if angle > _LARGEST_TILT_RAD or np.linalg.norm(shift_m) > _LARGEST_SHIFT_M:
        raise ReconError(
            f"The phantom lies {np.linalg.norm(shift_m) * 1e3:.0f} mm beside the isocenter and is turned by "
            f"{np.degrees(angle):.0f} degrees.",
            "Lay it into the middle, its axes along those of the magnet, and scan again. See that the patient's position is "
            "the one that was typed.",
        )
    n_wrong = int(np.count_nonzero(trust < 0.1))
    if rms_m > MOST_RMS_M or n_wrong > 0.2 * len(trust):
        raise ReconError(
            f"No gradient coils explain where the balls show: {rms_m * 1e3:.2f} mm are left, {n_wrong} of {len(trust)} "
            "balls do not fit at all.",
            "See that the phantom named is the one that was scanned and did not move; use a higher bandwidth or more voxels "
            "and averages, and scan again.",
        )


def _foretold_rms_m(points_m: Floats, shown_m: Floats, radius_m: float, keys: tuple[Key, ...]) -> float:
    """Robust root mean square of points that were left out of the fit, a fifth at a time [m]."""
    part = np.random.default_rng(0).permutation(len(points_m)) % 5
    left = np.empty(len(points_m))
    for number in range(5):
        inside = part != number
        weights, turn, shift_m, _ = _fit(points_m[inside], shown_m[inside], radius_m, keys)
        true_m = points_m[~inside] @ turn.T + shift_m
        left[~inside] = np.linalg.norm(_left(true_m, shown_m[~inside], radius_m, keys, weights), axis=1)
    cut = np.minimum(left, 4 * float(np.median(left)))
    return float(np.sqrt(np.mean(cut**2)))


def _fit(points_m: Floats, shown_m: Floats, radius_m: float, keys: tuple[Key, ...]) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights of the harmonics, turn and shift of the phantom, and how far each point is trusted."""
    turn, shift_m, trust = np.eye(3), (shown_m - points_m).mean(axis=0), np.ones(len(points_m))
    weights = np.zeros((3, len(keys)))
    linear = [keys.index(key) for key in _LINEAR]
    penalty = _STIFFNESS * np.diag([0.0, *(float(key[0] - 1) ** 2 for key in keys)])
    for _ in range(_ROBUST_ROUNDS):
        for _ in range(_POSES):
            true_m = points_m @ turn.T + shift_m
            values = np.vstack([np.ones(len(points_m)), harmonic_values(true_m / radius_m, keys)])
            weighted = values * (trust / trust.sum())
            solved = np.linalg.solve(weighted @ values.T + penalty, weighted @ (shown_m - true_m)).T
            weights = solved[:, 1:]
            slope = weights[:, linear] / radius_m
            spin = (slope - slope.T) / 2  # what turns is the phantom's doing
            step_m = solved[:, 0]
            turn, shift_m = _turned(turn, shift_m, spin, step_m)
            if np.abs(spin).max() < 1e-9 and np.abs(step_m).max() < 1e-10:
                break
        weights[:, linear] = (slope + slope.T) / 2 * radius_m
        left = np.linalg.norm(_left(points_m @ turn.T + shift_m, shown_m, radius_m, keys, weights), axis=1)
        limit = 3.0 * float(np.median(left)) + 1e-7
        trust = np.minimum(1.0, limit / np.maximum(left, 1e-12)) ** 2
    return weights, turn, shift_m, trust


def _turned(turn: Floats, shift_m: Floats, spin: Floats, step_m: Floats) -> tuple[Floats, Floats]:
    """The pose after a small turn and shift; a rotation stays one."""
    left, _, right = np.linalg.svd((np.eye(3) + spin) @ turn)
    return left @ right, shift_m + spin @ shift_m + step_m


def _left(true_m: Floats, shown_m: Floats, radius_m: float, keys: tuple[Key, ...], weights: Floats) -> Floats:
    return np.asarray(shown_m - true_m - (weights @ harmonic_values(true_m / radius_m, keys)).T)
