# SPDX-License-Identifier: MIT
"""Kept calibrations: none is lost that was promised, none is used that is damaged, and no clock makes an old one young."""

import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration, UsedCalibration
from isocenter.domain.errors import StorageError
from isocenter.domain.scan import EndReason
from isocenter.storage import calibrations
from isocenter.storage.calibration_lines import Moment
from isocenter.storage.calibrations import CalibrationStore, now_on_both_clocks
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import open_scan

NOON_S = 1_790_000_000.0


def larmor(hz=2.0e6, at_s=NOON_S, **changes):
    values = {
        "quantity": Quantity.LARMOR,
        "value": (hz,),
        "sd": (3.0,),
        "measured_at_s": at_s,
        "temperature_c": 24.5,
        "coil": "head",
        "holds_s": 900.0,
        "holds_c": 0.1,
    }
    return CalibrationValue(**{**values, **changes})


class Clocks:
    """Both clocks of a computer, set by hand."""

    def __init__(self):
        self.wall_s, self.steady_s, self.boot = NOON_S, 100.0, "first"

    def __call__(self):
        return Moment(wall_s=self.wall_s, boot=self.boot, steady_s=self.steady_s)

    def wait(self, seconds):
        self.wall_s += seconds
        self.steady_s += seconds


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def store(tmp_path, clocks):
    return CalibrationStore(tmp_path, "osii-one", now=clocks)


def again(store, clocks):
    """The same file in another program."""
    return CalibrationStore(store.path.parent.parent, "osii-one", now=clocks)


def test_what_was_kept_is_read_back_equal_by_another_program(store, clocks):
    value = CalibrationValue(
        quantity=Quantity.SHIM,
        value=(1e-5, -2e-5, 0.1 + 0.2),
        sd=(1e-6, math.nan, 1e-6),
        measured_at_s=NOON_S + 0.125,
        coil="Kopf-Ü",
        subject="20260102-0001",
        raw="exams/1/003-shim",
    )
    refused = RefusedCalibration(
        quantity=Quantity.LARMOR, reason="Only a tone was found.", refused_at_s=NOON_S, value=(2.1e6,), coil="head"
    )
    store.accept(value, by="linear_shim")
    store.refuse(refused, by="fine_frequency")
    first, second = again(store, clocks).history()
    assert repr(first.content) == repr(value)  # NaN is not equal to itself
    assert (second.content.reason, second.content.value, second.by) == (refused.reason, refused.value, "fine_frequency")
    assert store.damaged == ()


def test_a_refusal_changes_nothing_of_what_is_in_use(store):
    store.accept(larmor(2.0e6))
    store.refuse(RefusedCalibration(quantity=Quantity.LARMOR, reason="noise", refused_at_s=NOON_S + 60))
    assert store.latest(Quantity.LARMOR, coil="head").value == (2.0e6,)
    assert len(store.history(Quantity.LARMOR)) == 2


def test_the_newest_for_this_coil_and_subject_is_found(store):
    for coil, subject, scale in [("head", "a", 0.9), ("knee", "a", 1.1), ("head", "b", 0.8)]:
        store.accept(larmor(quantity=Quantity.RF_SCALE, value=(scale,), coil=coil, subject=subject))
    assert store.latest(Quantity.RF_SCALE, coil="head", subject="a").value == (0.9,)
    assert store.latest(Quantity.RF_SCALE, coil="knee", subject="a").value == (1.1,)
    assert store.latest(Quantity.RF_SCALE, coil="head", subject="c") is None
    assert store.latest(Quantity.SHIM) is None


def test_written_last_counts_not_what_a_clock_says(store, clocks):
    store.accept(larmor(2.0e6, at_s=NOON_S))
    clocks.wall_s -= 3600
    store.accept(larmor(2.1e6, at_s=NOON_S - 3600))
    assert store.latest(Quantity.LARMOR).value == (2.1e6,)


# --- clocks -----------------------------------------------------------------------------------------------------------


def why_not(store, clocks, index=-1):
    return store.values()[index].why_not(now_s=clocks.wall_s, temperature_c=24.5, coil="head", subject="")


def test_a_clock_that_was_set_back_makes_no_old_value_young(store, clocks):
    store.accept(larmor())
    clocks.wait(14 * 60)
    assert why_not(store, clocks) == ""
    clocks.wait(10 * 60)
    clocks.wall_s -= 20 * 60  # now the value seems to be four minutes old
    assert "unknown age" in why_not(store, clocks)
    assert "unknown age" in why_not(again(store, clocks), clocks)


def test_also_over_a_restart_of_the_computer(store, clocks):
    store.accept(larmor())
    clocks.boot, clocks.steady_s = "second", 5.0
    clocks.wall_s -= 600
    assert "unknown age" in why_not(store, clocks)
    clocks.wall_s += 660
    assert why_not(store, clocks) == ""


def test_after_the_clock_was_set_back_new_values_hold_and_old_ones_do_not_come_back(store, clocks):
    store.accept(larmor(2.0e6))
    clocks.wait(60)
    clocks.wall_s -= 3600
    store.accept(larmor(2.1e6, at_s=clocks.wall_s))
    clocks.wait(60)
    assert why_not(store, clocks, -1) == ""
    assert "unknown age" in why_not(store, clocks, 0)
    clocks.wall_s += 3600  # set right: the new one seems old, the old one seems fresh
    assert "minutes old" in why_not(store, clocks, -1)
    assert "unknown age" in why_not(store, clocks, 0)


def test_what_holds_until_replaced_survives_a_clock_set_back(store, clocks):
    store.accept(larmor(holds_s=math.inf, holds_c=math.inf))
    clocks.wall_s -= 1e6
    assert why_not(store, clocks) == ""


def test_the_history_keeps_the_times_as_written(store, clocks):
    store.accept(larmor())
    clocks.wall_s -= 3600
    assert math.isnan(store.values()[0].measured_at_s)
    assert store.history()[0].content.measured_at_s == NOON_S


def test_the_time_zone_changes_nothing(store, clocks, monkeypatch):
    monkeypatch.setenv("TZ", "Africa/Kampala")
    time.tzset()
    store.accept(larmor())
    text = store.path.read_text()
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    assert '"at": "2026-09-21T14:13:20.000Z"' in text  # 1 790 000 000 s, by `date -u -d @1790000000`
    assert again(store, clocks).values() == (larmor(),)
    assert why_not(store, clocks) == ""
    monkeypatch.undo()
    time.tzset()


def test_both_clocks_of_this_computer_go_on():
    first, second = now_on_both_clocks(), now_on_both_clocks()
    assert first.boot == second.boot != ""
    assert 0 <= second.steady_s - first.steady_s < 5
    assert abs(first.wall_s - time.time()) < 5


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_cut", [1, 2, 30, 200])
def test_half_a_last_line_is_told_and_the_next_stands_on_its_own(store, clocks, n_cut):
    store.accept(larmor(2.0e6))
    store.accept(larmor(2.1e6))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-n_cut])
    fresh = again(store, clocks)
    assert [value.value for value in fresh.values()] == [(2.0e6,)]
    fresh.accept(larmor(2.2e6))
    # With only its end missing the line is whole as soon as another one follows.
    expected = [(2.0e6,), (2.1e6,), (2.2e6,)] if n_cut == 1 else [(2.0e6,), (2.2e6,)]
    assert [value.value for value in fresh.values()] == expected
    assert [line.number for line in fresh.damaged] == ([] if n_cut == 1 else [2])
    assert fresh.path.read_bytes().startswith(whole[:-n_cut])  # nothing is ever taken away


def test_one_changed_digit_is_not_believed(store, clocks):
    store.accept(larmor(2000123.0))
    store.accept(larmor(2000456.0))
    text = store.path.read_bytes()
    store.path.write_bytes(text.replace(b"2000456.0", b"2000466.0"))
    fresh = again(store, clocks)
    assert [value.value for value in fresh.values()] == [(2000123.0,)]
    assert fresh.damaged[0].number == 2
    assert "damaged" in fresh.damaged[0].problem


def test_no_damage_anywhere_is_believed_or_stops_the_rest(store, clocks):
    rng = random.Random(5)
    for index in range(6):
        store.accept(larmor(2.0e6 + index))
    text = store.path.read_bytes()
    kept = {2.0e6 + index for index in range(6)}
    for _ in range(150):
        broken = bytearray(text)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        store.path.write_bytes(bytes(broken))
        found = again(store, clocks).values()
        assert {value.value[0] for value in found} <= kept
        assert len(found) >= 1


def test_a_kind_or_quantity_of_a_newer_program_is_left_alone(store, clocks):
    store.accept(larmor())
    import zlib

    for changed in ({"quantity": "moon_phase"}, None):
        plain = json.loads(store.path.read_bytes().split(b"\n")[0])
        del plain["crc32"]
        content = plain.pop("accepted")
        plain |= {"accepted": content | changed} if changed else {"guessed": content}
        body = json.dumps(plain).encode()
        with store.path.open("ab") as file:
            file.write(body[:-1] + f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode())
    fresh = again(store, clocks)
    assert fresh.values() == (larmor(),)
    assert [line.number for line in fresh.damaged] == [2, 3]
    assert "newer program" in fresh.damaged[1].problem


def test_a_file_put_back_from_a_copy_is_read_anew(store, clocks, tmp_path):
    store.accept(larmor(2.0e6))
    copy = store.path.read_bytes()
    store.accept(larmor(2.1e6))
    assert len(store.values()) == 2
    (tmp_path / "copy").write_bytes(copy)
    (tmp_path / "copy").replace(store.path)
    assert [value.value for value in store.values()] == [(2.0e6,)]
    store.path.unlink()
    assert store.values() == ()


def test_a_full_disk_leaves_nothing_of_the_line(store, monkeypatch):
    store.accept(larmor())
    before = store.path.read_bytes()
    real = os.write

    def write(handle, data):
        if real(handle, data[:10]) == 10:
            raise OSError(28, "No space left on device")
        return 0

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match=r"disk is full.*\n.*Free space"):
        store.accept(larmor(2.1e6))
    monkeypatch.undo()
    assert store.path.read_bytes() == before
    store.accept(larmor(2.2e6))
    assert [value.value for value in store.values()] == [(2.0e6,), (2.2e6,)]


def test_another_program_that_writes_for_ever_is_named(store, clocks):
    import fcntl

    store.accept(larmor())
    impatient = CalibrationStore(store.path.parent.parent, "osii-one", now=clocks, lock_timeout_s=0.05)
    with store.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match=r"Another program.*0.05 s.*\n.*Close other windows"):
            impatient.accept(larmor())
    assert len(store.values()) == 1


def test_a_scanner_name_cannot_lead_out_of_the_folder(tmp_path):
    for name in ("../other", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="name of a file"):
            CalibrationStore(tmp_path, name)


# --- several programs, and one that dies ------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.storage.calibrations import CalibrationStore
store = CalibrationStore(Path(sys.argv[1]), "osii-one")
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    value = CalibrationValue(quantity=Quantity.NOISE, value=(float(n),), sd=(0.1,), measured_at_s=0.0, raw="x" * 3000)
    store.accept(value)
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def write_elsewhere(folder, first, last):
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_programs_and_two_threads_at_once_lose_nothing(tmp_path):
    here = CalibrationStore(tmp_path, "osii-one")
    others = [write_elsewhere(tmp_path, 0, 40), write_elsewhere(tmp_path, 1000, 1040)]

    def write(first):
        for n in range(first, first + 20):
            here.accept(larmor(value=(float(n),)))

    threads = [threading.Thread(target=write, args=(first,)) for first in (2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.communicate(timeout=300)
        assert other.returncode == 0
    found = [value.value[0] for value in here.values()]
    assert sorted(found) == sorted([*range(40), *range(1000, 1040), *range(2000, 2020), *range(3000, 3020)])
    assert here.damaged == ()
    for first in (0, 1000, 2000, 3000):  # each writer's own order stays
        assert (own := [n for n in found if first <= n < first + 1000]) == sorted(own)


def test_killed_at_any_moment_what_was_promised_is_there(tmp_path):
    rng = random.Random(3)
    promised = []
    for turn in range(4):
        writer = write_elsewhere(tmp_path, turn * 10_000, turn * 10_000 + 10_000)
        told = [writer.stdout.readline() for _ in range(rng.randint(1, 25))]
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=300)
        promised += [int(text) for text in [*told, *rest.split("\n")] if text.strip()]
    found = [int(value.value[0]) for value in CalibrationStore(tmp_path, "osii-one").values()]
    assert len(promised) > 4
    assert set(promised) <= set(found)
    assert found == sorted(set(found))


# --- what leaves it ---------------------------------------------------------------------------------------------------


def test_the_table_says_all_but_who_was_on_the_table(store, tmp_path):
    store.accept(larmor(2000123.5, subject="20260102-0001"), by="=cmd|fine")
    store.refuse(
        RefusedCalibration(quantity=Quantity.SHIM, reason="Two maxima.", refused_at_s=NOON_S, subject="20260102-0001")
    )
    assert store.export(tmp_path / "table.csv") == 2
    text = (tmp_path / "table.csv").read_text()
    assert "20260102" not in text
    head, first, second = csv.reader(text.splitlines())
    row = dict(zip(head, first, strict=True))
    assert (row["quantity"], row["result"], row["value"], row["sd"]) == ("larmor_hz", "accepted", "2000123.5", "3.0")
    assert row["by"] == "'=cmd|fine"
    assert row["measured_utc"] == "2026-09-21T14:13:20.000Z"
    assert dict(zip(head, second, strict=True))["reason"] == "Two maxima."
    store.export(tmp_path / "table.csv", with_subjects=True)
    assert "20260102-0001" in (tmp_path / "table.csv").read_text()


def test_a_scan_keeps_what_it_was_calibrated_with(tmp_path, examples):
    used = (
        UsedCalibration(quantity=Quantity.LARMOR, value=larmor(), age_s=61.0),
        UsedCalibration(quantity=Quantity.SHIM, why_not="never measured"),
    )
    request = replace(examples.make_request(), calibration_values=used)
    folder = ScanFolder.create(tmp_path, request, examples.make_scan(), examples.SEQUENCE)
    folder.finish(EndReason.ABORTED)
    assert repr(open_scan(folder.path).record.request.calibration_values) == repr(used)
    record = json.loads((folder.path / "scan.json").read_text())
    del record["request"]["calibration_values"]  # as older programs wrote it
    (folder.path / "scan.json").write_text(json.dumps(record))
    assert open_scan(folder.path).record.request.calibration_values == ()


def test_asking_often_costs_no_reading(store, monkeypatch):
    for index in range(300):
        store.accept(larmor(2.0e6 + index))
    store.values()
    monkeypatch.setattr(calibrations, "decode_entry", lambda _: pytest.fail("read again"))
    assert store.latest(Quantity.LARMOR).value == (2.0e6 + 299,)
