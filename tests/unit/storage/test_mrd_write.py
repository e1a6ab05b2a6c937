# SPDX-License-Identifier: MIT
"""Raw data to an ISMRMRD file and back: nothing is lost, and the ismrmrd package reads the same."""

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from isocenter.domain.errors import StorageError
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import EndReason
from isocenter.storage.foreign import read_foreign, read_waveforms
from isocenter.storage.mrd_write import Waveform, write_mrd
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.seal import is_sealed
from isocenter.storage.stored import read_raw

N_LIN, N_PAR, N_SAMPLES = 12, 4, 32


@pytest.fixture
def raw(examples):
    """Three channels, one of them a sensor; two averages; noise; a trajectory; times finer than a millisecond."""
    scan = examples.make_scan(N_LIN, N_PAR, N_SAMPLES)
    rng = np.random.default_rng(2)
    n = 2 * N_LIN * N_PAR

    def numbers(*shape):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)

    lin, par = np.tile(np.arange(N_LIN), 2 * N_PAR), np.repeat(np.arange(N_PAR), 2 * N_LIN)
    labels = {"LIN": lin, "PAR": par, "AVG": np.tile(np.repeat([0, 1], N_LIN), N_PAR), "REV": lin % 2, "TRID": lin + 7}
    return RawScan(
        samples=numbers(n, 3, N_SAMPLES),
        labels={name: values.astype(np.int32) for name, values in labels.items()},
        dwell_s=8.333e-6,
        lo_hz=2.0012345e6,
        encoding=scan.encoding,
        placement=examples.make_request().placement,
        facts=scan.facts,
        definitions={"FOV": "0.2 0.25 0.1", "Matrix": "32 12 4", "Name": "tse <&> 3d"},
        n_expected=n + 5,
        name="T2 axial",
        time_s=0.0123456 + 0.0101 * np.arange(n),
        trajectory_per_m=rng.uniform(-200, 200, (n, N_SAMPLES, 3)).astype(np.float32),
        evolution_s=-1e-4 * (1 + lin),
        noise=numbers(3, 3, N_SAMPLES),
        sensor_channels=(2,),
        warnings=("Something was odd.",),
    )


def same(found, wanted):
    np.testing.assert_array_equal(found.samples, wanted.samples)
    assert found.samples.dtype == np.complex64
    assert list(found.labels) == list(wanted.labels)
    for name in wanted.labels:
        np.testing.assert_array_equal(found.labels[name], wanted.labels[name], err_msg=name)
    np.testing.assert_array_equal(found.noise, wanted.noise)
    np.testing.assert_allclose(found.time_s, wanted.time_s, atol=1e-9)
    np.testing.assert_allclose(found.evolution_s, wanted.evolution_s, rtol=1e-6)
    np.testing.assert_allclose(found.trajectory_per_m, wanted.trajectory_per_m, atol=1e-4)
    for name in ("dwell_s", "lo_hz", "definitions", "n_expected", "name", "sensor_channels", "warnings"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert str(found.facts) == str(wanted.facts)  # as text, since it holds NaN
    for kind in ("encoding", "placement"):
        for field in getattr(wanted, kind).__slots__:
            np.testing.assert_array_equal(getattr(getattr(found, kind), field), getattr(getattr(wanted, kind), field))


def test_everything_comes_back(raw, tmp_path):
    write_mrd(raw, tmp_path / "raw.h5")
    same(read_foreign(tmp_path / "raw.h5"), raw)


def test_a_file_that_was_touched_is_read_with_care_and_equal(raw, tmp_path):
    path = tmp_path / "raw.h5"
    write_mrd(raw, path)
    assert is_sealed(path)
    with path.open("ab") as file:
        file.write(b"!")
    assert not is_sealed(path)
    same(read_foreign(path), raw)


def test_scans_without_optional_parts_come_back_without_them(raw, tmp_path):
    bare = replace(
        raw,
        samples=raw.samples[:, :1],
        noise=None,
        trajectory_per_m=None,
        time_s=np.zeros(0),
        evolution_s=np.zeros(0),
        facts=None,
        encoding=None,
        sensor_channels=(),
        warnings=(),
    )
    write_mrd(bare, tmp_path / "raw.h5")
    found = read_foreign(tmp_path / "raw.h5")
    assert found.noise is None
    assert found.trajectory_per_m is None
    assert found.facts is None
    assert found.encoding is None
    assert len(found.time_s) == len(found.evolution_s) == 0
    np.testing.assert_array_equal(found.samples, bare.samples)


def test_ismrmrd_reads_the_same(raw, tmp_path):
    path = tmp_path / "raw.h5"
    raw = replace(raw, labels={**raw.labels, "REF": (raw.labels["LIN"] < 2) * 1, "IMA": (raw.labels["LIN"] == 1) * 1})
    write_mrd(raw, path)
    with ismrmrd.File(str(path), "r") as file:
        rows = list(file["dataset"].acquisitions)
        header = file["dataset"].header
    assert len(rows) == 3 + len(raw.samples)
    assert [row.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT) for row in rows[:4]] == [True, True, True, False]
    np.testing.assert_array_equal(rows[1].data, raw.noise[1])
    for index, row in enumerate(rows[3:]):
        np.testing.assert_array_equal(row.data, raw.samples[index])
        assert row.traj.shape == (N_SAMPLES, 3)
        assert row.idx.kspace_encode_step_1 == raw.labels["LIN"][index]
        assert row.idx.average == raw.labels["AVG"][index]
        assert row.is_flag_set(ismrmrd.ACQ_IS_REVERSE) == bool(raw.labels["REV"][index])
        assert row.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) == (raw.labels["LIN"][index] == 0)
        assert row.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING) == (raw.labels["LIN"][index] == 1)
        assert row.acquisition_time_stamp == int(raw.time_s[index] * 1e3)
    assert [label.coilName for label in header.acquisitionSystemInformation.coilLabel] == ["coil 1", "coil 2", "sensor 1"]
    assert header.acquisitionSystemInformation.receiverChannels == 3
    assert header.encoding[0].trajectoryDescription.identifier == "isocenter"
    ismrmrd.xsd.CreateFromDocument(ismrmrd.Dataset(str(path), "dataset", mode="r").read_xml_header())


def test_lines_of_a_reference_train_are_phase_correction_data_and_no_image(raw, tmp_path):
    path, is_reference = tmp_path / "raw.h5", (raw.labels["LIN"] == 2) * 1
    raw = replace(raw, labels={**raw.labels, "REF": is_reference, "NAV": is_reference | (raw.labels["LIN"] == 3) * 1})
    write_mrd(raw, path)
    with ismrmrd.File(str(path), "r") as file:
        rows = list(file["dataset"].acquisitions)[len(raw.noise) :]
    assert [row.is_flag_set(ismrmrd.ACQ_IS_PHASECORR_DATA) for row in rows] == (raw.labels["REF"] == 1).tolist()
    assert [row.is_flag_set(ismrmrd.ACQ_IS_NAVIGATION_DATA) for row in rows] == (raw.labels["NAV"] == 1).tolist()
    assert not any(row.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) for row in rows)
    assert not any(
        row.is_flag_set(ismrmrd.ACQ_FIRST_IN_SLICE) for row in rows if row.is_flag_set(ismrmrd.ACQ_IS_PHASECORR_DATA)
    )
    again = read_foreign(path)
    for name in ("REF", "NAV"):
        np.testing.assert_array_equal(again.labels[name], raw.labels[name])


def test_trajectories_in_the_file_are_cycles_per_voxel_along_the_heads_directions(raw, tmp_path):
    steps = np.stack([raw.encoding.step_read_per_m, raw.encoding.step_lin_per_m, raw.encoding.step_par_per_m])
    corner = np.array([N_SAMPLES / 2, -N_LIN / 4, N_PAR / 2])
    k = np.broadcast_to(corner @ steps, raw.trajectory_per_m.shape).astype(np.float32)
    write_mrd(replace(raw, trajectory_per_m=k), tmp_path / "raw.h5")
    with ismrmrd.File(str(tmp_path / "raw.h5"), "r") as file:
        row = file["dataset"].acquisitions[5]
    np.testing.assert_allclose(row.traj[0], [0.5, -0.25, 0.5], atol=1e-6)


def test_waveforms_read_back_by_ismrmrd(raw, tmp_path):
    values = np.arange(12, dtype=np.uint32).reshape(2, 6)
    wave = Waveform(samples=values, start_s=1.5, dwell_s=2.5e-3, kind_id=1)
    write_mrd(raw, tmp_path / "raw.h5", [wave])
    with ismrmrd.Dataset(str(tmp_path / "raw.h5"), "dataset", mode="r") as data:
        assert data.number_of_waveforms() == 1
        found = data.read_waveform(0)
    np.testing.assert_array_equal(found.data, values)
    assert (found.waveform_id, found.time_stamp, found.sample_time_us) == (1, 1500, 2500.0)
    (ours,) = read_waveforms(tmp_path / "raw.h5")
    np.testing.assert_array_equal(ours.samples, values)
    assert (ours.kind_id, ours.start_s, ours.dwell_s) == (1, 1.5, pytest.approx(2.5e-3))
    write_mrd(raw, tmp_path / "none.h5")
    assert read_waveforms(tmp_path / "none.h5") == ()


def test_scan_folder_keeps_trajectory_times_and_evolution(examples, tmp_path):
    readouts = examples.make_readouts(8, 3, 16, extra={"NAV": np.arange(24) % 8 == 7}.items())
    scan = examples.make_scan(readouts=readouts)
    rng = np.random.default_rng(4)
    k = rng.uniform(-300, 300, (21, 16, 3)).astype(np.float32)
    scan = replace(scan, trajectory_per_m=k, evolution_s=1e-3 * np.arange(24), encoding=None)
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    samples = examples.make_samples(scan)
    folder.append(readouts.slice(0, 16), samples[:16])
    folder.finish(EndReason.ABORTED)
    raw = read_raw(folder.path)
    assert raw.samples.shape == (14, 1, 16)
    np.testing.assert_allclose(raw.trajectory_per_m, k[:14], atol=1e-3)
    np.testing.assert_allclose(raw.evolution_s, [1e-3 * i for i in range(16) if i % 8 != 7], rtol=1e-6)
    starts = [scan.segments[i // 8].start_s + readouts.first_sample_tick[i] / scan.clock_hz for i in range(16) if i % 8 != 7]
    np.testing.assert_allclose(raw.time_s, starts, atol=1e-9)
    alone = read_foreign(folder.path / "raw.h5")
    np.testing.assert_array_equal(alone.samples, raw.samples)
    np.testing.assert_array_equal(alone.trajectory_per_m, raw.trajectory_per_m)
    assert alone.n_expected == raw.n_expected


def test_what_the_format_cannot_hold_is_refused_and_leaves_nothing(raw, tmp_path):
    too_many = replace(raw, labels={**raw.labels, "LIN": raw.labels["LIN"] + 65_530})
    with pytest.raises(StorageError, match=r"LIN runs from 0 to 65541.*0 to 65535"):
        write_mrd(too_many, tmp_path / "raw.h5")
    with pytest.raises(StorageError, match=r"does not exist"):
        write_mrd(raw, tmp_path / "none" / "raw.h5")
    assert list(tmp_path.iterdir()) == []


def test_many_lines_of_several_lengths_and_the_library_itself_can_add_more(raw, tmp_path):
    path, n = tmp_path / "raw.h5", 5000  # more than one chunk and many collections of the heap
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(n, 1, 33)).astype(np.complex64)
    noise = rng.normal(size=(3, 1, 70)).astype(np.complex64)
    labels = {"LIN": (np.arange(n) % 100).astype(np.int32), "PAR": (np.arange(n) // 100).astype(np.int32)}
    many = replace(
        raw,
        samples=samples,
        labels=labels,
        noise=noise,
        encoding=None,
        trajectory_per_m=None,
        n_expected=n,
        sensor_channels=(),
    )
    k = rng.uniform(-9, 9, (n, 33, 3)).astype(np.float32)
    many = replace(many, trajectory_per_m=k, time_s=np.zeros(0), evolution_s=np.zeros(0))
    write_mrd(many, path)
    found = read_foreign(path)
    np.testing.assert_array_equal(found.samples, samples)
    np.testing.assert_array_equal(found.noise, noise)
    np.testing.assert_allclose(found.trajectory_per_m, k, atol=1e-5)
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=False) as data:
        for _ in range(50):
            data.append_acquisition(ismrmrd.Acquisition.from_array(samples[7]))
    with ismrmrd.Dataset(str(path), "dataset", mode="r") as data:
        assert data.number_of_acquisitions() == 3 + n + 50
        for row in (0, 2, 3, 1234, 3 + n - 1):
            wanted = noise[row] if row < 3 else samples[row - 3]
            np.testing.assert_array_equal(data.read_acquisition(row).data, wanted)
        np.testing.assert_array_equal(data.read_acquisition(3 + n + 49).data, samples[7])
    assert not is_sealed(path)
    np.testing.assert_array_equal(read_foreign(path).samples[:n], samples)
