# SPDX-License-Identifier: MIT
"""ISMRMRD's own reader reads our file: same samples, same labels, a header that its parser takes."""

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from isocenter.domain.scan import EndReason
from isocenter.storage.scan_folder import ScanFolder


@pytest.fixture
def written(tmp_path, examples):
    """A scan with two averages, a reversed line and a navigator, of which all but the last segment were measured."""
    n = np.arange(24)
    readouts = examples.make_readouts(
        8, 3, 32, extra={"AVG": n % 2, "REV": n % 8 == 3, "NAV": n % 8 == 7, "SLC": n // 8, "ACQ": n + 7}.items()
    )
    scan = examples.make_scan(readouts=readouts)
    samples = examples.make_samples(scan)
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, examples.SEQUENCE)
    folder.append(readouts.slice(0, 8), samples[:8])
    folder.append(readouts.slice(8, 16), samples[8:16])
    folder.finish(EndReason.ABORTED)
    return folder, scan, samples


def test_every_acquisition_reads_back_equal(written):
    folder, scan, samples = written
    dataset = ismrmrd.Dataset(str(folder.path / "raw.h5"), "dataset", create_if_needed=False)
    assert dataset.number_of_acquisitions() == 16
    for row in range(16):
        got = dataset.read_acquisition(row)
        np.testing.assert_array_equal(got.data, samples[row : row + 1])
        assert got.data.dtype == np.complex64
        assert got.scan_counter == row
        assert got.idx.kspace_encode_step_1 == scan.readouts.labels["LIN"][row]
        assert got.idx.kspace_encode_step_2 == scan.readouts.labels["PAR"][row]
        assert got.idx.average == row % 2
        assert got.idx.slice == row // 8
        assert got.user_int[0] == row + 7
        assert got.is_flag_set(ismrmrd.ACQ_IS_REVERSE) == (row % 8 == 3)
        assert got.is_flag_set(ismrmrd.ACQ_IS_NAVIGATION_DATA) == (row % 8 == 7)
        assert got.center_sample == 16
        assert got.sample_time_us == pytest.approx(1024 / 122.88)
    dataset.close()


def test_flags_say_where_things_begin_and_end(written):
    folder, _, _ = written
    with ismrmrd.File(str(folder.path / "raw.h5"), "r") as file:
        rows = list(file["dataset"].acquisitions)
    first = [i for i, row in enumerate(rows) if row.is_flag_set(ismrmrd.ACQ_FIRST_IN_SLICE)]
    last = [i for i, row in enumerate(rows) if row.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE)]
    assert first == [0, 8]
    assert last == [6, 14]  # the navigators at 7 and 15 are no part of the slice
    assert [i for i, row in enumerate(rows) if row.is_flag_set(ismrmrd.ACQ_FIRST_IN_REPETITION)] == [0]
    # The scan was cut short, so its last acquisition is not here, and none claims to be.
    assert not any(row.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT) for row in rows)


def test_a_whole_scan_ends_with_the_last_in_measurement(tmp_path, examples):
    scan = examples.make_scan()
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    folder.append(scan.readouts, examples.make_samples(scan))
    folder.finish(EndReason.COMPLETED)
    with ismrmrd.File(str(folder.path / "raw.h5"), "r") as file:
        rows = list(file["dataset"].acquisitions)
    assert [i for i, row in enumerate(rows) if row.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)] == [23]


def test_positions_and_directions_are_those_of_the_patient_in_millimetres(written):
    folder, _, _ = written
    with ismrmrd.File(str(folder.path / "raw.h5"), "r") as file:
        row = file["dataset"].acquisitions[0]
    # Head first, supine: L = +X, P = -Y, S = -Z of the device; read along device Z, phase along X, second phase along Y.
    np.testing.assert_allclose(row.read_dir[:], [0, 0, -1])
    np.testing.assert_allclose(row.phase_dir[:], [1, 0, 0])
    np.testing.assert_allclose(row.slice_dir[:], [0, -1, 0])
    np.testing.assert_allclose(row.position[:], [10, -20, 30], atol=1e-4)


def test_each_slice_has_its_own_position(tmp_path, examples):
    readouts = examples.make_readouts(8, 3, 32, extra={"SLC": np.arange(24) // 8}.items())
    scan = examples.make_scan(readouts=readouts)
    slices = replace(
        scan.encoding,
        step_par_per_m=np.zeros(3),
        slice_positions_m=np.array([-0.006, 0.0, 0.006]),
        slice_normal_device=np.array([0.0, 1.0, 0.0]),
        slice_thickness_m=0.005,
    )
    scan = replace(scan, encoding=slices)
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    folder.append(readouts, examples.make_samples(scan))
    folder.finish(EndReason.COMPLETED)
    with ismrmrd.File(str(folder.path / "raw.h5"), "r") as file:
        rows = list(file["dataset"].acquisitions)
        fov = file["dataset"].header.encoding[0].encodedSpace.fieldOfView_mm
    # Head first, supine: the device's +Y is the patient's front, -P; the field of view's centre is at P = -20 mm.
    np.testing.assert_allclose(
        [rows[i].position[:] for i in (0, 8, 16)], [[10, -14, 30], [10, -20, 30], [10, -26, 30]], atol=1e-4
    )
    assert fov.z == pytest.approx(5)


def test_the_header_is_taken_by_the_strict_parser_and_says_what_was_measured(written):
    folder, scan, _ = written
    dataset = ismrmrd.Dataset(str(folder.path / "raw.h5"), "dataset", create_if_needed=False)
    xml = dataset.read_xml_header()
    dataset.close()
    header = ismrmrd.xsd.CreateFromDocument(xml)
    assert header.experimentalConditions.H1resonanceFrequency_Hz == 2_001_234
    assert header.acquisitionSystemInformation.systemFieldStrength_T == pytest.approx(0.0470034, rel=1e-5)
    assert header.measurementInformation.patientPosition.value == "HFS"
    assert header.measurementInformation.protocolName == "T2 TSE: axial/1"
    assert header.subjectInformation is None
    assert header.studyInformation is None
    encoding = header.encoding[0]
    size, fov = encoding.encodedSpace.matrixSize, encoding.encodedSpace.fieldOfView_mm
    assert (size.x, size.y, size.z) == (32, 8, 3)
    assert (fov.x, fov.y, fov.z) == pytest.approx((200, 250, 100))
    recon = encoding.reconSpace
    assert (recon.matrixSize.x, recon.fieldOfView_mm.x) == (16, pytest.approx(100))  # read out twice as densely as asked
    limits = encoding.encodingLimits
    assert (limits.kspace_encoding_step_1.maximum, limits.kspace_encoding_step_1.center) == (7, 4)
    assert (limits.kspace_encoding_step_2.maximum, limits.kspace_encoding_step_2.center) == (2, 1)
    assert (limits.average.minimum, limits.average.maximum) == (0, 1)
    assert limits.slice.maximum == 2
    assert encoding.echoTrainLength == 8
    timing = header.sequenceParameters
    assert (timing.TR, timing.TE, timing.TI, timing.flipAngle_deg) == ([500.0], [20.0], [], [pytest.approx(90.0)])
    user = header.userParameters
    doubles = {item.name: item.value for item in user.userParameterDouble}
    assert doubles["lo_hz"] == scan.lo_hz
    assert doubles["parameter.te_s"] == 0.02
    assert doubles["shim_z_t_per_m"] == -2e-4
    assert {item.name: item.value for item in user.userParameterLong}["parameter.etl"] == 8
    assert {item.name: item.value for item in user.userParameterString}["user_int_0"] == "ACQ"


def test_the_file_can_be_extended_by_the_hdf5_library_itself(written):
    """What we change behind the library's back leaves a file that it takes for its own."""
    folder, _, samples = written
    path = str(folder.path / "raw.h5")
    dataset = ismrmrd.Dataset(path, "dataset", create_if_needed=False)
    extra = ismrmrd.Acquisition.from_array(samples[20:21])
    for _ in range(12):  # beyond the room that was laid out for 24
        dataset.append_acquisition(extra)
    dataset.close()
    dataset = ismrmrd.Dataset(path, "dataset", create_if_needed=False)
    assert dataset.number_of_acquisitions() == 28
    np.testing.assert_array_equal(dataset.read_acquisition(27).data, samples[20:21])
    np.testing.assert_array_equal(dataset.read_acquisition(15).data, samples[15:16])
    dataset.close()
