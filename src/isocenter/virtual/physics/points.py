# SPDX-License-Identifier: MIT
"""Places for spins: even enough that images are smooth, irregular enough that nothing echoes that should not.

A lattice comes back into phase whenever a gradient's moment meets its reciprocal lattice: false echoes as strong as true
ones. Random places never do, but make images grainy. Points of a stealthy hyperuniform pattern have neither fault: their
density does not fluctuate at all at scales that an image resolves, and beyond that they are as disordered as a liquid.

``data/points.npy`` holds one periodic tile, made by ``make_tile`` (a minute). It is laid out turned to no simple direction.

Source
------
S. Torquato, Physics Reports 745 (2018) 1, section 9: stealthy patterns by minimising the structure factor in a sphere.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.float64]

TILE_SIDE: Final = 12
"""A tile holds this many points cubed, one in each unit of volume."""
BAND: Final = 0.8
"""Up to this many turns per mean distance the points add up to nothing."""

_TURN: Final = np.linalg.qr(np.array([[1.0, 0.31, -0.53], [-0.42, 1.0, 0.27], [0.61, -0.19, 1.0]]))[0]


def load_tile() -> Places:
    """The tile, shape ``(TILE_SIDE**3, 3)``, coordinates 0 ... TILE_SIDE."""
    with (files("isocenter.virtual.physics") / "data" / "points.npy").open("rb") as file:
        return np.asarray(np.load(file), dtype=np.float64)


def fill(low_m: Places, high_m: Places, spacing_m: float, rng: np.random.Generator) -> Iterator[Places]:
    """Points in a box at one point per cubed spacing, a layer of tiles at a time, each of shape ``(n, 3)`` [m]."""
    tile, edge_m = load_tile() * spacing_m, TILE_SIDE * spacing_m
    shift_m = rng.random(3) * edge_m
    centre, reach_m = (low_m + high_m) / 2, float(np.linalg.norm(high_m - low_m)) / 2
    number = np.arange(-int(np.ceil(reach_m / edge_m)) - 1, int(np.ceil(reach_m / edge_m)) + 1)
    corners = np.stack(np.meshgrid(number, number, number, indexing="ij"), axis=-1) * edge_m + shift_m
    radius_m = edge_m * np.sqrt(3) / 2
    for layer in corners:
        middles = (layer.reshape(-1, 3) + edge_m / 2) @ _TURN.T + centre
        near = ((middles > low_m - radius_m) & (middles < high_m + radius_m)).all(axis=1)
        places = (layer.reshape(-1, 3)[near][:, None, :] + tile).reshape(-1, 3) @ _TURN.T + centre
        yield places[((places >= low_m) & (places < high_m)).all(axis=1)]


def make_tile(seed: int = 7) -> Places:
    """A new tile: points moved until their structure factor vanishes for every wave of the tile within ``BAND``."""
    from scipy.optimize import minimize

    n = np.arange(-int(BAND * TILE_SIDE), int(BAND * TILE_SIDE) + 1)
    squares = n[:, None, None] ** 2 + n[None, :, None] ** 2 + n[None, None, :] ** 2
    wanted = (squares <= (BAND * TILE_SIDE) ** 2) & (squares > 0)
    start = np.random.default_rng(seed).random((TILE_SIDE**3, 3)) * TILE_SIDE

    def cost(flat: Places) -> tuple[float, Places]:
        points = flat.reshape(-1, 3)
        turn = -2j * np.pi / TILE_SIDE * n
        x, y, z = (np.exp(np.outer(turn, points[:, axis])) for axis in range(3))
        yz = (y[:, None, :] * z[None, :, :]).reshape(-1, len(points))
        waves = (x @ yz.T).reshape(wanted.shape) * wanted
        slope = np.empty_like(points)
        for axis in range(3):
            factor = turn.reshape([-1 if other == axis else 1 for other in range(3)])
            inner = (np.conj(waves) * factor).reshape(len(n), -1) @ yz
            slope[:, axis] = 2 * np.real(x * inner).sum(axis=0)
        return float((np.abs(waves) ** 2).sum()) / len(points), slope.ravel() / len(points)

    found = minimize(
        cost, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-14, "gtol": 1e-9}
    )
    return np.asarray(found.x.reshape(-1, 3) % TILE_SIDE, dtype=np.float64)
