# SPDX-License-Identifier: MIT
"""A small compiled scan made by hand, and its samples: every sample of every readout is different and known."""

from datetime import date

import numpy as np

from isocenter.config.hardware import load_scanner
from isocenter.domain.events import CompiledScan, Encoding, Readouts, ScanFacts, Segment
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.patient import Exam, Patient, Sex
from isocenter.domain.scan import Prescription, Protocol
from isocenter.domain.scanner import Calibration
from isocenter.storage.record import ScanRequest

CLOCK_HZ = 122.88e6
DECIMATION, RATIO = 256, 4
FAMILY, GIVEN = "Okonkwo", "Chidinma"
SEQUENCE = b"[VERSION]\nmajor 1\nminor 5\nrevision 0\n"


def make_readouts(n_lin, n_par, n_samples, *, extra=()):
    lin, par = np.tile(np.arange(n_lin), n_par), np.repeat(np.arange(n_par), n_lin)
    n = n_lin * n_par
    dwell = float(DECIMATION * RATIO)
    n_raw = (n_samples + 8) * RATIO
    window = 5000 + (np.arange(n, dtype=np.int64) % n_lin) * (n_raw * DECIMATION + 20_000)
    labels = {"LIN": lin, "PAR": par, "NAV": (lin == 0) * 0, **dict(extra)}
    return Readouts(
        block=np.arange(n, dtype=np.int64),
        window_tick=window,
        decimation=np.full(n, DECIMATION, np.int32),
        n_raw=np.full(n, n_raw, np.int32),
        n_samples=np.full(n, n_samples, np.int32),
        first_sample_tick=window + 4.0 * dwell,
        dwell_ticks=np.full(n, dwell),
        phase_rad=np.zeros(n),
        frequency_hz=np.zeros(n),
        labels={name: np.asarray(values, np.int32) for name, values in labels.items()},
    )


def make_scan(n_lin=8, n_par=3, n_samples=32, *, readouts=None, scanner_name="osii-one", gap_s=0.1):
    """One segment for each PAR."""
    readouts = readouts or make_readouts(n_lin, n_par, n_samples)
    per = len(readouts) // n_par
    end_tick = int(readouts.window_tick.max(initial=0)) + 500_000
    duration_s = end_tick / CLOCK_HZ
    segments = tuple(
        Segment(
            index=i,
            tracks={},
            end_tick=end_tick,
            start_s=i * (duration_s + gap_s),
            readouts=readouts.slice(i * per, (i + 1) * per),
        )
        for i in range(n_par)
    )
    encoding = Encoding(
        step_read_per_m=np.array([0.0, 0.0, 5.0]),
        step_lin_per_m=np.array([4.0, 0.0, 0.0]),
        step_par_per_m=np.array([0.0, 10.0, 0.0]),
        centre_sample=n_samples / 2,
        centre_lin=n_lin // 2,
        centre_par=n_par // 2,
        n_samples=n_samples,
        n_lin=n_lin,
        n_par=n_par,
        slice_positions_m=np.zeros(0),
        slice_normal_device=np.zeros(3),
        slice_thickness_m=0.0,
        centre_device_m=np.array([0.01, 0.02, -0.03]),
    )
    facts = ScanFacts(
        duration_s=n_par * (duration_s + gap_s),
        tr_s=0.5,
        te_s=0.02,
        ti_s=float("nan"),
        echo_train_length=n_lin,
        flip_rad=np.pi / 2,
        peak_b1_t=2e-5,
        rf_duty=0.01,
        b1_rms_t=1e-6,
        peak_gradient_t_per_m=(0.01, 0.01, 0.01),
        peak_slew_t_per_m_s=(10.0, 10.0, 10.0),
        rms_gradient_t_per_m=(0.001, 0.001, 0.001),
    )
    return CompiledScan(
        scanner_name=scanner_name,
        clock_hz=CLOCK_HZ,
        lo_hz=2.0012345e6,
        segments=segments,
        readouts=readouts,
        segment_of_readout=np.repeat(np.arange(n_par), per).astype(np.int32),
        gradient_t_per_m_per_code=(1e-6, 1e-6, 1e-6),
        tx_t_per_code=1e-9,
        definitions={"Name": "tse_3d", "Matrix": f"{n_samples // 2} {n_lin} {n_par}"},
        encoding=encoding,
        facts=facts,
    )


def make_request(**changes):
    patient = Patient(
        patient_id="PAT-0042",
        family_name=FAMILY,
        given_name=GIVEN,
        birth_date=date(1980, 2, 29),
        sex=Sex.FEMALE,
        weight_kg=61.5,
    )
    exam = Exam(
        exam_id="20260102-0001",
        patient=patient,
        position=PatientPosition.HFS,
        study_uid="2.25.111",
        frame_of_reference_uid="2.25.222",
        body_part="HEAD",
        started_at="2026-01-02T03:04:05+00:00",
    )
    values = {
        "protocol": Protocol(
            name="T2 TSE: axial/1",
            sequence="tse_3d",
            parameters={"te_s": 0.02, "etl": 8, "order": "linear", "spoil": True},
            prescription=Prescription(orientation=Orientation.CORONAL, tilt_rad=(0.1, 0.0)),
        ),
        "parameters": {"te_s": 0.02, "etl": 8, "order": "linear", "spoil": True},
        "placement": place(Orientation.CORONAL, PatientPosition.HFS, centre_lps_m=(0.01, -0.02, 0.03)),
        "calibration": Calibration(larmor_hz=2.0012345e6, rf_scale=0.97, shim_t_per_m=(1e-4, 0.0, -2e-4)),
        "scanner": load_scanner("osii-one"),
        "exam": exam,
        "series_number": 3,
        "console": "MaRCoS 1.0.5 (virtual)",
    }
    return ScanRequest(**{**values, **changes})


def make_samples(scan, seed=1):
    rng = np.random.default_rng(seed)
    shape = (len(scan.readouts), int(scan.readouts.n_samples[0]))
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
