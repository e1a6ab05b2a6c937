# SPDX-License-Identifier: MIT
"""Makes scenarios/fields/osii-mini-generated.csv: a field like that of an OSII Mini magnet before shimming.

Nobody measured it. It has what the published map of the NIST build has: a ball of 100 mm, points every 5 mm (4169 of them),
a mean of 45.67 mT, 8985 ppm from peak to peak and a standard deviation of 1283 ppm. Its shape is that of small errors of
magnets in a ring around the bore, plus smooth terms: both are solutions of Laplace's equation.

Run from the top folder: ``python scripts/make_field_table.py``.
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from isocenter.domain.harmonics import harmonic_keys, harmonic_values

OUT = Path(__file__).resolve().parent.parent / "scenarios" / "fields" / "osii-mini-generated.csv"
MEAN_T, PEAK_TO_PEAK_PPM, DEVIATION_PPM = 45.67e-3, 8985.0, 1283.0
RADIUS_M, STEP_M, RING_M = 0.05, 0.005, 0.075


def points() -> np.ndarray:
    """The ball on its grid."""
    axis = np.arange(-10, 11) * STEP_M
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return places[np.linalg.norm(places, axis=1) < RADIUS_M + 1e-9]


def ring_errors(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Field along Y of weak dipoles on a cylinder about Z, each an error of one magnet."""
    angle, height = rng.uniform(0, 2 * np.pi, 60), rng.uniform(-0.1, 0.1, 60)
    at = np.stack([RING_M * np.cos(angle), RING_M * np.sin(angle), height], axis=1)
    moment = rng.normal(size=(60, 3))
    reach = places[:, None] - at
    far = np.linalg.norm(reach, axis=2)
    along = (moment * reach).sum(axis=2)
    return ((3 * along * reach[..., 1] / far**2 - moment[:, 1]) / far**3).sum(axis=1)


def shape(places: np.ndarray, share: float) -> np.ndarray:
    """A mixture of smooth terms and magnets' errors with mean 0 and standard deviation 1."""
    rng = np.random.default_rng(4567)
    keys = harmonic_keys(2)[1:]
    smooth = rng.normal(size=len(keys)) @ harmonic_values(places / RADIUS_M, keys)
    errors = ring_errors(places, rng)
    mixed = (1 - share) * smooth / smooth.std() + share * errors / errors.std()
    return (mixed - mixed.mean()) / mixed.std()


if __name__ == "__main__":
    places = points()
    wanted = PEAK_TO_PEAK_PPM / DEVIATION_PPM
    share = brentq(lambda s: np.ptp(shape(places, s)) - wanted, 0.0, 1.0)
    field = MEAN_T * (1 + 1e-6 * DEVIATION_PPM * shape(places, share))
    rows = [f"{x:.3f},{y:.3f},{z:.3f},{b:.8f}" for (x, y, z), b in zip(places, field, strict=True)]
    remarks = [
        "# GENERATED, NOT MEASURED: a field like that of an OSII Mini magnet before shimming.",
        "# Made by scripts/make_field_table.py from published figures of the NIST build:",
        "# mean 45.67 mT, 8985 ppm peak to peak, 1283 ppm standard deviation over 100 mm.",
        "X_m,Y_m,Z_m,B0_T",
    ]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join([*remarks, *rows]) + "\n", encoding="utf-8")
