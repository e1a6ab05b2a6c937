# SPDX-License-Identifier: MIT
"""What the XML header of an ISMRMRD file says, in SI, with the mistakes put right that consoles are known to make.

Known: field and frequency a million times too large; frequency in MHz; fields of view in metres; matrix or field of view
missing. Source: reference domain.md 0 #8, and the headers that open consoles write.
"""

import math
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.storage.mrd_about import PARAMETER
from isocenter.storage.mrd_header import SENSOR

MAX_SIDE: Final = 4096
_LOWEST_HZ, _HIGHEST_HZ = 1e4, 1e9
_LOWEST_T, _HIGHEST_T = 1e-4, 25.0
_SMALLEST_MM, _LARGEST_MM = 2.0, 2000.0
_AGREE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What of the header a reconstruction needs; sizes along read, phase, second phase.

    Attributes
    ----------
    matrix
        0 where the header says nothing that can be right.
    fov_m, wanted_fov_m
        Encoded, and of the images [m].
    unit_m
        What a length in the file's own unit is; 1e-3 when it keeps to millimetres.
    centres
        Where LIN and PAR are k = 0, None where it says nothing.
    trajectory
        Kind, in lower case.
    own
        The description that this program wrote, empty in other files.
    """

    matrix: tuple[int, int, int]
    wanted_matrix: tuple[int, int, int]
    fov_m: tuple[float, float, float]
    wanted_fov_m: tuple[float, float, float]
    unit_m: float
    centres: tuple[int | None, int | None]
    position: PatientPosition
    lo_hz: float
    n_channels: int
    sensor_channels: tuple[int, ...]
    trajectory: str
    own: str
    name: str
    warnings: tuple[str, ...]


class _Tree:
    """The header with its name spaces taken off."""

    def __init__(self, content: bytes, file_name: str) -> None:
        text = content.split(b"\0", 1)[0]
        if b"<!DOCTYPE" in text[:4096] or b"<!ENTITY" in text:
            raise StorageError(f"The header of {file_name} defines entities.", "Export the file again, without them.")
        try:
            self._root = ElementTree.fromstring(text)  # noqa: S314  no entities, limited size
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            what = "is missing" if not text.strip() else f"is not XML: {error}"
            raise StorageError(f"The header of {file_name} {what}.", "Export the file again.") from error
        for element in self._root.iter():
            if isinstance(element.tag, str):
                element.tag = element.tag.rsplit("}", 1)[-1]

    def text(self, where: str) -> str:
        found = self._root.find(where)
        return (found.text or "").strip() if found is not None else ""

    def number(self, where: str) -> float:
        try:
            value = float(self.text(where))
        except ValueError:
            return math.nan
        return value if math.isfinite(value) else math.nan

    def triple(self, where: str) -> tuple[float, float, float]:
        x, y, z = (self.number(f"{where}/{axis}") for axis in "xyz")
        return x, y, z

    def user_text(self, name: str) -> str:
        for element in self._root.iter("userParameterString"):
            if element.findtext("name") == name:
                return element.findtext("value") or ""
        return ""

    def coils(self) -> list[tuple[int, str]]:
        labels = self._root.findall("acquisitionSystemInformation/coilLabel")
        found = [(element.findtext("coilNumber") or "", element.findtext("coilName") or "") for element in labels]
        return [(int(number), name) for number, name in found if number.isdigit()]


def read_header(content: bytes, file_name: str) -> Header:
    """Parse a header and put right what is known to go wrong.

    Raises
    ------
    StorageError
        No header, or no field of view in it.
    """
    tree = _Tree(content, file_name)
    warnings: list[str] = []
    fov, wanted, metres = _fields_of_view(tree, file_name, warnings)
    matrix, wanted_matrix = (
        _matrix(tree.triple(f"encoding/{space}/matrixSize")) for space in ("encodedSpace", "reconSpace")
    )
    limits = [_index(tree.number(f"encoding/encodingLimits/kspace_encoding_step_{axis}/center")) for axis in (1, 2)]
    place = tree.text("measurementInformation/patientPosition") or "HFS"
    if place not in set(PatientPosition):
        warnings.append(f"The header says the patient lay '{place[:20]}', which is no position; taken as HFS.")
    channels = tree.number("acquisitionSystemInformation/receiverChannels")
    return Header(
        matrix=matrix,
        wanted_matrix=wanted_matrix,
        fov_m=fov,
        wanted_fov_m=wanted,
        unit_m=metres,
        centres=(limits[0], limits[1]),
        position=PatientPosition(place) if place in set(PatientPosition) else PatientPosition.HFS,
        lo_hz=_frequency_hz(tree, warnings),
        n_channels=0 if math.isnan(channels) else int(min(max(channels, 0), 65_535)),
        sensor_channels=tuple(number for number, name in tree.coils() if name.lower().startswith(SENSOR)),
        trajectory=tree.text("encoding/trajectory").lower() or "cartesian",
        own=tree.user_text(PARAMETER),
        name=tree.text("measurementInformation/protocolName"),
        warnings=tuple(warnings),
    )


def _matrix(values: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = (int(value) if 1 <= value <= MAX_SIDE else 0 for value in values)
    return x, y, z


def _index(value: float) -> int | None:
    return int(value) if 0 <= value <= 65_535 else None


def _fields_of_view(
    tree: _Tree, file_name: str, warnings: list[str]
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """Encoded and wanted field of view [m], and what one unit of length of the file is."""
    encoded, wanted = (tree.triple(f"encoding/{space}/fieldOfView_mm") for space in ("encodedSpace", "reconSpace"))
    if not all(0 < side < math.inf for side in encoded[:2]):
        if not all(0 < side < math.inf for side in wanted[:2]):
            raise StorageError(
                f"The header of {file_name} has a field of view of {_shown(encoded)} mm.",
                "Export the file again with the field of view that was measured.",
            )
        warnings.append("The header does not say which field of view was encoded; taken as that of the images.")
        encoded = wanted
    if not encoded[2] > 0:
        encoded = (encoded[0], encoded[1], wanted[2] if wanted[2] > 0 else 1.0)
    metres = _unit_m(encoded)
    if metres != 1e-3:
        unit = "metres" if metres == 1.0 else "micrometres"
        warnings.append(
            f"The header's field of view of {_shown(encoded)} mm cannot be in millimetres; read as {unit}, as are positions."
        )
    sides_m = [side * metres for side in encoded]
    if sides_m[2] * 1e3 > _LARGEST_MM:  # a slice thickness in millimetres beside sides in metres
        sides_m[2] = encoded[2] * 1e-3
    wanted_m = []
    for side, other_m in zip(wanted, sides_m, strict=True):
        choices = [side * unit for unit in (metres, 1e-3, 1.0, 1e-6) if side > 0]
        close = [choice for choice in choices if 0.05 <= choice / other_m <= 20]
        wanted_m.append(close[0] if close else other_m)
    return (sides_m[0], sides_m[1], sides_m[2]), (wanted_m[0], wanted_m[1], wanted_m[2]), metres


def _unit_m(sides: tuple[float, float, float]) -> float:
    if max(sides[:2]) < _SMALLEST_MM:
        return 1.0
    return 1e-6 if min(sides[:2]) > _LARGEST_MM else 1e-3


def _frequency_hz(tree: _Tree, warnings: list[str]) -> float:
    """Frequency of the scanner [Hz]; 0 when nobody knows."""
    said_hz = tree.number("experimentalConditions/H1resonanceFrequency_Hz")
    said_t = tree.number("acquisitionSystemInformation/systemFieldStrength_T")
    frequency_hz = _first_plausible(said_hz, (1.0, 1e-6, 1e6, 1e-3), _LOWEST_HZ, _HIGHEST_HZ)
    fields = [said_t * factor for factor in (1.0, 1e-6, 1e-3) if _LOWEST_T <= said_t * factor <= _HIGHEST_T]
    matching = [t for t in fields if frequency_hz and abs(t * GAMMA_HZ_PER_T / frequency_hz - 1) < _AGREE]
    field_t = (matching or fields or [0.0])[0]
    if frequency_hz and frequency_hz != said_hz:
        warnings.append(
            f"The header's frequency of {said_hz:.6g} Hz cannot be right; read as {frequency_hz * 1e-6:.6g} MHz."
        )
    if field_t and field_t != said_t:
        warnings.append(f"The header's field of {said_t:.6g} T cannot be right; read as {field_t:.4g} T.")
    if said_t > 0 and not field_t:
        warnings.append(f"The header's field of {said_t:.6g} T cannot be right, and is not used.")
    if said_hz > 0 and not frequency_hz:
        warnings.append(f"The header's frequency of {said_hz:.6g} Hz cannot be right, and is not used.")
    if not frequency_hz and field_t:
        return field_t * GAMMA_HZ_PER_T
    if frequency_hz and field_t and not matching:
        warnings.append(
            f"The header's field of {field_t:.4g} T and frequency of {frequency_hz * 1e-6:.4g} MHz do not belong together; "
            "the frequency is used."
        )
    return frequency_hz


def _first_plausible(value: float, factors: tuple[float, ...], lowest: float, highest: float) -> float:
    for factor in factors:
        if lowest <= value * factor <= highest:
            return value * factor
    return 0.0


def _shown(sides: tuple[float, float, float]) -> str:
    return " x ".join(f"{side:g}" for side in sides)
