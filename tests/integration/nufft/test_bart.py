# SPDX-License-Identifier: MIT
"""Our transform and our least squares against BART's commands: same data, same picture."""

import subprocess

import numpy as np
import pytest

from isocenter.recon.nufft.density import spoke_weights
from isocenter.recon.nufft.inverse import Grid, InverseOptions, Method, Samples, invert
from isocenter.recon.nufft.transform import Nufft

pytestmark = pytest.mark.peer("bart")

N = 48


def write(folder, name, array):
    """BART's file: first dimension fastest, so the axes of a C-ordered array count from the back."""
    (folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(str(n) for n in array.shape[::-1]) + "\n")
    np.ascontiguousarray(array, dtype=np.complex64).tofile(folder / f"{name}.cfl")


def read(folder, name):
    sizes = [int(word) for word in (folder / f"{name}.hdr").read_text().splitlines()[1].split()]
    return np.fromfile(folder / f"{name}.cfl", dtype=np.complex64).reshape(sizes[::-1]).squeeze()


def bart(folder, *words):
    done = subprocess.run(["bart", *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def spokes(n_dim):
    """Positions [cycles per voxel], columns in array order."""
    if n_dim == 2:
        angle, radius = (
            np.pi * np.arange(70) / 70,
            (np.arange(2 * N) - N + 0.5) / (2 * N) * 0.97,
        )  # BART clips windows at the edge
        direction = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    else:
        i, radius = np.arange(900) + 0.5, np.arange(N) / (2 * N)
        polar, azimuth = np.arccos(1 - 2 * i / 900), np.pi * (1 + 5**0.5) * i
        direction = np.stack([np.cos(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)], axis=1)
    return direction[:, np.newaxis] * radius[:, np.newaxis]


def write_positions(folder, points):
    # x first, in steps of one over the field of view, and the other sign: BART's forward transform has exp(-2 pi i k r).
    pixels = np.zeros((*points.shape[:-1], 3))
    pixels[..., : points.shape[-1]] = -points[..., ::-1] * N
    write(folder, "where", pixels)


def far_up_to_a_factor(theirs, ours):
    theirs = theirs * (np.vdot(theirs, ours) / np.vdot(theirs, theirs))
    return np.linalg.norm(theirs - ours) / np.linalg.norm(ours)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_transforms_are_those_of_bart(tmp_path, n_dim):
    rng, points, shape = np.random.default_rng(n_dim), spokes(n_dim), (N,) * n_dim
    image = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    samples = (rng.standard_normal(points.shape[:2]) + 1j * rng.standard_normal(points.shape[:2])).astype(np.complex64)
    ours = Nufft(points.reshape(-1, n_dim), shape, (1.0,) * n_dim)
    write_positions(tmp_path, points)
    write(tmp_path, "image", image)
    write(tmp_path, "samples", samples[..., np.newaxis])
    bart(tmp_path, "nufft", "where", "image", "forward")
    bart(tmp_path, "nufft", "-a", "-d", ":".join(str(n) for n in (*shape, 1)[:3]), "where", "samples", "adjoint")
    forward, adjoint = read(tmp_path, "forward").reshape(-1), read(tmp_path, "adjoint")
    # White noise shows the errors of both at their largest; BART 0.8's are 5e-3 here, ours 1e-4 (against exact sums).
    assert far_up_to_a_factor(forward, ours.forward(image)) < 1e-2
    assert far_up_to_a_factor(adjoint, ours.adjoint(samples.reshape(-1))) < 1e-2


def test_least_squares_of_several_coils_are_no_worse_than_those_of_bart(tmp_path):
    rng, points = np.random.default_rng(9), spokes(2)
    y, x = np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2] / N
    body = ((x / 0.42) ** 2 + (y / 0.36) ** 2 < 1) * (1 - 0.5 * (np.hypot(x - 0.12, y + 0.05) < 0.1)) + 0j
    coils = np.stack(
        [np.exp(-2 * ((x - np.cos(a) / 2) ** 2 + (y - np.sin(a) / 2) ** 2) + 1j * a) for a in (0, 1.6, 3.1, 4.7)]
    )
    coils = (coils / np.linalg.norm(coils, axis=0)).astype(np.complex64)
    flat = points.reshape(-1, 2)
    values = Nufft(flat, (N, N), (1.0, 1.0)).forward((coils * body).astype(np.complex64))
    values += 0.002 * np.abs(values).std() * (rng.standard_normal(values.shape) + 1j * rng.standard_normal(values.shape))
    samples = Samples(
        values=values.astype(np.complex64), points_per_m=flat, weights=spoke_weights(points, (1.0, 1.0)).reshape(-1)
    )
    options = InverseOptions(method=Method.CG_SENSE, n_iterations=30, tolerance=0.0)
    ours = invert(samples, Grid(shape=(N, N), voxel_m=(1.0, 1.0)), options=options, coils=coils).image
    write_positions(tmp_path, points)
    write(tmp_path, "samples", values.reshape(4, *points.shape[:2], 1))
    write(tmp_path, "coils", coils[:, np.newaxis])
    bart(tmp_path, "pics", "-S", "-l2", "-r0", "-i30", "-t", "where", "samples", "coils", "image")
    theirs = read(tmp_path, "image")
    error = {name: far_up_to_a_factor(found, body) for name, found in (("ours", ours), ("theirs", theirs))}
    assert error["ours"] < 0.1
    assert error["ours"] < 1.05 * error["theirs"]
    assert far_up_to_a_factor(theirs, ours) < 0.1
