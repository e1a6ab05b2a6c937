# SPDX-License-Identifier: MIT
"""A second series beside our own, made by an outside reconstruction while a scan runs or afterwards.

Our images never wait for it, and never depend on it: whatever the server does, at worst there is no second series, and a
sentence says why.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.files import new_folder
from isocenter.app.images import DICOM, NIFTI, SHEET, is_scan_folder
from isocenter.app.simulated import series_description, simulated_comment
from isocenter.dicom.identifiers import new_uid
from isocenter.dicom.series import SeriesInfo, write_series
from isocenter.domain.errors import ConfigError, ConsoleError, StorageError
from isocenter.domain.events import CompiledScan, Readouts
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.receive import Samples
from isocenter.storage.mrd_header import header_of_raw, make_header
from isocenter.storage.mrd_heads import make_heads
from isocenter.storage.mrd_images import volumes_of
from isocenter.storage.mrd_lines import scan_trajectories
from isocenter.storage.mrd_write import for_others, lines_of_raw
from isocenter.storage.nifti import write_nifti
from isocenter.storage.outside import OutsideAddress, OutsideAnswer, OutsideLink
from isocenter.storage.png import contact_sheet
from isocenter.storage.record import ScanRequest
from isocenter.storage.stored import StoredScan, read_raw, recover

_log = logging.getLogger(__name__)

FOLDER: Final = "outside"
"""Within a scan's images."""

TEXTS: Final = "messages.txt"
_SERIES_OFFSET: Final = 90
_DEFAULT_PORT: Final = 9002
_LINES_PER_SEND: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideOutcome:
    """What came of it.

    Attributes
    ----------
    files
        Everything written.
    note
        For the person at the screen; what went wrong, when something did.
    is_complete
        False when something went wrong.
    """

    volumes: tuple[Volume, ...]
    files: tuple[Path, ...]
    note: str
    is_complete: bool


def parse_outside(text: str, config: str = "default") -> OutsideAddress:
    """Address of ``HOST`` or ``HOST:PORT``; the protocol's own port is 9002.

    Raises
    ------
    ConfigError
        The text is something else.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+)(?::(\d{1,5}))?", text.strip())
    port = int(match[2]) if match and match[2] else _DEFAULT_PORT
    if match is None or not 0 < port < 65_536:
        raise ConfigError(f"'{text}' is not the address of an outside reconstruction.", "Write HOST:PORT.")
    return OutsideAddress(host=match[1].strip("[]"), port=port, config=config)


class OutsideTap:
    """Sends the lines of one scan while it is measured. ``begin``, ``add`` and ``finish`` never raise for the server."""

    def __init__(self, address: OutsideAddress) -> None:
        self.address = address
        self._link: OutsideLink | None = None
        self._heads: NDArray[Any] = np.zeros(0)
        self._trajectories: Sequence[NDArray[np.float32] | None] = ()
        self._n_sent = 0
        self._problem = ""

    def begin(self, request: ScanRequest, scan: CompiledScan) -> None:
        """Open the link, in threads of its own, for a scan that is about to start."""
        self._n_sent, self._problem = 0, ""
        try:
            header = make_header(request, scan, is_for_others=True)
            self._heads = make_heads(scan, request.placement)
            self._trajectories = scan_trajectories(scan, self._heads, request.placement)
            self._link = OutsideLink(self.address, header)
        except StorageError as error:  # the scan itself is none the worse for it
            self._problem = str(error.problem)

    def add(self, readouts: Readouts, samples: Samples) -> None:
        """Hand over lines that are on the disk; returns at once."""
        first = self._n_sent
        self._n_sent += len(readouts)
        if self._link is None:
            return
        try:
            self._send(first, samples)
        except (ValueError, IndexError, MemoryError) as error:  # a mistake here must not touch the scan
            _log.exception("Lines cannot be sent to an outside reconstruction.")
            self._link.abort()
            self._link, self._problem = None, f"The lines could not be sent to {self.address} ({error})."

    def _send(self, first: int, samples: Samples) -> None:
        assert self._link is not None
        heads = self._heads[first : self._n_sent]
        flat = [for_others(_of_coil(row)).view(np.float32).ravel() for row in samples]
        nothing = np.zeros(0, np.float32)
        trajectories = [nothing if k is None else k.ravel() for k in self._trajectories[first : self._n_sent]] or None
        self._link.send(heads, flat, trajectories)

    def abort(self) -> None:
        """Drop the link; nothing is waited for."""
        if self._link is not None:
            self._link.abort()

    def finish(self, scan_folder: Path, cancel: Event | None = None) -> OutsideOutcome:
        """Wait for the images until the deadline, or until ``cancel``, and write them beside ours."""
        if self._link is None:
            return OutsideOutcome(volumes=(), files=(), note=self._problem, is_complete=False)
        return _write(scan_folder, self.address, self._link.finish(cancel))


def reconstruct_outside(scan_folder: Path, address: OutsideAddress) -> OutsideOutcome:
    """Send a finished scan, or what there is of it, and write what comes back beside our images.

    Raises
    ------
    StorageError
        It is no scan, or cannot be read.
    """
    recover(scan_folder)
    raw = _turned(read_raw(scan_folder))
    link = OutsideLink(address, header_of_raw(raw, is_for_others=True))
    heads, rows, trajectories = lines_of_raw(raw)
    for start in range(0, len(heads), _LINES_PER_SEND):
        part = slice(start, start + _LINES_PER_SEND)
        link.send(heads[part], rows[part], None if trajectories is None else trajectories[part])
    return _write(scan_folder, address, link.finish())


def outside_report(scan_folder: Path, address: OutsideAddress) -> dict[str, object]:
    """``reconstruct_outside``, and what came of it as plain values."""
    if not is_scan_folder(scan_folder):
        raise StorageError(
            f"'{scan_folder}' is not a scan, and only scans are sent to an outside reconstruction.",
            "Give the folder of a scan: it holds a file scan.json.",
        )
    second = reconstruct_outside(scan_folder, address)
    return {"files": [str(path) for path in second.files], "note": second.note, "complete": second.is_complete}


def _of_coil(row: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Without the sensors, which hear no signal; a scanner has one coil, on its first receiver."""
    return np.ascontiguousarray(row if row.ndim == 1 else row[0])


def _turned(raw: RawScan) -> RawScan:
    """For others, without channels that hear no signal."""
    coils = [channel for channel in range(raw.samples.shape[1]) if channel not in raw.sensor_channels]
    noise = None if raw.noise is None else for_others(raw.noise[:, coils])
    return replace(raw, samples=for_others(raw.samples[:, coils]), noise=noise, sensor_channels=())


def _write(scan_folder: Path, address: OutsideAddress, answer: OutsideAnswer) -> OutsideOutcome:
    problem = f"{answer.problem} {answer.remedy}".strip()
    try:
        stored = recover(scan_folder)
        found = volumes_of(answer.images, stored.record.request.placement.position, f"{address}, {address.config[:64]}")
        files = _write_files(stored, found.volumes, address, answer) if found.volumes or answer.texts else ()
    except ConsoleError as error:
        _log.warning("The images of an outside reconstruction cannot be kept: %s", error.problem)
        return OutsideOutcome(volumes=(), files=(), note=f"{error.problem} {error.remedy}", is_complete=False)
    if not found.volumes and not problem:
        problem = f"The outside reconstruction at {address} sent no image."
    what = f"{len(found.volumes)} image stack{'s' if len(found.volumes) != 1 else ''} from {address}."
    note = " ".join(filter(None, (what if found.volumes else "", problem, *found.warnings)))
    return OutsideOutcome(volumes=found.volumes, files=files, note=note, is_complete=not problem)


def _write_files(
    stored: StoredScan, volumes: tuple[Volume, ...], address: OutsideAddress, answer: OutsideAnswer
) -> tuple[Path, ...]:
    raw, request = read_raw(stored.path), stored.record.request
    exam = request.exam or new_exam(phantom_patient(), PatientPosition(request.placement.position), "HEAD")
    said = (simulated_comment(request.console), f"Reconstructed outside, by {address}.", answer.problem)
    comment = " ".join(filter(None, said))
    out = stored.images / FOLDER
    with new_folder(out) as folder:
        (folder / NIFTI).mkdir()
        for index, volume in enumerate(volumes, start=1):
            suffix = f"-{index}" if len(volumes) > 1 else ""
            if volume.is_placed:
                series = SeriesInfo(
                    number=request.series_number * 100 + _SERIES_OFFSET + index,
                    description=series_description(
                        request.protocol.name, f" outside{suffix}", request.console, exam.patient
                    ),
                    protocol_name=request.protocol.name,
                    started_at=stored.record.started_at,
                    uid=new_uid(),
                    comment=comment,
                    laterality=exam.laterality,
                )
                write_series(
                    volume, raw=raw, exam=exam, series=series, scanner=request.scanner, folder=folder / f"{DICOM}{suffix}"
                )
            name = f"{stored.path.name}-outside{suffix}.nii.gz"
            write_nifti(volume, folder / NIFTI / name, facts=raw.facts, larmor_hz=raw.lo_hz)
        if volumes:
            title = f"{exam.patient.display_name} · {request.protocol.name} · outside"
            contact_sheet(volumes, folder / SHEET, title=title)
        if answer.texts:
            (folder / TEXTS).write_text("\n".join(answer.texts) + "\n", encoding="utf-8")
    return tuple(sorted(path for path in out.rglob("*") if path.is_file()))
