# SPDX-License-Identifier: MIT
"""The XML header of the ISMRMRD file. It says nothing about who the patient is; that is in ``scan.json`` only."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import CompiledScan, Encoding
from isocenter.domain.raw import RawScan
from isocenter.domain.units import b0_t_from_larmor, from_si
from isocenter.storage.mrd_about import PARAMETER, RawAbout, about_raw, about_scan, encode_about
from isocenter.storage.mrd_heads import INDEX_OF_LABEL, TIME_STAMP_S, USER_FLOATS, extra_labels
from isocenter.storage.record import ScanRequest

SENSOR: Final = "sensor"
"""How the name of a channel begins that hears interference but no signal."""

_UNKNOWN_FOV_MM: Final = 200.0

# A counter's limits bear its own name, but for the two that the header spells in full.
_LIMITS_OF = {"kspace_encode_step_1": "kspace_encoding_step_1", "kspace_encode_step_2": "kspace_encoding_step_2"}


def make_header(
    request: ScanRequest, scan: CompiledScan, channel_names: tuple[str, ...] = (), *, is_for_others: bool = False
) -> bytes:
    """Header of a scan as XML that ISMRMRD's own parser takes.

    Parameters
    ----------
    channel_names
        One for each receive channel, those that hear only interference too; the scanner's coil alone when empty.
    is_for_others
        True beside samples that were brought to the custom of an inverse transform (``for_others``).
    """
    from ismrmrd import xsd

    scanner = request.scanner
    names = channel_names or (scanner.receiver.coil_name,)
    diameter_mm = scanner.magnet.imaging_diameter_m * 1e3
    about = about_scan(scan, request.placement, request.protocol.name, _sensors(names))
    described = _Described(
        about=about,
        labels=scan.readouts.labels,
        n_samples=_usual_length(scan.readouts.n_samples),
        has_trajectory=scan.trajectory_per_m is not None,
        fallback_fov_mm=(diameter_mm,) * 3,
    )
    header = xsd.ismrmrdHeader(
        version=1,
        measurementInformation=_measurement(xsd, about, request.protocol.sequence, f"{request.series_number}"),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor=_text(scanner.manufacturer),
            systemModel=_text(scanner.model),
            systemFieldStrength_T=b0_t_from_larmor(scan.lo_hz),
            receiverChannels=len(names),
            coilLabel=_coils(xsd, names),
            institutionName=_text(scanner.institution),
            stationName=_text(scanner.station_name),
            deviceSerialNumber=_text(scanner.serial_number),
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round(scan.lo_hz)),
        encoding=[_encoding(xsd, described)],
        sequenceParameters=_sequence(xsd, about),
        userParameters=_user(xsd, _user_values(request, scan, about, is_for_others=is_for_others)),
    )
    return _xml(xsd, header)


def header_of_raw(raw: RawScan, *, is_for_others: bool = False) -> bytes:
    """The same for raw data alone, which know less: no scanner, no parameters."""
    from ismrmrd import xsd

    about = about_raw(raw)
    n_channels = raw.samples.shape[1]
    numbers = {channel: index + 1 for index, channel in enumerate(raw.sensor_channels)}
    names = tuple(f"{SENSOR} {numbers[i]}" if i in numbers else f"coil {i + 1}" for i in range(n_channels))
    described = _Described(
        about=about,
        labels=raw.labels,
        n_samples=raw.samples.shape[2],
        has_trajectory=raw.trajectory_per_m is not None,
        fallback_fov_mm=_defined_fov_mm(raw.definitions),
    )
    header = xsd.ismrmrdHeader(
        version=1,
        measurementInformation=_measurement(xsd, about, "", "1"),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemFieldStrength_T=b0_t_from_larmor(raw.lo_hz), receiverChannels=n_channels, coilLabel=_coils(xsd, names)
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round(raw.lo_hz)),
        encoding=[_encoding(xsd, described)],
        sequenceParameters=_sequence(xsd, about),
        userParameters=_user(xsd, _common_values(about, is_for_others=is_for_others)),
    )
    return _xml(xsd, header)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """What the description of the encoding needs."""

    about: RawAbout
    labels: Mapping[str, NDArray[np.int32]]
    n_samples: int
    has_trajectory: bool
    fallback_fov_mm: tuple[float, ...]


def _xml(xsd: Any, header: Any) -> bytes:
    text = xsd.ToXML(header, encoding="utf-8")
    return text if isinstance(text, bytes) else text.encode()


def _measurement(xsd: Any, about: RawAbout, sequence: str, number: str) -> Any:
    return xsd.measurementInformationType(
        patientPosition=xsd.patientPositionType(about.placement.position.value),
        protocolName=_text(about.name),
        sequenceName=_text(about.definitions.get("Name", sequence)),
        measurementID=number,
    )


def _coils(xsd: Any, names: tuple[str, ...]) -> list[Any]:
    return [xsd.coilLabelType(coilNumber=number, coilName=_text(name)) for number, name in enumerate(names)]


def _sensors(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(index for index, name in enumerate(names) if name.startswith(SENSOR))


def _usual_length(n_samples: NDArray[np.int32]) -> int:
    return int(np.bincount(n_samples).argmax()) if len(n_samples) else 1


def _defined_fov_mm(definitions: Mapping[str, str]) -> tuple[float, ...]:
    numbers = [float(word) * 1e3 for word in re.findall(r"\d+\.?\d*(?:[eE][-+]?\d+)?", definitions.get("FOV", ""))[:3]]
    return tuple([*numbers, *(_UNKNOWN_FOV_MM,) * 3][:3])


def _encoding(xsd: Any, described: _Described) -> Any:
    about = described.about
    n_samples = described.n_samples
    matrix: tuple[int, int, int] = (n_samples, 1, 1)
    fov_mm: tuple[float, ...] = described.fallback_fov_mm
    centres: tuple[float, float, float] = (n_samples // 2, 0.0, 0.0)
    if (encoding := about.encoding) is not None:
        matrix = (encoding.n_samples, encoding.n_lin, encoding.n_par)
        fov_mm = _fov_mm(encoding, fov_mm)
        centres = (encoding.centre_sample, encoding.centre_lin, encoding.centre_par)
    limits = {
        "kspace_encoding_step_0": xsd.limitType(minimum=0, maximum=matrix[0] - 1, center=_inside(centres[0], matrix[0])),
        "kspace_encoding_step_1": xsd.limitType(minimum=0, maximum=matrix[1] - 1, center=_inside(centres[1], matrix[1])),
        "kspace_encoding_step_2": xsd.limitType(minimum=0, maximum=matrix[2] - 1, center=_inside(centres[2], matrix[2])),
    }
    for label, counter in INDEX_OF_LABEL.items():
        name = _LIMITS_OF.get(counter, counter)
        if name not in limits or (encoding is None and name != "kspace_encoding_step_0"):
            values = described.labels.get(label, np.zeros(1, np.int32))
            low, high = int(values.min(initial=65_535)), int(values.max(initial=0))
            limits[name] = xsd.limitType(minimum=min(low, high), maximum=high, center=min(low, high))
    if encoding is None and described.has_trajectory:  # a grid is only what the images should have
        matrix = _defined_matrix(about.definitions) or matrix
        fov_mm = _defined_fov_mm(about.definitions) if "FOV" in about.definitions else fov_mm
    wanted = _wanted_matrix(about.definitions, matrix)
    wanted_fov_mm = tuple(fov * some / all_ for fov, some, all_ in zip(fov_mm, wanted, matrix, strict=True))
    return xsd.encodingType(
        encodedSpace=_space(xsd, matrix, fov_mm),
        reconSpace=_space(xsd, wanted, wanted_fov_mm),
        encodingLimits=xsd.encodingLimitsType(**limits),
        trajectory=xsd.trajectoryType("cartesian" if encoding is not None else "other"),
        trajectoryDescription=_describe_trajectory(xsd) if described.has_trajectory else None,
        echoTrainLength=max(about.facts.echo_train_length, 1) if about.facts else 1,
    )


def _describe_trajectory(xsd: Any) -> Any:
    return xsd.trajectoryDescriptionType(
        identifier="isocenter",
        userParameterString=[xsd.userParameterStringType(name="units", value="cycles per voxel along read, phase, slice")],
        comment="s(k) = sum rho(r) exp(+i 2 pi k r), r from the position of each line",
    )


def _defined_matrix(definitions: Mapping[str, str]) -> tuple[int, int, int] | None:
    numbers = [int(float(word)) for word in re.findall(r"\d+\.?\d*", definitions.get("Matrix", ""))[:3]]
    if not numbers or min(numbers) < 1:
        return None
    x, y, z = [*numbers, 1, 1][:3]
    return x, y, z


def _fov_mm(encoding: Encoding, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    steps = (encoding.step_read_per_m, encoding.step_lin_per_m, encoding.step_par_per_m)
    fov_mm = [1e3 / float(np.linalg.norm(s)) if np.any(s) else other for s, other in zip(steps, otherwise, strict=True)]
    if encoding.slice_thickness_m > 0 and not np.any(encoding.step_par_per_m):
        fov_mm[2] = encoding.slice_thickness_m * 1e3
    return tuple(fov_mm)


def _wanted_matrix(definitions: dict[str, str], matrix: tuple[int, int, int]) -> tuple[int, ...]:
    """Matrix of the images: the definition's, where it asks for less than was encoded (readout oversampling)."""
    numbers = [int(float(word)) for word in re.findall(r"[\d.]+", definitions.get("Matrix", ""))[:3]]
    return tuple(n if 0 < n <= full else full for n, full in zip([*numbers, *matrix[len(numbers) :]], matrix, strict=True))


def _space(xsd: Any, matrix: tuple[int, ...], fov_mm: tuple[float, ...]) -> Any:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=matrix[0], y=matrix[1], z=matrix[2]),
        fieldOfView_mm=xsd.fieldOfViewMm(x=fov_mm[0], y=fov_mm[1], z=fov_mm[2]),
    )


def _sequence(xsd: Any, about: RawAbout) -> Any:
    facts = about.facts

    def known(value_si: float, unit: str) -> list[float]:
        return [from_si(value_si, unit)] if math.isfinite(value_si) else []

    if facts is None:
        return None
    return xsd.sequenceParametersType(
        TR=known(facts.tr_s, "ms"),
        TE=known(facts.te_s, "ms"),
        TI=known(facts.ti_s, "ms"),
        flipAngle_deg=known(facts.flip_rad, "deg"),
        sequence_type=_text(about.definitions.get("Name", "")) or None,
    )


_Value: TypeAlias = float | int | str | bool


def _user(xsd: Any, values: Iterable[tuple[str, _Value]]) -> Any:
    doubles: list[Any] = []
    longs: list[Any] = []
    strings: list[Any] = []
    for name, value in values:
        if isinstance(value, bool | int):
            longs.append(xsd.userParameterLongType(name=name, value=int(value)))
        elif isinstance(value, float):
            if math.isfinite(value):
                doubles.append(xsd.userParameterDoubleType(name=name, value=value))
        else:
            strings.append(xsd.userParameterStringType(name=name, value=_text(value)))
    return xsd.userParametersType(userParameterLong=longs, userParameterDouble=doubles, userParameterString=strings)


def _user_values(
    request: ScanRequest, scan: CompiledScan, about: RawAbout, *, is_for_others: bool
) -> Iterator[tuple[str, _Value]]:
    for name, value in request.parameters.items():
        yield f"parameter.{name}", value
    yield "clock_hz", scan.clock_hz
    yield "rf_scale", request.calibration.rf_scale
    for axis, shim_t_per_m in zip("xyz", request.calibration.shim_t_per_m, strict=True):
        yield f"shim_{axis}_t_per_m", shim_t_per_m
    yield "scanner", request.scanner.name
    yield from _common_values(about, is_for_others=is_for_others)


def _common_values(about: RawAbout, *, is_for_others: bool) -> Iterator[tuple[str, _Value]]:
    yield "lo_hz", about.lo_hz
    yield "dwell_s", about.dwell_s
    yield "acquisition_time_stamp_unit_s", TIME_STAMP_S
    yield "n_expected", about.n_expected
    yield "labels", " ".join(about.labels)
    for slot, label in enumerate(extra_labels(about.labels)):
        yield f"user_int_{slot}", label
    for slot, name in enumerate(USER_FLOATS):
        yield f"user_float_{slot}", name
    if is_for_others:
        yield "transform", "inverse"
    else:
        yield PARAMETER, encode_about(about)


def _inside(centre: float, n: int) -> int:
    return min(max(round(centre), 0), n - 1)


def _text(value: object) -> str:
    """Text without the control characters that XML has no way to write."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", str(value))
