# SPDX-License-Identifier: MIT
"""The queue runs in the order shown, and only what waits can be changed."""

import math

import pytest

from isocenter.app.exam_queue import ExamQueue
from isocenter.app.service import ItemState, ProtocolCheck
from isocenter.domain.errors import WrongState
from isocenter.domain.scan import Protocol


def _queue(*names: str) -> ExamQueue:
    queue = ExamQueue()
    for name in names:
        queue.add("exam", Protocol(name=name, sequence="fid"))
    return queue


def _names(queue: ExamQueue) -> list[str]:
    return [item.protocol.name for item in queue.items]


def test_entries_run_in_the_order_shown() -> None:
    queue = _queue("a", "b", "c")
    queue.move(queue.items[2].item_id, 0)
    assert _names(queue) == ["c", "a", "b"]
    ran = []
    while item := queue.take_next():
        ran.append(item.protocol.name)
    assert ran == ["c", "a", "b"]


def test_nothing_moves_before_what_has_already_begun() -> None:
    queue = _queue("a", "b", "c")
    queue.take_next()
    queue.move(queue.items[2].item_id, 0)
    assert _names(queue) == ["a", "c", "b"]


@pytest.mark.parametrize("state", [ItemState.PREPARING, ItemState.SCANNING, ItemState.DONE, ItemState.FAILED])
def test_what_no_longer_waits_cannot_be_changed(state) -> None:
    queue = _queue("a")
    item_id = queue.items[0].item_id
    queue.change(item_id, state=state)
    for change in (
        lambda: queue.remove(item_id),
        lambda: queue.move(item_id, 0),
        lambda: queue.update(item_id, Protocol(name="x", sequence="fid")),
    ):
        with pytest.raises(WrongState, match=r"a is no longer waiting.\n.*Add it again"):
            change()


def test_a_late_check_of_an_older_protocol_is_dropped() -> None:
    queue = _queue("a")
    item_id, old = queue.items[0].item_id, queue.items[0].protocol
    queue.update(item_id, Protocol(name="b", sequence="fid"))
    assert not queue.set_check(item_id, old, ProtocolCheck(facts=None))
    assert queue.items[0].check is None


def test_time_left_is_unknown_until_every_entry_was_checked() -> None:
    assert math.isnan(_queue("a").remaining_s)
    assert ExamQueue().remaining_s == 0.0


def test_a_removed_entry_is_gone_for_good() -> None:
    queue = _queue("a")
    item_id = queue.items[0].item_id
    queue.remove(item_id)
    with pytest.raises(WrongState, match="no longer in the queue"):
        queue.move(item_id, 0)
