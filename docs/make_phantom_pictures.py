# SPDX-License-Identifier: MIT
"""Makes docs/phantoms/*.png: three planes through each phantom, as a heavily T2-weighted and a short-TR scan would show it.

Run from the top folder: ``python docs/make_phantom_pictures.py [NAME ...]``.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from isocenter.virtual.phantoms.catalogue import PHANTOMS
from isocenter.virtual.phantoms.phantom import Phantom
from isocenter.virtual.phantoms.simple import GRID_MARKER_LPS_M

FOLDER = Path(__file__).parent / "phantoms"
PIXELS, SUPERSAMPLE = 200, 3
PROTON_TE_S, PROTON_TR_S = 0.015, 0.6
# Where the planes cross, where the middle of the phantom shows little.
CENTRE_M = {
    "head": (0.010, 0.004, 0.014),
    "knee": (-0.020, 0.004, -0.006),
    "acr": (0.0, 0.0, -0.061),
    "acr-small": (0.0, 0.0, -0.010),
    "nema": (0.0, -0.018, 0.030),
    "block": (0.032, -0.022, 0.018),
    "grid": GRID_MARKER_LPS_M,
    "vials": (0.045, 0.0, 0.0),
    "vials-t1": (0.060, 0.0, 0.0),
    "vials-t2": (0.060, 0.0, 0.0),
}


def plane(phantom: Phantom, across: int, down: int, size_m: float, centre: tuple[float, ...]) -> np.ndarray:
    """Mean signal over pixels of a plane; L to the right of the picture (patient's right on the left), P down, S up."""
    n = PIXELS * SUPERSAMPLE
    axis = ((np.arange(n) + 0.5) / n - 0.5) * size_m
    middle = (np.asarray(phantom.low_m) + np.asarray(phantom.high_m)) / 2
    places = np.tile(np.asarray(centre, dtype=float), (n * n, 1))
    rows, columns = np.meshgrid(axis if down == 1 else -axis, axis, indexing="ij")
    places[:, across] = columns.ravel() + middle[across]
    places[:, down] = rows.ravel() + middle[down]
    weight = np.array(
        [0.0]
        + [t.density * np.exp(-PROTON_TE_S / t.t2_s) * -np.expm1(-PROTON_TR_S / t.t1_s) + 0.02 for t in phantom.tissues]
    )
    picture = weight[phantom.label(places)].reshape(PIXELS, SUPERSAMPLE, PIXELS, SUPERSAMPLE)
    return picture.mean(axis=(1, 3))


def draw(phantom: Phantom) -> Image.Image:
    """Axial, coronal and sagittal plane side by side."""
    size_m = 1.04 * float(np.max(np.asarray(phantom.high_m) - np.asarray(phantom.low_m)))
    centre = CENTRE_M.get(phantom.name, (0.0, 0.0, 0.0))
    planes = [
        plane(phantom, 0, 1, size_m, centre),
        plane(phantom, 0, 2, size_m, centre),
        plane(phantom, 1, 2, size_m, centre),
    ]
    grey = np.hstack(planes) / max(float(p.max()) for p in planes)
    picture = Image.fromarray((255 * grey).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for column, (left, right, up) in enumerate((("R", "L", "A"), ("R", "L", "S"), ("A", "P", "S"))):
        x = column * PIXELS
        pen.text((x + 3, PIXELS // 2 - 6), left, fill=200)
        pen.text((x + PIXELS - 10, PIXELS // 2 - 6), right, fill=200)
        pen.text((x + PIXELS // 2 - 3, 2), up, fill=200)
    return picture


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PHANTOMS:
        draw(PHANTOMS[name]).save(FOLDER / f"{name}.png", optimize=True)
