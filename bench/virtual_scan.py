# SPDX-License-Identifier: MIT
"""A scan on the virtual scanner, against the time that the same scan takes on a real one.

The demo's TSE as the demo plays it: driver, wire, virtual console in a process of its own, Bloch simulation, raw file,
reconstruction, DICOM.
"""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, seconds
from isocenter.app.demo import demo_protocols
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession, ScanOutcome
from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.volume import ImageGeometry
from isocenter.virtual.physics.phantoms import density_map

N_SPINS = 100_000
N_CHECKED = 400_000  # at two spins a voxel and more the picture is the phantom's, not that of single spins
ROUNDS = 3
_LEAST_CORRELATION = 0.9  # the map knows nothing of the blur that decay along the echo train makes

RARE = Protocol(
    name="RARE",
    sequence="tse_3d",
    parameters={
        "n_read": 64,
        "n_phase": 64,
        "n_slab": 16,
        "echo_train_length": 8,
        "tr_s": 1.0,
        "fov_read_m": 0.24,
        "fov_phase_m": 0.22,
        "fov_slab_m": 0.22,
    },
)


def run() -> list[Row]:
    """Wall time from Start to the images, compared with the scan's own duration."""
    return [
        _row("virtual scan, the demo's TSE", demo_protocols()[-1]),
        _row("virtual scan, RARE 64x64x16 ETL 8 TR 1 s", RARE),
    ]


def _row(what: str, protocol: Protocol) -> Row:
    scanner = load_scanner("osii-one")
    with tempfile.TemporaryDirectory() as folder:
        correlation = _correlation(protocol, Path(folder))
        assert correlation >= _LEAST_CORRELATION, f"{what}: the image correlates only {correlation:.3f} with the phantom"
        setup = VirtualSetup(n_spins=N_SPINS)
        with virtual_scanner(scanner, setup) as placed:
            session = ScannerSession(placed, is_virtual=True, pace="none")
            try:
                session.connect()
                calibration = replace(nominal_calibration(placed), larmor_hz=placed.magnet.larmor_hz + 1700.0)
                exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
                prepared = prepare(protocol, placed, calibration, exam.position)

                def scan() -> None:
                    session.scan(prepared, exam, Path(folder), cancel=Event())

                scan()  # warm: compiled code is loaded, pulses are composed
                took_s = statistics.median(seconds(scan) for _ in range(ROUNDS))
            finally:
                session.close()
    duration_s = prepared.scan.facts.duration_s
    return Row(
        what=what,
        peer="the scan itself",
        ours_s=took_s,
        peer_s=duration_s,
        ratio=f"{duration_s / took_s:.1f}x",
        target=">= 10x",
        reached=duration_s / took_s >= 10,
        checked=f"{N_SPINS} spins; of {N_CHECKED} in a perfect magnet correlate {correlation:.3f} with the phantom",
    )


def _correlation(protocol: Protocol, folder: Path) -> float:
    """The same scan in a perfect magnet, compared with the phantom that lies in it."""
    scanner, setup = load_scanner("osii-one"), VirtualSetup(scenario="ideal", n_spins=N_CHECKED)
    with virtual_scanner(scanner, setup) as placed:
        session = ScannerSession(placed, is_virtual=True, pace="none")
        try:
            exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
            prepared = prepare(protocol, placed, nominal_calibration(placed), exam.position)
            outcome: ScanOutcome = session.scan(prepared, exam, folder / "ideal", cancel=Event())
        finally:
            session.close()
    assert outcome.images is not None, outcome.note
    volume = outcome.images.volumes[0]
    facts = prepared.scan.facts
    truth = _expected(volume.geometry, volume.data.shape, facts.te_s, facts.tr_s)
    return float(np.corrcoef(np.abs(volume.data).ravel(), truth.ravel())[0, 1])


def _expected(geometry: ImageGeometry, shape: tuple[int, ...], te_s: float, tr_s: float) -> NDArray[np.float64]:
    """The phantom as a spin echo weights it, on the image's own voxels."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    edges = np.stack(
        [
            geometry.slice_direction * geometry.spacing_m[0],
            geometry.column_direction * geometry.spacing_m[1],
            geometry.row_direction * geometry.spacing_m[2],
        ]
    )
    return density_map("head", geometry.lps_m(index), edges, te_s=te_s, tr_s=tr_s, supersample=2)
