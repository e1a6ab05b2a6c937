# SPDX-License-Identifier: MIT
"""The XML header of the ISMRMRD file. It says nothing about who the patient is; that is in ``scan.json`` only."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from isocenter.domain.events import CompiledScan, Encoding
from isocenter.domain.units import b0_t_from_larmor, from_si
from isocenter.storage.mrd_heads import INDEX_OF_LABEL, TIME_STAMP_S, extra_labels
from isocenter.storage.record import ScanRequest

# A counter's limits bear its own name, but for the two that the header spells in full.
_LIMITS_OF = {"kspace_encode_step_1": "kspace_encoding_step_1", "kspace_encode_step_2": "kspace_encoding_step_2"}


def make_header(request: ScanRequest, scan: CompiledScan) -> bytes:
    """Header of a scan as XML that ISMRMRD's own parser takes."""
    from ismrmrd import xsd

    scanner = request.scanner
    header = xsd.ismrmrdHeader(
        version=1,
        measurementInformation=xsd.measurementInformationType(
            patientPosition=xsd.patientPositionType(request.placement.position.value),
            protocolName=_text(request.protocol.name),
            sequenceName=_text(scan.definitions.get("Name", request.protocol.sequence)),
            measurementID=f"{request.series_number}",
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor=_text(scanner.manufacturer),
            systemModel=_text(scanner.model),
            systemFieldStrength_T=b0_t_from_larmor(scan.lo_hz),
            receiverChannels=1,
            coilLabel=[xsd.coilLabelType(coilNumber=0, coilName=_text(scanner.receiver.coil_name))],
            institutionName=_text(scanner.institution),
            stationName=_text(scanner.station_name),
            deviceSerialNumber=_text(scanner.serial_number),
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round(scan.lo_hz)),
        encoding=[_encoding(xsd, request, scan)],
        sequenceParameters=_sequence(xsd, scan),
        userParameters=_user(xsd, request, scan),
    )
    text = xsd.ToXML(header, encoding="utf-8")
    return text if isinstance(text, bytes) else text.encode()


def _encoding(xsd: Any, request: ScanRequest, scan: CompiledScan) -> Any:
    n_samples = int(np.bincount(scan.readouts.n_samples).argmax()) if len(scan.readouts) else 1
    matrix: tuple[int, int, int] = (n_samples, 1, 1)
    fov_mm: tuple[float, ...] = (request.scanner.magnet.imaging_diameter_m * 1e3,) * 3
    centres: tuple[float, float, float] = (n_samples // 2, 0.0, 0.0)
    if (encoding := scan.encoding) is not None:
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
        if name not in limits:
            values = scan.readouts.label(label)
            low, high = int(values.min(initial=65_535)), int(values.max(initial=0))
            limits[name] = xsd.limitType(minimum=min(low, high), maximum=high, center=min(low, high))
    wanted = _wanted_matrix(scan.definitions, matrix)
    wanted_fov_mm = tuple(fov * some / all_ for fov, some, all_ in zip(fov_mm, wanted, matrix, strict=True))
    return xsd.encodingType(
        encodedSpace=_space(xsd, matrix, fov_mm),
        reconSpace=_space(xsd, wanted, wanted_fov_mm),
        encodingLimits=xsd.encodingLimitsType(**limits),
        trajectory=xsd.trajectoryType("cartesian" if encoding is not None else "other"),
        echoTrainLength=max(scan.facts.echo_train_length, 1),
    )


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


def _sequence(xsd: Any, scan: CompiledScan) -> Any:
    facts = scan.facts

    def known(value_si: float, unit: str) -> list[float]:
        return [from_si(value_si, unit)] if math.isfinite(value_si) else []

    return xsd.sequenceParametersType(
        TR=known(facts.tr_s, "ms"),
        TE=known(facts.te_s, "ms"),
        TI=known(facts.ti_s, "ms"),
        flipAngle_deg=known(facts.flip_rad, "deg"),
        sequence_type=_text(scan.definitions.get("Name", "")) or None,
    )


def _user(xsd: Any, request: ScanRequest, scan: CompiledScan) -> Any:
    doubles: list[Any] = []
    longs: list[Any] = []
    strings: list[Any] = []
    for name, value in _user_values(request, scan):
        if isinstance(value, bool | int):
            longs.append(xsd.userParameterLongType(name=name, value=int(value)))
        elif isinstance(value, float):
            if math.isfinite(value):
                doubles.append(xsd.userParameterDoubleType(name=name, value=value))
        else:
            strings.append(xsd.userParameterStringType(name=name, value=_text(value)))
    return xsd.userParametersType(userParameterLong=longs, userParameterDouble=doubles, userParameterString=strings)


def _user_values(request: ScanRequest, scan: CompiledScan) -> Iterator[tuple[str, float | int | str | bool]]:
    for name, value in request.parameters.items():
        yield f"parameter.{name}", value
    yield "lo_hz", scan.lo_hz
    yield "clock_hz", scan.clock_hz
    yield "rf_scale", request.calibration.rf_scale
    for axis, shim_t_per_m in zip("xyz", request.calibration.shim_t_per_m, strict=True):
        yield f"shim_{axis}_t_per_m", shim_t_per_m
    if len(scan.readouts):
        yield "dwell_s", float(np.median(scan.readouts.dwell_ticks)) / scan.clock_hz
    yield "acquisition_time_stamp_unit_s", TIME_STAMP_S
    yield "n_expected", len(scan.readouts)
    yield "scanner", request.scanner.name
    yield "labels", " ".join(scan.readouts.labels)
    for slot, label in enumerate(extra_labels(tuple(scan.readouts.labels))):
        yield f"user_int_{slot}", label


def _inside(centre: float, n: int) -> int:
    return min(max(round(centre), 0), n - 1)


def _text(value: object) -> str:
    """Text without the control characters that XML has no way to write."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", str(value))
