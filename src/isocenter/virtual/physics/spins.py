# SPDX-License-Identifier: MIT
"""Isochromats: the flat arrays that the Bloch engine turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 256
"""Spins that walk through the whole sequence together, so that their state stays in the first-level cache."""


ALIKE: Final = (1.0, 1.0, 1.0, 2e-5)
"""How much a difference in place [1/m] and frequency [1/Hz] counts when spins are put into blocks: no direction preferred,
and frequency against place about as in a readout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinSet:
    """What is in the magnet, one row an isochromat; arrays of length n.

    Attributes
    ----------
    position_m
        Device axes [m], shape (n, 3), float32.
    tissue
        Index into ``t1_s`` and ``t2_s``, int16.
    t1_s, t2_s
        Relaxation times of each tissue [s], float64, shape (n_tissues,).
    weight
        Receiver signal of this isochromat at full transverse magnetisation [1 = receiver full scale], complex64:
        density, volume and receive sensitivity. Of shape (n_channels, n) for several receive channels.
    offset_hz
        Deviation of its frequency from the magnet's centre frequency [Hz], float32: field map, T2', chemical shift.
    b1_scale
        Transmit field over the nominal, float32.
    diffusion_m2_per_s
        Diffusion coefficient of each tissue [m2/s], float64, shape (n_tissues,); empty when nothing diffuses.
    """

    position_m: NDArray[np.float32]
    tissue: NDArray[np.int16]
    t1_s: NDArray[np.float64]
    t2_s: NDArray[np.float64]
    weight: NDArray[np.complex64]
    offset_hz: NDArray[np.float32]
    b1_scale: NDArray[np.float32]
    diffusion_m2_per_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        n = len(self.position_m)
        if not n:
            raise ValueError("a spin set needs at least one spin")
        for name in ("tissue", "offset_hz", "b1_scale"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, position_m has {n}")
        if self.weight.ndim not in (1, 2) or self.weight.shape[-1] != n:
            raise ValueError(f"weight has shape {self.weight.shape}, position_m has {n} rows")
        if np.any(self.t1_s <= 0) or np.any(self.t2_s <= 0):
            raise ValueError("relaxation times must be positive")
        if len(self.diffusion_m2_per_s) not in (0, len(self.t1_s)):
            raise ValueError(f"diffusion_m2_per_s has {len(self.diffusion_m2_per_s)} rows, t1_s has {len(self.t1_s)}")

    def __len__(self) -> int:
        return len(self.position_m)


def spin_set(
    position_m: NDArray[np.floating],
    *,
    t1_s: float | NDArray[np.floating] = np.inf,
    t2_s: float | NDArray[np.floating] = np.inf,
    weight: complex | NDArray[np.inexact] = 1.0,
    offset_hz: float | NDArray[np.floating] = 0.0,
    b1_scale: float | NDArray[np.floating] = 1.0,
) -> SpinSet:
    """Spin set from values for each spin or for all; tissues are the distinct pairs of T1 and T2."""
    n = len(position_m)
    pairs = np.stack([np.broadcast_to(t1_s, n), np.broadcast_to(t2_s, n)], axis=1).astype(np.float64)
    unique, tissue = np.unique(pairs, axis=0, return_inverse=True)
    return SpinSet(
        position_m=np.asarray(position_m, dtype=np.float32).reshape(n, 3),
        tissue=tissue.reshape(n).astype(np.int16),
        t1_s=unique[:, 0].copy(),
        t2_s=unique[:, 1].copy(),
        weight=np.broadcast_to(weight, n).astype(np.complex64),
        offset_hz=np.broadcast_to(offset_hz, n).astype(np.float32),
        b1_scale=np.broadcast_to(b1_scale, n).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """Where spins are when neighbours of one tissue lie together in blocks, padded with silent copies of a neighbour.

    Attributes
    ----------
    slot
        Place of each spin of the set, int64, shape (n,).
    block_tissue
        Tissue of each block, int64.
    """

    slot: NDArray[np.int64]
    block_tissue: NDArray[np.int64]

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.block_tissue)

    def spread(self, values: NDArray[np.floating], *, is_padded: bool = False) -> NDArray[np.float32]:
        """Values of shape ``(..., n)`` in blocks, float32, shape ``(..., n_blocks, BLOCK)``.

        Padding is zero, or the value of the block's first spin if ``is_padded``.
        """
        out = np.zeros((*values.shape[:-1], self.n_blocks * BLOCK), dtype=np.float32)
        out[..., self.slot] = values
        if is_padded:
            is_padding = np.ones(self.n_blocks * BLOCK, dtype=np.bool_)
            is_padding[self.slot] = False
            padding = np.flatnonzero(is_padding)
            out[..., padding] = out[..., padding // BLOCK * BLOCK]
        return out.reshape(*values.shape[:-1], self.n_blocks, BLOCK)

    def gather(self, blocks: NDArray[np.floating]) -> NDArray[np.floating]:
        """Values of shape ``(..., n)`` in the order of the set, from blocks of shape ``(..., n_blocks, BLOCK)``."""
        return blocks.reshape(*blocks.shape[:-2], -1)[..., self.slot]


def block_layout(
    coordinates: NDArray[np.floating], tissue: NDArray[np.integer], n_tissues: int, weights: Sequence[float] = ALIKE
) -> Layout:
    """Sort spins by tissue, place and frequency, and pad to whole blocks.

    The phases of a block of neighbours differ little, which saves most of the work of a readout.

    Parameters
    ----------
    coordinates
        Three places [m] and the frequency [Hz] of each spin, shape (4 or more, n).
    tissue
        Of each spin, shape (n,).
    weights
        How much a difference in each coordinate counts; what a readout makes of it is best.
    """
    order = _neighbours_first(coordinates, tissue, n_tissues, weights)
    counts = np.bincount(tissue, minlength=n_tissues)
    blocks = -(-counts // BLOCK)
    first_slot = np.concatenate([[0], np.cumsum(blocks)[:-1]]) * BLOCK
    first_spin = np.concatenate([[0], np.cumsum(counts)[:-1]])
    slot = np.empty(len(tissue), dtype=np.int64)
    slot[order] = np.arange(len(tissue)) + np.repeat(first_slot - first_spin, counts)
    return Layout(slot, np.repeat(np.arange(len(blocks)), blocks).astype(np.int64))


def _neighbours_first(
    coordinates: NDArray[np.floating], tissue: NDArray[np.integer], n_tissues: int, weights: Sequence[float]
) -> NDArray[np.int64]:
    """Spins of each tissue one after the other, neighbours together in whole blocks: boxes cut at their longest edge."""
    places = np.stack([row * weight for row, weight in zip(coordinates, weights, strict=False)], axis=1, dtype=np.float32)
    order = np.argsort(tissue, kind="stable")
    counts = np.bincount(tissue, minlength=n_tissues)
    open_parts = [part for part in np.split(order, np.cumsum(counts)[:-1]) if len(part)][::-1]
    done: list[NDArray[np.int64]] = []
    while open_parts:
        part = open_parts.pop()
        if len(part) <= BLOCK:
            done.append(part)
            continue
        own = places[part]
        axis = int(np.argmax(np.ptp(own, axis=0)))
        n_left = -(-len(part) // BLOCK) // 2 * BLOCK
        cut = np.argpartition(own[:, axis], n_left)
        open_parts.extend([part[cut[n_left:]], part[cut[:n_left]]])
    return np.concatenate(done)
