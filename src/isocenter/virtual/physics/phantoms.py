# SPDX-License-Identifier: MIT
"""Spins of a phantom in a magnet, and the voxelised truth that images of it are compared with."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.virtual.phantoms.catalogue import find_phantom
from isocenter.virtual.phantoms.phantom import Phantom
from isocenter.virtual.physics.points import fill
from isocenter.virtual.physics.spins import SpinSet

SIGNAL_PER_M3: Final = 100.0
"""Signal of one cubic metre of water after a 90 degree pulse [1 = receiver full scale / m3]: a head gives about 0.2."""

OVERLAP_HZ: Final = 300.0
"""Frequencies of a T2' distribution are cut off here; its tails would reach infinitely far [Hz]."""

_CHUNK: Final = 1 << 16


def phantom_spins(
    phantom: str | Phantom,
    *,
    n_spins: int = 100_000,
    seed: int = 0,
    position: PatientPosition = PatientPosition.HFS,
    larmor_hz: float = 0.0,
    has_t2_prime: bool = True,
) -> SpinSet:
    """Spins of a phantom in a perfect magnet.

    They are made a layer at a time straight into the arrays that stay, so that ten million need little more than those.

    Parameters
    ----------
    phantom
        Name of a phantom, or one.
    n_spins
        About how many.
    seed
        Chooses the sub-voxel positions and frequencies.
    position
        How the patient lies; it turns the phantom in the device.
    larmor_hz
        Frequency at which chemical shift is seen; 0 for none [Hz].
    has_t2_prime
        Spread frequencies inside each tissue.

    Raises
    ------
    ConfigError
        There is no phantom of that name, or it is empty.
    """
    if isinstance(phantom, str):
        phantom = find_phantom(phantom)
    rng = np.random.default_rng([seed, 0x5217])
    position_m, tissue, spacing_m = _place(phantom, n_spins, rng, lps_from_device(position))
    offset_hz = _frequencies(phantom, tissue, rng, larmor_hz, has_t2_prime=has_t2_prime)
    density = np.array([t.density for t in phantom.tissues]) * spacing_m**3 * SIGNAL_PER_M3
    weight = density.astype(np.complex64)[tissue]
    b1_scale = np.ones(len(tissue), dtype=np.float32)
    return SpinSet(
        position_m=position_m,
        tissue=tissue,
        t1_s=np.array([t.t1_s for t in phantom.tissues]),
        t2_s=np.array([t.t2_s for t in phantom.tissues]),
        weight=weight,
        offset_hz=offset_hz,
        b1_scale=b1_scale,
        diffusion_m2_per_s=np.array([t.diffusion_m2_per_s for t in phantom.tissues]),
    )


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK))


def _place(
    phantom: Phantom, n_spins: int, rng: np.random.Generator, lps_from_axes: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int16], float]:
    """Places inside a phantom [m], their tissues, and the edge of the cube that each stands for [m]."""
    low, high = np.asarray(phantom.low_m), np.asarray(phantom.high_m)
    probe = low + (high - low) * rng.random((100_000, 3))
    share = float((phantom.label(probe) > 0).mean())
    if share == 0:
        raise ConfigError(f"The phantom {phantom.name!r} is empty.", "Choose another phantom or label map.")
    spacing_m = float(np.cbrt(share * np.prod(high - low) / n_spins))
    # The room that is not used is never touched, so it costs no memory.
    position_m = np.empty((int(1.2 * n_spins) + 4096, 3), dtype=np.float32)
    tissue = np.empty(len(position_m), dtype=np.int16)
    n = 0
    for layer in fill(low, high, spacing_m, rng):
        for at in _chunks(len(layer)):
            label = phantom.label(layer[at])
            inside = np.flatnonzero(label)
            end = n + len(inside)
            if end > len(tissue):
                position_m = np.concatenate([position_m, np.empty_like(position_m)])
                tissue = np.concatenate([tissue, np.empty_like(tissue)])
            position_m[n:end] = layer[at][inside] @ lps_from_axes
            tissue[n:end] = label[inside] - 1
            n = end
    return position_m[:n], tissue[:n], spacing_m


def _frequencies(
    phantom: Phantom, tissue: NDArray[np.int16], rng: np.random.Generator, larmor_hz: float, *, has_t2_prime: bool
) -> NDArray[np.float32]:
    """Chemical shift and a random part of each spin's T2' [Hz]."""
    shift_hz = np.array([t.shift_ppm * 1e-6 * larmor_hz for t in phantom.tissues])
    width_hz = np.array([1 / (2 * np.pi * t.t2_prime_s) for t in phantom.tissues])
    out = np.empty(len(tissue), dtype=np.float32)
    for at in _chunks(len(tissue)):
        total = shift_hz[tissue[at]]
        if has_t2_prime:
            total += np.clip(width_hz[tissue[at]] * rng.standard_cauchy(len(total)), -OVERLAP_HZ, OVERLAP_HZ)
        out[at] = total
    return out


def label_map(phantom: str | Phantom, places_lps_m: NDArray[np.floating]) -> NDArray[np.int16]:
    """Labels of a phantom at places of any shape ``(..., 3)`` in patient axes; 0 is air, i the phantom's tissue i - 1."""
    if isinstance(phantom, str):
        phantom = find_phantom(phantom)
    places = np.asarray(places_lps_m, dtype=np.float64)
    return phantom.label(places.reshape(-1, 3)).reshape(places.shape[:-1])


def density_map(
    phantom: str | Phantom,
    places_lps_m: NDArray[np.floating],
    voxel_lps_m: NDArray[np.floating],
    *,
    te_s: float = 0.0,
    tr_s: float = np.inf,
    supersample: int = 4,
) -> NDArray[np.float64]:
    """Mean of density, weighted as a spin echo would be, over voxels of a grid: the image that should come out.

    Parameters
    ----------
    phantom
        Name of a phantom, or one.
    places_lps_m
        Centres of voxels in patient axes [m], shape ``(..., 3)``.
    voxel_lps_m
        Edges of a voxel as vectors in patient axes [m], rows of shape (3, 3).
    te_s, tr_s
        Weight each tissue by exp(-te / T2) (1 - exp(-tr / T1)).
    supersample
        Points along each edge over which the mean is taken.

    Returns
    -------
        Relative to water, shape ``(...)``.
    """
    if isinstance(phantom, str):
        phantom = find_phantom(phantom)
    weight = np.array([0.0, *(t.density * np.exp(-te_s / t.t2_s) * -np.expm1(-tr_s / t.t1_s) for t in phantom.tissues)])
    places = np.asarray(places_lps_m, dtype=np.float64)
    flat = places.reshape(-1, 3)
    steps = (np.arange(supersample) + 0.5) / supersample - 0.5
    total = np.zeros(len(flat))
    for a in steps:
        for b in steps:
            for c in steps:
                total += weight[phantom.label(flat + np.array([a, b, c]) @ np.asarray(voxel_lps_m))]
    return (total / supersample**3).reshape(places.shape[:-1])
