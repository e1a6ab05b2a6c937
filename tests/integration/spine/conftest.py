# SPDX-License-Identifier: MIT
"""The whole road in one process: compiler, driver, wire, virtual console, Bloch simulation, storage, images, DICOM."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pydicom
import pytest

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Scanner
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario


@dataclass(frozen=True)
class Picture:
    """A series read back from its DICOM files, as another program would see it."""

    data: np.ndarray  # (slice, row, column)
    lps_m: np.ndarray  # (slice, row, column, 3)
    voxel_lps_m: np.ndarray  # edges of a voxel as rows, slice, row, column steps


def read_dicom(paths) -> Picture:
    images = [pydicom.dcmread(path) for path in paths]
    data = np.stack([image.pixel_array for image in images]).astype(float)
    first, last = images[0], images[-1]
    row, column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    down_mm, right_mm = map(float, first.PixelSpacing)
    origins = np.array([image.ImagePositionPatient for image in images], float)
    step = (origins[-1] - origins[0]) / max(len(images) - 1, 1) if last is not first else np.cross(row, column) * 5
    rows, columns = np.arange(data.shape[1]), np.arange(data.shape[2])
    lps = (
        origins[:, None, None, :]
        + rows[None, :, None, None] * column * down_mm
        + columns[None, None, :, None] * row * right_mm
    )
    edges = np.stack([step, column * down_mm, row * right_mm])
    return Picture(data, lps * 1e-3, edges * 1e-3)


class Bench:
    """A session on a virtual scanner with a scenario, and a folder for what it measures."""

    def __init__(self, scanner: Scanner, out: Path, position: PatientPosition) -> None:
        self.scanner, self.out, self.position = scanner, out, position
        self.session = ScannerSession(scanner, is_virtual=True, pace="none")
        self.exam = new_exam(phantom_patient(), position, "HEAD")
        self.cancel = Event()

    def scan(self, protocol: Protocol, **listeners) -> ScanOutcome:
        prepared = prepare(protocol, self.scanner, self.session.calibration, self.position)
        return self.session.scan(prepared, self.exam, self.out, cancel=self.cancel, **listeners)

    def picture(self, protocol: Protocol) -> Picture:
        return read_dicom(self.scan(protocol).images.dicom)


@pytest.fixture
def virtual_bench(tmp_path: Path) -> Iterator[Callable]:
    """Makes benches; every server and session is closed at the end."""

    @contextmanager
    def make(
        scenario: str, position: str = "HFS", *, scanner_name: str = "osii-one", server_options=None, **changes
    ) -> Iterator[Bench]:
        scanner = load_scanner(scanner_name)
        chosen = replace(find_scenario(scenario), position=PatientPosition(position), **changes)
        server = VirtualConsoleServer(
            signal_model=BlochSignalModel(scanner, chosen),
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
            **(server_options or {}),
        )
        with server:
            host, port = server.address
            placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
            bench = Bench(placed, tmp_path, PatientPosition(position))
            try:
                yield bench
            finally:
                bench.session.close()

    return make
