# SPDX-License-Identifier: MIT
"""The exam's queue with limits: refused with the advice, playable once it was followed, confirmed by a person."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from isocenter.app.control_journal import FILE
from isocenter.app.exam_service import ExamService
from isocenter.app.service import ItemState, QueueItem
from isocenter.domain.errors import WrongState
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import OperatingMode
from isocenter.domain.patient import Patient

PERSON = Patient(patient_id="P1", family_name="Doe", given_name="Jo", weight_kg=70.0)


def wait_for(service: ExamService, condition: Callable[[], bool]) -> None:
    """Long enough for a busy computer on which nothing is compiled yet: gate, compiler and simulation take two minutes."""
    there = threading.Event()

    def look(_: object) -> None:
        if condition():
            there.set()

    forget = service.listen(look)
    look(None)
    assert there.wait(240), [(item.state, item.check) for item in service.queue]
    forget()


def entry(service: ExamService, item: QueueItem) -> QueueItem:
    return next(one for one in service.queue if one.item_id == item.item_id)


@pytest.fixture
def open_service():
    services = []

    def make(desk, **exam) -> ExamService:
        service = ExamService(desk.program(), desk.folder, is_prescan_at_start=False)
        services.append(service)
        service.start_exam(**{"patient": PERSON, "position": PatientPosition.HFS, "body_part": "HEAD"} | exam)
        return service

    yield make
    for service in services:
        service.close()


def test_the_queue_refuses_with_wait_shows_exposures_and_looks_again_when_the_wait_is_over(desk, open_service):
    service = open_service(desk)
    first = service.add(desk.long)
    wait_for(service, lambda: entry(service, first).check is not None)
    check = entry(service, first).check
    assert check.is_playable
    predicted = {one.title: one for one in check.exposures}["head SAR in 6 min"]
    assert predicted.fraction == pytest.approx(0.55, abs=0.02)
    live = []
    forget = service.listen(lambda _: live.append(service.status.exposures))
    service.start()
    wait_for(service, lambda: entry(service, first).state is ItemState.DONE and not service.status.is_running)
    forget()
    shown = [one.fraction for exposures in live for one in exposures if one.title == "head SAR in 6 min"]
    assert 0.47 < max(shown) < 0.58, "shown from time to time, so perhaps not at its very end"
    assert min(shown) < 0.3, "it grows while the scan is played"

    clock = service._session.exposure_log.clock
    since_s = clock.now_s()
    second = service.add(desk.long)
    wait_for(service, lambda: entry(service, second).check is not None)
    check = entry(service, second).check
    assert not check.is_playable
    assert "Wait " in check.remedy
    assert 0 < check.wait_s < 360
    assert not check.needs_first_level, "head SAR is the same in both modes"
    assert {one.title: one for one in check.exposures}["head SAR in 6 min"].fraction > 1
    with pytest.raises(WrongState, match="First level mode is not what"):
        service.confirm_first_level(second.item_id, "Dr. No")
    service.start()
    wait_for(service, lambda: entry(service, second).state is ItemState.FAILED)
    assert "Wait " in entry(service, second).note
    wait_for(service, lambda: not service.status.is_running)

    clock.pass_to(since_s + check.wait_s - 4)
    third = service.add(desk.long)
    wait_for(service, lambda: entry(service, third).check is not None)
    assert 0 < entry(service, third).check.wait_s < 10
    wait_for(service, lambda: entry(service, third).check is not None and entry(service, third).check.is_playable)
    service.start()
    wait_for(service, lambda: entry(service, third).state in (ItemState.DONE, ItemState.FAILED))
    assert entry(service, third).state is ItemState.DONE, entry(service, third).note


def test_what_was_played_changes_the_checks_of_what_still_waits(desk, open_service):
    service = open_service(desk)
    hot, hotter, cool = desk.long, replace(desk.long, name="Second"), replace(desk.long, name="Third")
    cool = replace(cool, parameters=dict(cool.parameters) | {"flip_rad": 0.05})
    items = [service.add(protocol) for protocol in (hot, hotter, hot, cool)]
    wait_for(service, lambda: all(item.check is not None for item in service.queue))
    assert all(item.check.is_playable for item in service.queue), "each alone"
    cool_check = entry(service, items[3]).check
    service.start()
    wait_for(service, lambda: entry(service, items[1]).state is ItemState.FAILED)
    assert entry(service, items[0]).state is ItemState.DONE
    assert "Wait " in entry(service, items[1]).note
    wait_for(service, lambda: not entry(service, items[2]).check.is_playable)
    assert entry(service, items[2]).check.wait_s < 360
    assert entry(service, items[3]).check is cool_check, "nothing near a limit is computed again"


def nerves_near_their_limit(scanner):
    """A bound of 0.9 of the threshold for the sequence of these tests: between normal and first level mode."""
    safety = replace(scanner.safety, forward_power_w=33.0, nerve_radius_m=scanner.magnet.bore_m / 2 * 0.9 / 0.166)
    return replace(scanner, safety=safety)


def test_first_level_needs_a_name_and_stands_in_the_record(make_desk, open_service):
    desk = make_desk(nerves_near_their_limit)
    service = open_service(desk)
    item = service.add(desk.long)
    with pytest.raises(WrongState, match="Nobody has said who"):
        service.confirm_first_level(item.item_id, "  ")
    wait_for(service, lambda: entry(service, item).check is not None)
    check = entry(service, item).check
    assert not check.is_playable
    assert check.needs_first_level
    assert "confirm the first level controlled operating mode" in check.remedy
    service.confirm_first_level(item.item_id, "Dr. Ada")
    wait_for(service, lambda: entry(service, item).check is not None)
    check = entry(service, item).check
    assert check.is_playable
    assert check.mode is OperatingMode.FIRST_LEVEL
    modes, exam_id = set(), service.exam.exam_id
    forget = service.listen(lambda _: modes.add(service.status.mode))
    service.start()
    wait_for(service, lambda: entry(service, item).state in (ItemState.DONE, ItemState.FAILED))
    forget()
    done = entry(service, item)
    assert done.state is ItemState.DONE, done.note
    assert OperatingMode.FIRST_LEVEL in modes
    record = json.loads((done.folder / "scan.json").read_text())["request"]["safety"]
    assert record["mode"] == "first level"
    assert record["first_level_confirmed"]["name"] == "Dr. Ada"
    at = record["first_level_confirmed"]["at"]
    service.close()  # by then all of the journal is written
    lines = map(json.loads, (desk.folder / FILE).read_text().splitlines())
    said = {line["kind"]: line for line in lines}
    for kind in ("first_level_confirmed", "first_level_scan"):
        assert {"person": "Dr. Ada", "confirmed_at": at, "protocol": "Long", "exam": exam_id}.items() <= said[kind].items()
    assert said["first_level_scan"]["folder"] == done.folder.name


def test_a_confirmation_holds_for_one_entry_once(make_desk, open_service):
    desk = make_desk(nerves_near_their_limit)
    service = open_service(desk)
    item = service.add(desk.long)
    wait_for(service, lambda: entry(service, item).check is not None)
    service.confirm_first_level(item.item_id, "Dr. Ada")
    service.start()
    wait_for(service, lambda: entry(service, item).state in (ItemState.DONE, ItemState.FAILED))
    assert entry(service, item).state is ItemState.DONE, entry(service, item).note
    wait_for(service, lambda: not service.status.is_running)
    again = service.add(desk.long)
    wait_for(service, lambda: entry(service, again).check is not None)
    assert not entry(service, again).check.is_playable, "a confirmation holds for one entry, once"


def test_another_protocol_has_to_be_confirmed_anew(make_desk, open_service):
    desk = make_desk(nerves_near_their_limit)
    service = open_service(desk)
    item = service.add(desk.long)
    wait_for(service, lambda: entry(service, item).check is not None)
    service.confirm_first_level(item.item_id, "Dr. Ada")
    assert entry(service, item).first_level.name == "Dr. Ada"
    service.update(item.item_id, replace(desk.long, name="Another"))
    assert entry(service, item).first_level is None
    wait_for(service, lambda: entry(service, item).check is not None)
    assert not entry(service, item).check.is_playable


def test_a_damaged_history_is_what_the_check_says(desk, open_service):
    desk.folder.mkdir(exist_ok=True)
    (desk.folder / "exposures-virtual-osii-one.jsonl").write_text("what?\n")
    service = open_service(desk)
    check = service.check(desk.long).result(30)
    assert not check.is_playable
    assert "RF and heat cannot be added up" in check.problem
    assert service.status.exposures == (), "nothing is shown as if it were known"
