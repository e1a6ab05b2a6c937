# SPDX-License-Identifier: MIT
"""What was played before counts: for the next scan, after a stop, after a crash, after the program was started anew."""

import json
import math
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.exposures import ExposureLog, TrainingClock, file_name
from isocenter.app.prepare import prepare
from isocenter.compiler.check import predicted_exposures
from isocenter.domain.errors import LimitError, StorageError, WrongState
from isocenter.domain.exposure import Label, Quantity
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import OperatingMode, Subject
from isocenter.domain.scan import EndReason
from isocenter.storage.journal import read_journal


def worst(exposures) -> float:
    return max(one.fraction for one in exposures if one.name == "head SAR" and one.window_s == 360)


def wait_advised_s(desk, session) -> float:
    """What the gate says now; the remedy must say it in words, too."""
    with pytest.raises(LimitError, match=r"SAR in 6 min.*must be at most") as refused:
        desk.prepare(session)
    assert refused.value.remedy.startswith("Wait ")
    minutes, seconds = 0, 0
    words = refused.value.remedy.split(",")[0].removeprefix("Wait ").rstrip(".").split()
    for number, unit in zip(words[::2], words[1::2], strict=True):
        minutes, seconds = (int(number), seconds) if unit == "min" else (minutes, int(number))
    return 60.0 * minutes + seconds


def test_the_second_of_two_scans_is_refused_until_one_has_waited(desk):
    session = desk.program()
    path, result = desk.measure(session, desk.prepare(session))
    assert result.reason is EndReason.COMPLETED
    log = session.exposure_log
    live = {one.title: one for one in log.live(Subject(body_part="HEAD", weight_kg=70.0), session.calibration)}
    assert live["head SAR in 6 min"].fraction == pytest.approx(0.55, abs=0.02)
    assert live["head SAR in 6 min"].label is Label.BOUND
    wait_s = wait_advised_s(desk, session)
    assert 0 < wait_s < 360
    log.clock.pass_to(log.clock.now_s() + wait_s - 20)
    with pytest.raises(LimitError, match="head SAR in 6 min"):
        desk.prepare(session)
    log.clock.pass_to(log.clock.now_s() + 20)
    _, result = desk.measure(session, desk.prepare(session))
    assert result.reason is EndReason.COMPLETED
    record = json.loads((path / "scan.json").read_text())["request"]["safety"]
    assert record["mode"] == "normal"
    assert record["first_level_confirmed"] is None
    assert {"head SAR", "nerve stimulation"} <= {one["name"] for one in record["exposures"]}


def test_a_program_that_is_started_anew_remembers_and_its_advice_holds(desk):
    first = desk.program()
    desk.measure(first, desk.prepare(first))
    first.close()
    second = desk.program()
    wait_s = wait_advised_s(desk, second)
    clock = second.exposure_log.clock
    clock.pass_to(clock.now_s() + wait_s)
    _, result = desk.measure(second, desk.prepare(second))
    assert result.reason is EndReason.COMPLETED


def test_after_the_computer_was_started_anew_it_counts_as_if_it_had_just_ended(desk):
    session = desk.program()
    desk.measure(session, desk.prepare(session))
    path = desk.folder / file_name("osii-one", is_virtual=True)
    clock = TrainingClock()
    clock.name = "another boot"
    log = ExposureLog(desk.scanner, clock, path)
    before = session.exposure_log.history.total(Quantity.DRIVE_S, -math.inf, math.inf)
    assert log.history.total(Quantity.DRIVE_S, -math.inf, math.inf) == pytest.approx(before, rel=1e-6)
    assert log.history.mean(Quantity.DRIVE_S, 360.0, clock.now_s()) * 360 == pytest.approx(before, rel=1e-3)
    names = {json.loads(line)["clock"] for line in path.read_text().splitlines()}
    assert names == {"another boot"}, "from now on it is known how long ago that was"


def test_what_was_prepared_before_another_scan_is_looked_at_once_more_when_it_starts(desk):
    session = desk.program()
    one, two = desk.prepare(session), desk.prepare(session)
    desk.measure(session, one)
    n_folders = len(list((desk.folder / "scans").iterdir()))
    with pytest.raises(LimitError, match="With what was played until now, head SAR in 6 min would be"):
        desk.measure(session, two)
    assert len(list((desk.folder / "scans").iterdir())) == n_folders, "nothing was begun"


def test_a_scan_that_was_stopped_counts_what_was_played(desk):
    session = desk.program()
    prepared = desk.prepare(session)

    def stop(progress):
        if progress.segment == 5:
            desk.cancel.set()

    _, result = desk.measure(session, prepared, on_progress=stop)
    assert result.reason is EndReason.ABORTED
    planned = prepared.safety.planned
    history = session.exposure_log.history
    counted_s = history.total(Quantity.DRIVE_S, -math.inf, math.inf)
    by_segment_s = planned.pulse_drive_s.sum() * (planned.segment_end_s[4:7] / planned.duration_s)
    assert by_segment_s[0] * 0.98 <= counted_s <= by_segment_s[2] * 1.02
    whole_s = planned.pulse_drive_s.sum()
    assert counted_s < 0.5 * whole_s
    subject = Subject(body_part="HEAD", weight_kg=70.0)
    again = predicted_exposures(
        prepared.safety, desk.scanner, subject, history, session.exposure_log.situation(subject).starts_s
    )
    assert worst(again) < 1, "the same scan may be repeated at once"
    desk.cancel.clear()


def test_a_phantom_may_be_scanned_where_a_person_may_not(desk):
    session = desk.program()
    desk.measure(session, desk.prepare(session))
    phantom = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
    prepared = desk.prepare(session, phantom)
    assert prepared.safety.is_allowed
    with pytest.raises(WrongState, match="checked for somebody else"):
        desk.measure(session, prepared)
    _, result = desk.measure(session, prepared, phantom)
    assert result.reason is EndReason.COMPLETED


def test_a_person_is_not_scanned_with_what_was_prepared_for_nobody_while_sar_is_unknown(make_desk):
    desk = make_desk(lambda scanner: replace(scanner, safety=replace(scanner.safety, forward_power_w=math.nan)))
    session = desk.program()
    prepared = prepare(desk.long, session.scanner, session.calibration, PatientPosition.HFS)
    with pytest.raises(LimitError, match=r"power of the RF amplifier.*unknown") as refused:
        desk.measure(session, prepared)
    assert "forward_power_w" in refused.value.remedy


def test_one_program_at_a_time_adds_to_a_scanner(desk):
    one, two = desk.program(), desk.program()
    prepared, again = desk.prepare(one), desk.prepare(two)
    seen = []

    def during(progress):
        if progress.segment == 2 and not seen:
            with (
                pytest.raises(WrongState, match="Another program is scanning"),
                two.exposure_log.scan(again.safety, two.scanner, again.subject),
            ):
                pytest.fail("two programs at once")
            seen.append(True)

    desk.measure(one, prepared, on_progress=during)
    assert seen
    assert wait_advised_s(desk, two) > 0, "the other program has learnt of it"


def test_a_damaged_history_plays_nothing_and_says_what_to_do(desk):
    session = desk.program()
    desk.measure(session, desk.prepare(session))
    path = desk.folder / file_name("osii-one", is_virtual=True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"clock": "x", "rows": [[1, 2]]}\n' + b"".join(lines[1:]))
    with pytest.raises(StorageError, match="RF and heat cannot be added up") as refused:
        desk.prepare(desk.program())
    assert str(path) in refused.value.remedy
    path.unlink()
    assert wait_advised_s(desk, session) > 0, "whoever still knows does not forget because a file is gone"


def test_a_segment_that_cannot_be_written_down_is_not_played(desk):
    session = desk.program()
    prepared = desk.prepare(session)
    path = desk.folder / file_name("osii-one", is_virtual=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(progress):
        if progress.segment == 3 and progress.state.value == "scanning":
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))

    try:
        with pytest.raises(StorageError, match="history of exposures"):
            desk.measure(session, prepared, on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    lines = path.read_bytes()
    assert lines.endswith(b"\n"), "no half of a line stays"
    assert lines.count(b"\n") == 3
    folder = next((desk.folder / "scans").iterdir())
    played = [event["index"] for event in read_journal(folder / "journal.jsonl") if event["event"] == "segment"]
    assert played == [0, 1, 2]
    assert session.exposure_log.mode is OperatingMode.NORMAL


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import conftest
from contextlib import ExitStack
from dataclasses import replace
scanner = conftest.strong_scanner()
scanner = replace(scanner, console=replace(scanner.console, host="127.0.0.1", port=int(sys.argv[2])))
desk = conftest.Desk(scanner, None, Path(sys.argv[3]), ExitStack())
session = desk.program()
prepared = desk.prepare(session)
desk.measure(session, prepared, on_progress=lambda progress: print("played", progress.segment, flush=True))
"""


def test_a_program_that_is_killed_has_written_down_all_that_was_played(desk):
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", CHILD, here, str(desk.scanner.console.port), str(desk.folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if line.strip() == "played 6":
                child.kill()
                break
    folder = next((desk.folder / "scans").iterdir())
    played = [event for event in read_journal(folder / "journal.jsonl") if event["event"] == "segment"]
    assert len(played) >= 6
    path = desk.folder / file_name("osii-one", is_virtual=True)
    assert path.read_bytes().count(b"\n") >= len(played)
    session = desk.program()
    planned = desk.prepare(session).safety.planned
    counted_s = session.exposure_log.history.total(Quantity.DRIVE_S, -math.inf, math.inf)
    assert counted_s >= 0.98 * planned.pulse_drive_s.sum() * planned.segment_end_s[5] / planned.duration_s
