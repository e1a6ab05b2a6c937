# SPDX-License-Identifier: MIT
"""What a raw scan knows and ISMRMRD's header has no words for, as JSON in a user parameter, so that nothing is lost.

Other programs need none of it: counters, limits, directions and units are all said in ISMRMRD's own way as well. Nothing in
it says who the patient is.
"""

import json
from dataclasses import dataclass
from typing import Final

from isocenter.domain.errors import StorageError
from isocenter.domain.events import CompiledScan, Encoding, ScanFacts
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan
from isocenter.storage.values import from_plain, to_plain

PARAMETER: Final = "isocenter_raw"
"""Name of the user parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAbout:
    """A raw scan without its samples.

    Attributes
    ----------
    labels
        Names of the labels, so that one which is always 0 comes back too.
    n_expected
        Lines that the whole scan has, noise and navigators included.
    is_scan
        True for the file of a scan's folder, whose navigators are no image lines; False for exported raw data, in which
        every line that is not noise is wanted.
    """

    encoding: Encoding | None
    placement: Placement
    facts: ScanFacts | None
    definitions: dict[str, str]
    lo_hz: float
    dwell_s: float
    n_expected: int
    name: str
    labels: tuple[str, ...]
    sensor_channels: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    is_scan: bool = True


def about_raw(raw: RawScan) -> RawAbout:
    """Of a raw scan."""
    return RawAbout(
        encoding=raw.encoding,
        placement=raw.placement,
        facts=raw.facts,
        definitions=dict(raw.definitions),
        lo_hz=raw.lo_hz,
        dwell_s=raw.dwell_s,
        n_expected=raw.n_expected + (len(raw.noise) if raw.noise is not None else 0),
        name=raw.name,
        labels=tuple(raw.labels),
        sensor_channels=raw.sensor_channels,
        warnings=raw.warnings,
        is_scan=False,
    )


def about_scan(scan: CompiledScan, placement: Placement, name: str, sensor_channels: tuple[int, ...] = ()) -> RawAbout:
    """Of a scan that is about to be measured."""
    ticks = scan.readouts.dwell_ticks
    return RawAbout(
        encoding=scan.encoding,
        placement=placement,
        facts=scan.facts,
        definitions=dict(scan.definitions),
        lo_hz=scan.lo_hz,
        dwell_s=float(sorted(ticks)[len(ticks) // 2]) / scan.clock_hz if len(ticks) else float("nan"),
        n_expected=len(scan.readouts),
        name=name,
        labels=tuple(scan.readouts.labels),
        sensor_channels=sensor_channels,
    )


def encode_about(about: RawAbout) -> str:
    """As text for the header."""
    return json.dumps(to_plain(about), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def decode_about(text: str) -> RawAbout:
    """The other way round.

    Raises
    ------
    StorageError
        It is damaged.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"The description in the raw file is damaged: {error}.", "Copy the file again.") from error
    return from_plain(RawAbout, plain, "the description in the raw file")
