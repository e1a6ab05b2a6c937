# SPDX-License-Identifier: MIT
"""Spins of a phantom in a magnet, and the voxelised truth that images of it are compared with."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.virtual.physics.points import fill
from isocenter.virtual.physics.shapes import Phantom, find_phantom
from isocenter.virtual.physics.spins import SpinSet

SIGNAL_PER_M3: Final = 100.0
"""Signal of one cubic metre of water after a 90 degree pulse [1 = receiver full scale / m3]: a head gives about 0.2."""

OVERLAP_HZ: Final = 300.0
"""Frequencies of a T2' distribution are cut off here; its tails would reach infinitely far [Hz]."""


def phantom_spins(
    name: str,
    *,
    n_spins: int = 100_000,
    seed: int = 0,
    position: PatientPosition = PatientPosition.HFS,
    larmor_hz: float = 0.0,
    has_t2_prime: bool = True,
) -> SpinSet:
    """Spins of a phantom in a perfect magnet.

    Parameters
    ----------
    name
        Of the phantom.
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
    """
    phantom = find_phantom(name)
    rng = np.random.default_rng([seed, 0x5217])
    places, labels, spacing_m = _place(phantom, n_spins, rng)
    tissue = (labels - 1).astype(np.int16)
    offset = np.array([t.shift_ppm * 1e-6 * larmor_hz for t in phantom.tissues])[tissue]
    if has_t2_prime:
        width_hz = np.array([1 / (2 * np.pi * t.t2_prime_s) for t in phantom.tissues])[tissue]
        offset = offset + np.clip(width_hz * rng.standard_cauchy(len(places)), -OVERLAP_HZ, OVERLAP_HZ)
    density = np.array([t.density for t in phantom.tissues])[tissue]
    return SpinSet(
        position_m=(places @ lps_from_device(position)).astype(np.float32),
        tissue=tissue,
        t1_s=np.array([t.t1_s for t in phantom.tissues]),
        t2_s=np.array([t.t2_s for t in phantom.tissues]),
        weight=(density * spacing_m**3 * SIGNAL_PER_M3).astype(np.complex64),
        offset_hz=offset.astype(np.float32),
        b1_scale=np.ones(len(places), dtype=np.float32),
    )


def _place(phantom: Phantom, n_spins: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int16], float]:
    """Places inside a phantom, their labels, and the edge of the cube that each stands for [m]."""
    low, high = np.asarray(phantom.low_m), np.asarray(phantom.high_m)
    probe = low + (high - low) * rng.random((100_000, 3))
    volume_m3 = float((phantom.label(probe) > 0).mean() * np.prod(high - low))
    spacing_m = float(np.cbrt(volume_m3 / n_spins))
    kept: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int16]] = []
    for layer in fill(low, high, spacing_m, rng):
        label = phantom.label(layer)
        kept.append(layer[label > 0])
        labels.append(label[label > 0])
    return np.concatenate(kept), np.concatenate(labels), spacing_m


def label_map(name: str, places_lps_m: NDArray[np.floating]) -> NDArray[np.int16]:
    """Labels of a phantom at places of any shape ``(..., 3)`` in patient axes; 0 is air, i the phantom's tissue i - 1."""
    phantom = find_phantom(name)
    places = np.asarray(places_lps_m, dtype=np.float64)
    return phantom.label(places.reshape(-1, 3)).reshape(places.shape[:-1])


def density_map(
    name: str,
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
    name
        Of the phantom.
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
    phantom = find_phantom(name)
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
