# SPDX-License-Identifier: MIT
"""ISMRMRD files of any console, as a scan that ``recon`` understands; what is wrong with them is put right, with a warning.

Source: ISMRMRD 1.x, schema and header files: counters, limits, flags (1-based bits), directions and positions in
patient axes [mm]. A file says nothing about the sign of its Fourier transform; the custom, and what its tools do, is an
inverse transform from k-space to image. Ours is a forward one, so foreign encoding steps are taken as their negatives,
which is the same image at the same place. Files that this program wrote carry a description and keep their sign.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Placement, lps_from_device
from isocenter.domain.raw import RawScan
from isocenter.storage.foreign_mrd_centre import read_centre, step_centre
from isocenter.storage.foreign_mrd_header import MAX_SIDE, Header, read_header
from isocenter.storage.foreign_mrd_lines import ForeignLines, choose_lines, number_repeats
from isocenter.storage.foreign_mrd_trajectory import find_grid, unit_per_m
from isocenter.storage.mrd_about import decode_about
from isocenter.storage.mrd_table import MrdTable, read_own

_SHORTEST_S, _LONGEST_S = 5e-8, 1e-2
_USUAL_DWELL_S: Final = 1e-5
_MANY: Final = 3


def read_mrd(table: MrdTable, header_xml: bytes, path: Path) -> RawScan:
    """Imaging lines of one encoding space.

    Raises
    ------
    StorageError
        Nothing measured, no field of view, or a trajectory that is not Cartesian and has no coordinates.
    """
    header = read_header(header_xml, path.name)
    if header.own:
        return read_own(table, decode_about(header.own))
    lines = choose_lines(table, header.n_channels, path.name)
    warnings = [*header.warnings, *lines.warnings]
    lines, found = _with_counters(replace(lines, warnings=()), header, warnings)
    if found is None:
        return _free_scan(lines, header, path, warnings)
    lines = number_repeats(lines)
    warnings += lines.warnings
    said = _said_centre(lines.heads)
    centre = read_centre(lines.samples, said, lines.trajectory, found.read_axis)
    warnings += centre.warnings
    header = _with_matrix(replace(header, centres=found.centres or header.centres), lines, warnings)
    samples, centre_sample = _whole_echo(lines.samples, centre.index, header.matrix[0])
    labels, extents, centres = _centred(lines, header, warnings)
    extents_all = (samples.shape[2], *extents)
    if max(extents_all) > MAX_SIDE:
        raise StorageError(
            f"{path.name} claims a matrix of {' x '.join(map(str, extents_all))}.", f"At most {MAX_SIDE} can be read."
        )
    encoding, placement = _geometry(lines.heads, header, extents_all, (float(centre_sample), *centres))
    return RawScan(
        samples=samples,
        labels=labels,
        encoding=encoding,
        placement=placement,
        trajectory_per_m=None,
        **_common(lines, header, path, warnings),
    )


def _common(lines: ForeignLines, header: Header, path: Path, warnings: list[str]) -> dict[str, Any]:
    definitions = {"FOV": " ".join(f"{value:.9g}" for value in header.wanted_fov_m)}
    if all(header.wanted_matrix) and lines.trajectory is not None:
        definitions["Matrix"] = " ".join(map(str, header.wanted_matrix))
    return {
        "dwell_s": _dwell_s(lines.heads, warnings),
        "lo_hz": header.lo_hz,
        "facts": None,
        "definitions": definitions,
        "n_expected": len(lines.samples),
        "name": header.name or path.stem,
        "noise": lines.noise if lines.noise is not None and lines.noise.shape[1] == lines.samples.shape[1] else None,
        "sensor_channels": tuple(c for c in header.sensor_channels if c < lines.samples.shape[1]),
        "warnings": tuple(warnings),
    }


def _dwell_s(heads: NDArray[Any], warnings: list[str]) -> float:
    said_us = float(np.median(heads["sample_time_us"].astype(np.float64)))
    for factor, unit in ((1e-6, ""), (1.0, "seconds"), (1e-9, "nanoseconds")):
        if _SHORTEST_S <= said_us * factor <= _LONGEST_S:
            if unit:
                warnings.append(f"A sample time of {said_us:g} us cannot be right; read as {unit}.")
            return said_us * factor
    warnings.append(f"The lines do not say how long a sample takes; taken as {_USUAL_DWELL_S * 1e6:g} us.")
    return _USUAL_DWELL_S


def _said_centre(heads: NDArray[Any]) -> int | None:
    values, counts = np.unique(heads["center_sample"], return_counts=True)
    return int(values[counts.argmax()]) or None  # many writers leave it 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """How the lines got their counters: along which axis of the trajectory is read; k = 0 where the trajectory gave them."""

    read_axis: int = 0
    centres: tuple[int, int] | None = None


def _with_counters(lines: ForeignLines, header: Header, warnings: list[str]) -> tuple[ForeignLines, _Counted | None]:
    """Lines with counters, from the trajectory or from their order if need be; None when they are on no grid."""
    labels, n = lines.labels, len(lines.samples)
    is_told = n < _MANY or any(len(np.unique(labels[name])) > 1 for name in ("LIN", "PAR"))
    says_grid = header.trajectory == "cartesian"
    grid = None if lines.trajectory is None else find_grid(lines.trajectory)
    if says_grid and is_told:
        return lines, _Counted(read_axis=0 if grid is None else grid.read_axis)
    if lines.trajectory is not None and grid is None:
        if says_grid:
            warnings.append("The header says Cartesian, but neither counters nor trajectories form a grid.")
        return lines, None
    if grid is not None:
        warnings.append("Which line is which was taken from the trajectories.")
        if grid.lin.max() >= max(header.matrix[1], 1) > grid.par.max() and grid.lin.max() < header.matrix[2]:
            grid = replace(grid, lin=grid.par, par=grid.lin, centres=grid.centres[::-1])  # the other way round in the file
        labels = {**labels, "LIN": grid.lin, "PAR": grid.par}
        return replace(lines, labels=labels), _Counted(read_axis=grid.read_axis, centres=grid.centres)
    if not says_grid and header.trajectory != "other":
        raise StorageError(
            f"A {header.trajectory} trajectory was measured, but the file holds no coordinates of its samples.",
            "Export the file again with its trajectories.",
        )
    if is_told:
        warnings.append("The header does not say that the scan is Cartesian; its counters are taken as such.")
        return lines, _Counted()
    n_lin, n_par = max(header.matrix[1], 1), max(header.matrix[2], 1)
    if n % (n_lin * n_par):
        raise StorageError(
            f"None of the {n} lines says which one it is, and a matrix of {n_lin} x {n_par} lines does not tell either.",
            "Export the file again with its encoding counters.",
        )
    warnings.append("No line says which one it is; they are taken in their order.")
    order = np.arange(n, dtype=np.int32) % (n_lin * n_par)
    return replace(lines, labels={**labels, "LIN": order % n_lin, "PAR": order // n_lin}), _Counted()


def _with_matrix(header: Header, lines: ForeignLines, warnings: list[str]) -> Header:
    """Header whose matrix and encoded field of view fit the data."""
    n_samples = lines.samples.shape[2]
    x, y, z = header.matrix
    if not (x and y and z):
        x, y, z = x or n_samples, y or int(np.ptp(lines.labels["LIN"])) + 1, z or int(np.ptp(lines.labels["PAR"])) + 1
        warnings.append(f"The header gives no matrix; taken as {x} x {y} x {z} from the lines.")
    x, fov_m = _oversampled(header, (x, y, z), n_samples, warnings)
    for axis, name, size in ((1, "LIN", y), (2, "PAR", z)):
        seen = int(np.ptp(lines.labels[name])) + 1
        if seen > size:
            warnings.append(f"The header has {size} steps of {name}, the lines {seen}.")
            y, z = (seen, z) if axis == 1 else (y, seen)
    return replace(header, matrix=(x, y, z), fov_m=fov_m)


def _oversampled(
    header: Header, matrix: tuple[int, int, int], n_samples: int, warnings: list[str]
) -> tuple[int, tuple[float, float, float]]:
    """Samples along read, and the encoded field of view, where the header forgot its readout oversampling."""
    x, wanted, fov_m = matrix[0], header.wanted_matrix, header.fov_m
    if not _same(fov_m[0], header.wanted_fov_m[0]):
        return x, fov_m
    times = n_samples // x
    if times > 1 and n_samples == times * x and wanted[0] == x:
        said = f"The lines have {n_samples} samples for {x} voxels; taken as read out {times} times as densely as asked."
    elif wanted[0] and n_samples == x and x % wanted[0] == 0 and x > wanted[0] and 2 * wanted[1] > matrix[1]:
        times = x // wanted[0]
        said = (
            f"The header reads out {times} times as many samples as its images have voxels, over the same field of view; "
            f"taken as {times} times as wide."
        )
    else:
        return x, fov_m
    warnings.append(said)
    return n_samples, (fov_m[0] * times, fov_m[1], fov_m[2])


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-3 * abs(b)


def _whole_echo(samples: NDArray[np.complex64], centre: int, size: int) -> tuple[NDArray[np.complex64], int]:
    """Lines of the header's length with the echo's centre in the middle, zeros where a partial echo has no samples."""
    n_samples = samples.shape[2]
    start = size // 2 - centre
    if n_samples >= size or start < 0 or start + n_samples > size:
        return samples, centre
    whole = np.zeros((*samples.shape[:2], size), dtype=np.complex64)
    whole[:, :, start : start + n_samples] = samples
    return whole, size // 2


def _centred(
    lines: ForeignLines, header: Header, warnings: list[str]
) -> tuple[dict[str, NDArray[np.int32]], tuple[int, int], tuple[float, float]]:
    """Labels counted so that k = 0 is at the middle of the matrix; how many values then; where k = 0 is."""
    labels = dict(lines.labels)
    extents, centres = [], []
    for name, size, said in (
        ("LIN", header.matrix[1], header.centres[0]),
        ("PAR", header.matrix[2], header.centres[1]),
    ):
        found = step_centre(name, labels[name], lines.samples, said, size)
        warnings += found.warnings
        shift = max(size // 2 - found.index, -int(labels[name].min()))
        labels[name] = labels[name] + np.int32(shift)
        extents.append(max(size, int(labels[name].max()) + 1))
        centres.append(float(found.index + shift))
    return labels, (extents[0], extents[1]), (centres[0], centres[1])


def _axes(heads: NDArray[Any], header: Header) -> NDArray[np.float64]:
    """Read, phase and slice direction as columns in patient axes."""
    axes = np.stack([heads[name][0].astype(np.float64) for name in ("read_dir", "phase_dir", "slice_dir")], axis=1)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        axes = lps_from_device(header.position)  # not said: as if along the scanner's own axes
    return axes


def _geometry(
    heads: NDArray[Any], header: Header, extents: tuple[int, int, int], centres: tuple[float, float, float]
) -> tuple[Encoding, Placement]:
    axes, metres = _axes(heads, header), header.unit_m
    device_from_lps = lps_from_device(header.position).T
    device = device_from_lps @ axes
    is_3d = extents[2] > 1
    position_m = np.nan_to_num(heads["position"].astype(np.float64), posinf=0.0, neginf=0.0) * metres
    centre = device_from_lps @ position_m[0]
    slices = heads["idx"]["slice"].astype(np.int64)
    n_slices = int(slices.max()) + 1
    thickness_m = header.wanted_fov_m[2]
    positions_m: NDArray[np.float64] = np.zeros(0)
    if not is_3d:
        first = [np.flatnonzero(slices == index) for index in range(n_slices)]
        places = [position_m[rows[0]] if len(rows) else np.full(3, np.nan) for rows in first]
        positions_m = np.asarray([float(axes[:, 2] @ (place - position_m[0])) for place in places], dtype=np.float64)
        if n_slices > 1 and np.nanmax(positions_m) == np.nanmin(positions_m):  # not said: side by side
            positions_m = thickness_m * np.arange(n_slices, dtype=np.float64)
    encoding = Encoding(
        step_read_per_m=-device[:, 0] / header.fov_m[0],
        step_lin_per_m=-device[:, 1] / header.fov_m[1],
        step_par_per_m=-device[:, 2] / header.fov_m[2] if is_3d else np.zeros(3),
        centre_sample=centres[0],
        centre_lin=centres[1],
        centre_par=centres[2],
        n_samples=extents[0],
        n_lin=extents[1],
        n_par=extents[2],
        slice_positions_m=positions_m,
        slice_normal_device=device[:, 2],
        slice_thickness_m=0.0 if is_3d else thickness_m,
        centre_device_m=centre,
    )
    return encoding, Placement(device_from_logical=device, centre_device_m=centre, position=header.position)


def _free_scan(lines: ForeignLines, header: Header, path: Path, warnings: list[str]) -> RawScan:
    """Lines on no grid, with the place of each sample."""
    assert lines.trajectory is not None
    x, y, z = (size or 1 for size in header.wanted_matrix)
    if not all(header.wanted_matrix[:2]):
        raise StorageError(
            f"The header of {path.name} does not say how many voxels its images have.", "Export the file again with it."
        )
    unit, name = unit_per_m(lines.trajectory, (x, y, z), header.wanted_fov_m)
    warnings.append(f"The trajectories reach so far that they must be in {name}.")
    axes = _axes(lines.heads, header)
    device_from_lps = lps_from_device(header.position).T
    n_axes = lines.trajectory.shape[2]
    to_device = -(device_from_lps @ axes * np.array(unit))[:, :n_axes]
    centre = device_from_lps @ lines.heads["position"][0].astype(np.float64) * header.unit_m
    return RawScan(
        samples=lines.samples,
        labels=lines.labels,
        encoding=None,
        placement=Placement(device_from_logical=device_from_lps @ axes, centre_device_m=centre, position=header.position),
        trajectory_per_m=np.asarray(np.einsum("...a,da->...d", lines.trajectory, to_device), dtype=np.float32),
        **_common(lines, header, path, warnings),
    )
