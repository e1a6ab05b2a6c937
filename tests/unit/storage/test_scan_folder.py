# SPDX-License-Identifier: MIT
"""A scan's folder: what was measured is there, what it was is said, and the patient is named only where that is meant."""

import json

import numpy as np
import pytest

from isocenter.domain.errors import StorageError
from isocenter.domain.scan import EndReason
from isocenter.storage.journal import Journal
from isocenter.storage.oscillator import drift_hz
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import find_scans, open_scan, read_raw, recover


def append_segment(folder, scan, samples, index):
    rows = np.flatnonzero(scan.segment_of_readout == index)
    folder.append(scan.readouts.slice(rows[0], rows[-1] + 1), samples[rows])


@pytest.fixture
def scan(examples):
    return examples.make_scan()


@pytest.fixture
def samples(examples, scan):
    return examples.make_samples(scan)


@pytest.fixture
def folder(tmp_path, examples, scan):
    made = ScanFolder.create(tmp_path, examples.make_request(), scan, examples.SEQUENCE)
    yield made
    made.close()


def test_a_finished_scan_reads_back_equal_with_all_it_needs(folder, scan, samples, examples):
    for index in range(3):
        append_segment(folder, scan, samples, index)
    folder.finish(EndReason.COMPLETED)
    stored, raw = open_scan(folder.path), read_raw(folder.path)
    np.testing.assert_array_equal(raw.samples[:, 0], samples)
    for name in ("LIN", "PAR"):
        np.testing.assert_array_equal(raw.label(name), scan.readouts.label(name))
    assert raw.is_complete
    assert stored.is_complete
    assert raw.n_expected == 24
    assert raw.lo_hz == scan.lo_hz
    assert raw.dwell_s == pytest.approx(1024 / 122.88e6, rel=1e-6)
    assert raw.facts.tr_s == 0.5
    assert np.isnan(raw.facts.ti_s)
    assert raw.definitions == scan.definitions
    np.testing.assert_array_equal(raw.encoding.step_lin_per_m, scan.encoding.step_lin_per_m)
    request = examples.make_request()
    np.testing.assert_allclose(raw.placement.device_from_logical, request.placement.device_from_logical)
    assert raw.name == "T2 TSE: axial/1"
    assert stored.record.end.reason is EndReason.COMPLETED
    assert stored.sequence.read_bytes() == examples.SEQUENCE
    assert [event["event"] for event in stored.journal()] == ["created", "finished"]


def test_scan_json_says_everything_in_words_and_comes_back_as_values(folder, examples):
    plain = json.loads((folder.path / "scan.json").read_text())
    request = examples.make_request()
    assert plain["request"]["exam"]["patient"]["family_name"] == examples.FAMILY
    assert plain["request"]["parameters"]["te_s"] == 0.02
    assert plain["request"]["scanner"]["origins"]
    assert set(plain["versions"]) >= {"isocenter", "python", "numpy", "h5py", "ismrmrd"}
    assert np.linalg.det(plain["device_from_logical"]) == pytest.approx(1)
    assert plain["lps_from_device"] == [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    assert plain["compiled"]["facts"]["ti_s"] is None
    assert plain["end"] is None
    back = open_scan(folder.path).record.request
    assert back.protocol == request.protocol
    assert back.exam.patient.birth_date == request.exam.patient.birth_date
    assert back.exam.patient.sex is request.exam.patient.sex
    assert back.calibration == request.calibration
    np.testing.assert_array_equal(back.scanner.gradients.channel_from_device, request.scanner.gradients.channel_from_device)


def test_nothing_in_the_raw_file_says_who_the_patient_is(folder, scan, samples, examples):
    append_segment(folder, scan, samples, 0)
    folder.finish(EndReason.ABORTED)
    content = (folder.path / "raw.h5").read_bytes()
    for secret in (examples.FAMILY, examples.GIVEN, "PAT-0042", "1980", "2.25.111", "2.25.222", "20260102-0001"):
        assert secret.encode() not in content
    assert examples.FAMILY.lower() not in folder.path.name.lower()
    assert folder.path.name == "003-t2-tse-axial-1"


def test_every_segment_can_be_read_by_others_while_the_scan_runs(folder, scan, samples):
    for index in range(3):
        append_segment(folder, scan, samples, index)
        raw = read_raw(folder.path)  # another handle, while the folder is still open for writing
        assert len(raw.samples) == 8 * (index + 1)
        np.testing.assert_array_equal(raw.samples[:, 0], samples[: 8 * (index + 1)])
        assert raw.is_complete == (index == 2)
        assert open_scan(folder.path).was_interrupted


def test_a_crash_leaves_an_incomplete_scan_that_recover_closes(folder, scan, samples):
    append_segment(folder, scan, samples, 0)
    with pytest.raises(StorageError, match=r"still being written[\s\S]*Wait until it has ended"):
        recover(folder.path)
    folder.close()  # what the operating system does for a killed program
    with (folder.path / "journal.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-01-01T0')
    (folder.path / ".scan.json.123.tmp").write_bytes(b"{")
    stored = recover(folder.path)
    assert not stored.is_complete
    assert stored.n_readouts == 8
    assert stored.record.end.reason is EndReason.FAILED
    assert [event["event"] for event in stored.journal()] == ["created", "recovered"]
    assert not list(folder.path.glob(".*"))
    raw = read_raw(folder.path)
    assert (len(raw.samples), raw.n_expected, raw.is_complete) == (8, 24, False)
    assert recover(folder.path).record.end == stored.record.end  # a second time changes nothing


def test_a_scan_that_measured_nothing_is_still_a_scan(folder):
    folder.finish(EndReason.ABORTED, "Stop was pressed.")
    raw = read_raw(folder.path)
    assert raw.samples.shape[0] == 0
    assert not raw.is_complete
    assert open_scan(folder.path).record.end.note == "Stop was pressed."


def test_two_scans_of_one_name_get_two_folders(folder, scan, examples):
    second = ScanFolder.create(folder.path.parent, examples.make_request(), scan, b"")
    second.close()
    assert [path.name for path in find_scans(folder.path.parent)] == ["003-t2-tse-axial-1", "003-t2-tse-axial-1-2"]


def test_an_append_that_stops_anywhere_leaves_the_rows_before_it(folder, scan, samples, monkeypatch):
    from isocenter.storage import mrd_file

    append_segment(folder, scan, samples, 0)
    whole_write = mrd_file._write_at

    def fail_after(n_writes):
        left = [n_writes]

        def write(file, content, at):
            if left[0] == 0:
                whole_write(file, memoryview(content).cast("B")[:3], at)  # a part of it, then the disk gives up
                raise OSError(5, "Input/output error")
            left[0] -= 1
            whole_write(file, content, at)

        return write

    for n_writes in range(8):  # eight rows, then their number
        monkeypatch.setattr(mrd_file, "_write_at", fail_after(n_writes))
        with pytest.raises(StorageError, match="Input/output error"):
            append_segment(folder, scan, samples, 1)
        monkeypatch.setattr(mrd_file, "_write_at", whole_write)
        np.testing.assert_array_equal(read_raw(folder.path).samples[:, 0], samples[:8])
    append_segment(folder, scan, samples, 1)  # the same rows again, once the disk is well
    np.testing.assert_array_equal(read_raw(folder.path).samples[:, 0], samples[:16])


def test_rows_that_do_not_fit_are_a_programming_mistake_and_write_nothing(folder, scan, samples):
    with pytest.raises(ValueError, match="2 rows of samples for 8 readouts"):
        folder.append(scan.readouts.slice(0, 8), samples[:2])
    with pytest.raises(ValueError, match="a readout of 248 bytes where the scan has 256"):
        folder.append(scan.readouts.slice(0, 8), samples[:8, :31])
    folder.append(scan.readouts, samples)
    with pytest.raises(ValueError, match="more readouts"):
        folder.append(scan.readouts.slice(0, 1), samples[:1])
    assert folder.n_readouts == 24


def test_noise_navigators_and_other_lengths_are_kept_apart(tmp_path, examples):
    readouts = examples.make_readouts(
        8, 3, 32, extra={"NOISE": np.arange(24) == 0, "NAV": np.arange(24) % 8 == 7, "TRID": np.arange(24) - 5}.items()
    )
    readouts.n_samples[0] = 64
    scan = examples.make_scan(readouts=readouts)
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=n).astype(np.complex64) for n in readouts.n_samples]
    folder = ScanFolder.create(tmp_path, examples.make_request(), scan, b"")
    folder.append(readouts, rows)
    folder.finish(EndReason.COMPLETED)
    imaging, noise = read_raw(folder.path), read_raw(folder.path, "noise")
    assert imaging.samples.shape == (20, 1, 32)
    assert imaging.is_complete
    assert noise.samples.shape == (1, 1, 64)
    np.testing.assert_array_equal(noise.samples[0, 0], rows[0])
    np.testing.assert_array_equal(imaging.label("TRID"), np.delete(np.arange(24) - 5, [0, 7, 15, 23]))
    assert not imaging.label("NAV").any()
    everything = read_raw(folder.path, "all")
    assert everything.label("NAV").sum() == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "scan.json").unlink(), r"scan\.json does not exist[\s\S]*Check the name"),
        (lambda p: (p / "scan.json").write_text("{"), r"scan\.json is damaged"),
        (lambda p: (p / "scan.json").write_text("{}"), r"scan\.json holds '\{\}', which cannot be right"),
        (lambda p: (p / "raw.h5").unlink(), r"raw\.h5 does not exist"),
        (lambda p: (p / "raw.h5").write_bytes(b"rubbish"), r"Cannot read the raw data in .*raw\.h5"),
    ],
)
def test_a_damaged_folder_is_refused_in_plain_words(folder, damage, message):
    folder.close()
    damage(folder.path)
    with pytest.raises(StorageError, match=message):
        open_scan(folder.path)


def test_a_wrong_value_in_scan_json_is_named(folder):
    folder.close()
    path = folder.path / "scan.json"
    path.write_text(path.read_text().replace('"position": "HFS"', '"position": "HFX"'))
    with pytest.raises(StorageError, match=r"position holds 'HFX'"):
        open_scan(folder.path)


def test_labels_that_the_format_cannot_hold_are_refused_before_the_scan(tmp_path, examples):
    readouts = examples.make_readouts(8, 3, 32, extra={"REP": np.arange(24) - 1}.items())
    with pytest.raises(StorageError, match=r"Label REP runs from -1 to 22"):
        ScanFolder.create(tmp_path, examples.make_request(), examples.make_scan(readouts=readouts), b"")
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_should_know_is_in_the_record_beside_how_it_ended(folder):
    folder.remark("It was last verified 60 s after the start.")
    folder.remark("It was last verified 120 s after the start.")
    folder.finish(EndReason.ABORTED, "Stopped.")
    assert open_scan(folder.path).record.end.note == "Stopped. It was last verified 120 s after the start."


def measured(folder, change_hz, *, at_s, readout, first=None):
    folder.note("frequency measured", change_hz=change_hz, is_look=True, at_s=at_s, readout=readout)
    folder.note("resumed", lo_hz=1e6, first_readout=readout if first is None else first, lead_s=2.0)


def test_between_two_measurements_of_the_frequency_it_changed_steadily(tmp_path):
    """The second begins when the first was made, 2 s before the first line behind it; what came last is not known."""
    folder = Journal(tmp_path / "journal.jsonl")
    time_s, everything = 4.0 * np.arange(24), np.ones(24, dtype=bool)
    assert len(drift_hz(tmp_path / "journal.jsonl", time_s, everything)) == 0
    measured(folder, 28.0, at_s=28.0, readout=7)
    measured(folder, -32.0, at_s=58.0, readout=15)
    found_hz = drift_hz(tmp_path / "journal.jsonl", time_s, everything)
    assert found_hz[:7] == pytest.approx(time_s[:7])
    assert found_hz[7:15] == pytest.approx(-(time_s[7:15] - 26.0))
    assert found_hz[15:] == pytest.approx(0.0)
    assert drift_hz(tmp_path / "journal.jsonl", time_s, everything & (time_s < 8)) == pytest.approx([0.0, 4.0])
    folder.close()


def test_a_jump_and_a_look_that_failed_are_no_steady_change(tmp_path):
    folder = Journal(tmp_path / "journal.jsonl")
    time_s, everything = 4.0 * np.arange(24), np.ones(24, dtype=bool)
    folder.note("resumed", lo_hz=1e6, first_readout=4, lead_s=2.0)  # nothing could be measured: the oscillator stayed
    measured(folder, 700.0, at_s=32.0, readout=8, first=6)  # a jump: from there on it is measured again
    measured(folder, 40.0, at_s=62.0, readout=16)
    found_hz = drift_hz(tmp_path / "journal.jsonl", time_s, everything)
    assert found_hz[:6] == pytest.approx(0.0)
    assert found_hz[6:16] == pytest.approx(time_s[6:16] - 22.0)
    folder.close()
