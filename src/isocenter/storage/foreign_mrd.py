# SPDX-License-Identifier: MIT
"""Cartesian ISMRMRD files of any console, as a scan that ``recon`` understands.

Source: ISMRMRD 1.x, schema and header files: counters, limits, flags (1-based bits), directions and positions in
patient axes [mm]. A file says nothing about the sign of its Fourier transform; the custom, and what its tools do, is an
inverse transform from k-space to image. Ours is a forward one, so foreign encoding steps are taken as their negatives,
which is the same image at the same place. Files that this program wrote carry its own user parameters and keep their sign.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import PatientPosition, Placement, lps_from_device
from isocenter.domain.raw import RawScan

_NAMESPACE: Final = "{http://www.ismrm.org/ISMRMRD}"
_OWN_PARAMETERS: Final = frozenset({"lo_hz", "clock_hz", "acquisition_time_stamp_unit_s"})
_NOT_IMAGE: Final = (19, 23, 24, 26, 27, 28, 29)  # noise, navigation, phase correction, feedbacks, dummies, coil correction
_CALIBRATION, _REVERSED = 20, 22
_COUNTERS: Final = {
    "LIN": "kspace_encode_step_1",
    "PAR": "kspace_encode_step_2",
    "SLC": "slice",
    "AVG": "average",
    "ECO": "contrast",
    "PHS": "phase",
    "REP": "repetition",
    "SET": "set",
}
_MAX_LINES = 2**22
_MAX_SIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What of the XML header a reconstruction needs; sizes along read, phase, second phase."""

    matrix: tuple[int, int, int]
    fov_m: tuple[float, float, float]
    wanted_fov_m: tuple[float, float, float]
    centres: tuple[int | None, int | None]
    position: PatientPosition
    lo_hz: float
    is_ours: bool
    name: str


def is_mrd(file: Any, group: str) -> bool:
    """True when the HDF5 file has an ISMRMRD group of this name."""
    return group in file and hasattr(file[group], "keys") and {"xml", "data"} <= set(file[group].keys())


def read_mrd(group: Any, path: Path) -> RawScan:
    """Imaging lines of the first encoding space.

    Raises
    ------
    StorageError
        Not Cartesian, nothing measured, or lines that do not fit each other.
    """
    header = _read_header(group["xml"][0], path)
    if group["data"].shape[0] > _MAX_LINES:
        raise StorageError(f"{path.name} claims {group['data'].shape[0]} lines.", f"At most {_MAX_LINES} can be read.")
    table = group["data"][()]
    heads = table["head"]
    flags = heads["flags"].astype(np.uint64)
    skip = (heads["number_of_samples"] == 0) | (heads["encoding_space_ref"] != 0) | _has(flags, _CALIBRATION)
    for number in _NOT_IMAGE:
        skip |= _has(flags, number)
    rows = np.flatnonzero(~skip)
    if len(rows) == 0:
        raise StorageError(
            f"{path.name} holds no imaging line ({len(heads)} lines in all).", "Give a file with imaging data."
        )
    heads, flags = heads[rows], flags[rows]
    samples = _samples(table["data"][rows], heads, path)
    labels = {label: heads["idx"][counter].astype(np.int32) for label, counter in _COUNTERS.items()}
    labels["REV"] = _has(flags, _REVERSED).astype(np.int32)
    samples, centre_sample = _whole_echo(samples, heads, header)
    sizes = [_extent(labels[name], header.matrix[axis], header.centres[axis - 1]) for name, axis in (("LIN", 1), ("PAR", 2))]
    for name, (shift, _, _) in zip(("LIN", "PAR"), sizes, strict=True):
        labels[name] += shift
    extents = (samples.shape[2], sizes[0][1], sizes[1][1])
    if max(extents) > _MAX_SIDE:
        raise StorageError(
            f"{path.name} claims a matrix of {' x '.join(map(str, extents))}.", f"At most {_MAX_SIDE} can be read."
        )
    dwell_s = float(heads["sample_time_us"][0]) * 1e-6
    centres = (centre_sample, float(sizes[0][2]), float(sizes[1][2]))
    encoding, placement = _geometry(heads, header, extents, centres)
    return RawScan(
        samples=samples,
        labels=labels,
        dwell_s=dwell_s if dwell_s > 0 else 1e-5,
        lo_hz=header.lo_hz,
        encoding=encoding,
        placement=placement,
        facts=None,
        definitions={"FOV": " ".join(f"{value:.9g}" for value in header.wanted_fov_m)},
        n_expected=len(samples),
        name=header.name or path.stem,
    )


def _has(flags: NDArray[np.uint64], number: int) -> NDArray[np.bool_]:
    return np.asarray((flags >> np.uint64(number - 1)) & np.uint64(1) == 1)


def _read_header(xml: Any, path: Path) -> _Header:
    text = xml.decode("utf-8") if isinstance(xml, bytes) else str(xml)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # expat itself bounds entity expansion
    except ElementTree.ParseError as error:
        raise StorageError(f"The header of {path.name} is not XML: {error}.", "Export the file again.") from error

    def find(where: str, fallback: str = "") -> str:
        found = root.find("/".join(_NAMESPACE + part for part in where.split("/")))
        return (found.text or fallback).strip() if found is not None else fallback

    def triple(where: str) -> tuple[float, float, float]:
        x, y, z = (float(find(f"encoding/{where}/{axis}", "nan")) for axis in "xyz")
        return x, y, z

    if (kind := find("encoding/trajectory", "cartesian").lower()) != "cartesian":
        raise StorageError(f"{path.name} has a {kind} trajectory.", "Only Cartesian data can be reconstructed here.")
    matrix, fov_mm = triple("encodedSpace/matrixSize"), triple("encodedSpace/fieldOfView_mm")
    wanted_mm = triple("reconSpace/fieldOfView_mm")
    if not (all(1 <= size <= _MAX_SIDE for size in matrix) and all(0 < side < 1e5 for side in fov_mm)):
        raise StorageError(
            f"The header of {path.name} has a matrix of {matrix} and a field of view of {fov_mm} mm.",
            "Export the file again.",
        )
    limits = [find(f"encoding/encodingLimits/kspace_encoding_step_{axis}/center") for axis in (1, 2)]
    users = {element.text for element in root.iter(f"{_NAMESPACE}name")}
    place = find("measurementInformation/patientPosition", "HFS")
    return _Header(
        matrix=(int(matrix[0]), int(matrix[1]), int(matrix[2])),
        fov_m=(fov_mm[0] * 1e-3, fov_mm[1] * 1e-3, fov_mm[2] * 1e-3),
        wanted_fov_m=tuple((b if 0 < b < 1e5 else a) * 1e-3 for a, b in zip(fov_mm, wanted_mm, strict=True)),  # type: ignore[arg-type]
        centres=(int(limits[0]) if limits[0] else None, int(limits[1]) if limits[1] else None),
        position=PatientPosition(place) if place in set(PatientPosition) else PatientPosition.HFS,
        lo_hz=float(find("experimentalConditions/H1resonanceFrequency_Hz", "0")),
        is_ours=users >= _OWN_PARAMETERS,
        name=find("measurementInformation/protocolName"),
    )


def _samples(data: Any, heads: Any, path: Path) -> NDArray[np.complex64]:
    lengths, channels = np.unique(heads["number_of_samples"]), np.unique(heads["active_channels"])
    if len(lengths) > 1 or len(channels) > 1:
        raise StorageError(
            f"The imaging lines of {path.name} have {', '.join(map(str, lengths))} samples "
            f"of {', '.join(map(str, channels))} channels.",
            "Only lines of one kind can be reconstructed together.",
        )
    n_channels, n_samples = max(int(channels[0]), 1), int(lengths[0])
    wrong = [index for index, line in enumerate(data) if len(line) != 2 * n_channels * n_samples]
    if wrong:
        raise StorageError(
            f"Line {wrong[0]} of {path.name} holds {len(data[wrong[0]]) // 2} values instead of {n_channels * n_samples}.",
            "The file is damaged: copy it again.",
        )
    samples = np.stack(list(data)).astype(np.float32).view(np.complex64).reshape(-1, n_channels, n_samples)
    for index in np.flatnonzero((heads["discard_pre"] > 0) | (heads["discard_post"] > 0)):
        samples[index, :, : int(heads["discard_pre"][index])] = 0
        samples[index, :, n_samples - int(heads["discard_post"][index]) :] = 0
    if not np.all(np.isfinite(samples)):
        raise StorageError(f"{path.name} contains values that are not finite numbers.", "Export the file again.")
    return samples


def _whole_echo(samples: NDArray[np.complex64], heads: Any, header: _Header) -> tuple[NDArray[np.complex64], float]:
    """Lines of the header's length with the echo's centre in the middle, zeros where a partial echo has no samples."""
    n_samples, size = samples.shape[2], header.matrix[0]
    values, counts = np.unique(heads["center_sample"], return_counts=True)
    centre = int(values[counts.argmax()]) or n_samples // 2  # many writers leave it 0
    start = size // 2 - centre
    if n_samples >= size or start < 0 or start + n_samples > size:
        return samples, float(centre)
    whole = np.zeros((*samples.shape[:2], size), dtype=np.complex64)
    whole[:, :, start : start + n_samples] = samples
    return whole, float(size // 2)


def _extent(values: NDArray[np.int32], size: int, centre: int | None) -> tuple[int, int, int]:
    """What to add to a counter so that k = 0 is at the middle of the matrix; how many values then; where k = 0 is."""
    centre = size // 2 if centre is None else centre
    shift = max(size // 2 - centre, 0)
    return shift, max(size, int(values.max()) + shift + 1), centre + shift


def _geometry(
    heads: Any, header: _Header, extents: tuple[int, int, int], centres: tuple[float, float, float]
) -> tuple[Encoding, Placement]:
    device_from_lps = lps_from_device(header.position).T
    axes = np.stack([heads[name][0].astype(np.float64) for name in ("read_dir", "phase_dir", "slice_dir")], axis=1)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        axes = lps_from_device(header.position)  # not said: as if along the scanner's own axes
    device = device_from_lps @ axes
    sign = 1.0 if header.is_ours else -1.0
    is_3d = extents[2] > 1
    centre = device_from_lps @ heads["position"][0].astype(np.float64) * 1e-3
    slices = heads["idx"]["slice"]
    n_slices = int(slices.max()) + 1
    thickness_m = header.wanted_fov_m[2]
    positions_m: NDArray[np.float64] = np.zeros(0)
    if not is_3d:
        first = [np.flatnonzero(slices == index) for index in range(n_slices)]
        places = [heads["position"][rows[0]] * 1e-3 if len(rows) else np.full(3, np.nan) for rows in first]
        middle = heads["position"][0] * 1e-3
        positions_m = np.asarray([float(axes[:, 2] @ (place - middle)) for place in places], dtype=np.float64)
        if n_slices > 1 and np.nanmax(positions_m) == np.nanmin(positions_m):  # not said: side by side
            positions_m = thickness_m * np.arange(n_slices, dtype=np.float64)
    encoding = Encoding(
        step_read_per_m=sign * device[:, 0] / header.fov_m[0],
        step_lin_per_m=sign * device[:, 1] / header.fov_m[1],
        step_par_per_m=sign * device[:, 2] / header.fov_m[2] if is_3d else np.zeros(3),
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
