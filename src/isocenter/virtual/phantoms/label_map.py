# SPDX-License-Identifier: MIT
"""A phantom that a user brings: a NIfTI label map with a table of tissues beside it.

The table has the name of the map with the ending ``.toml``: ``brain.toml`` for ``brain.nii.gz``.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isocenter.config.scenarios import load_tissues
from isocenter.domain.errors import ConfigError
from isocenter.storage.label_map import read_label_map
from isocenter.virtual.phantoms.phantom import Phantom
from isocenter.virtual.phantoms.solids import Labels, Places, Triple
from isocenter.virtual.phantoms.tissue import Tissue


def table_path(path: Path) -> Path:
    """Table of tissues that belongs to a label map."""
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".toml")


def load_label_map(path: Path) -> Phantom:
    """Phantom of a label map.

    Raises
    ------
    ConfigError
        The table of tissues is missing or wrong, or has no row for a label of the map.
    StorageError
        The map cannot be read or is none.
    """
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _load(path: Path, _changed_ns: int) -> Phantom:
    found = read_label_map(path)
    rows = load_tissues(table_path(path))
    counts = np.bincount(found.labels.ravel())
    known = {row.label for row in rows}
    missing = [label for label in np.flatnonzero(counts).tolist() if label and label not in known]
    if missing:
        named = ", ".join(f"{label} ({counts[label]} voxels)" for label in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ConfigError(
            f"{path.name} holds labels that {table_path(path).name} does not explain: {named}{more}.",
            f"Add a [[tissue]] for each to {table_path(path)}, or set those voxels to 0, air.",
        )
    # Label i of the phantom is its tissue i - 1, whatever the numbers in the file.
    renumber = np.zeros(max(len(counts), max(known) + 1), dtype=np.int16)
    for number, row in enumerate(rows, start=1):
        renumber[row.label] = number
    low, high = _box(found.labels, found.lps_from_index_m)
    return Phantom(
        name=path.name,
        summary=f"Label map {path.name} with {len(rows)} tissues.",
        tissues=tuple(Tissue(**row.model_dump(exclude={"label"})) for row in rows),
        label=_Lookup(renumber[found.labels], np.asarray(np.linalg.inv(found.lps_from_index_m), dtype=np.float64)),
        low_m=low,
        high_m=high,
    )


class _Lookup:
    """Label of the voxel in which a place lies; 0 outside the map."""

    def __init__(self, labels: NDArray[np.int16], index_from_lps: NDArray[np.float64]) -> None:
        self._labels, self._matrix = labels, index_from_lps

    def __call__(self, places: Places) -> Labels:
        index = np.rint(np.asarray(places) @ self._matrix[:3, :3].T + self._matrix[:3, 3]).astype(np.int64)
        inside = ((index >= 0) & (index < self._labels.shape)).all(axis=1)
        out = np.zeros(len(index), dtype=np.int16)
        out[inside] = self._labels[tuple(index[inside].T)]
        return out


def _box(labels: NDArray[np.int16], lps_from_index_m: NDArray[np.float64]) -> tuple[Triple, Triple]:
    """Box in patient axes around all voxels that are not air [m]."""
    reach = []
    for axis in range(3):
        used = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        reach.append((used[0] - 0.5, used[-1] + 0.5))
    corners = np.array([[i, j, k] for i in reach[0] for j in reach[1] for k in reach[2]])
    places = corners @ lps_from_index_m[:3, :3].T + lps_from_index_m[:3, 3]
    low, high = places.min(axis=0), places.max(axis=0)
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
