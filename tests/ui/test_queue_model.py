# SPDX-License-Identifier: MIT
"""The queue as Qt's views see it."""

from dataclasses import replace

import pytest

from isocenter.app.service import ItemState, ProtocolCheck, QueueItem
from isocenter.domain.scan import Protocol, ScanProgress, ScanState
from isocenter.ui.text import duration_text
from isocenter.ui.viewmodels.queue_model import QueueModel, row_of

ITEM = QueueItem(item_id="e-1", protocol=Protocol(name="T2", sequence="tse_3d"), state=ItemState.WAITING)


def test_model_keeps_qts_rules(qtmodeltester):
    model = QueueModel()
    model.set_items((ITEM, replace(ITEM, item_id="e-2")))
    qtmodeltester.check(model)
    model.set_items((replace(ITEM, state=ItemState.DONE), replace(ITEM, item_id="e-2")))
    qtmodeltester.check(model)
    model.set_items(())
    qtmodeltester.check(model)


def test_news_of_the_same_entries_do_not_reset_the_view(qtbot):
    model = QueueModel()
    model.set_items((ITEM, replace(ITEM, item_id="e-2")))
    with qtbot.assertNotEmitted(model.modelReset), qtbot.waitSignal(model.dataChanged) as changed:
        model.set_items((ITEM, replace(ITEM, item_id="e-2", state=ItemState.DONE)))
    assert [index.row() for index in changed.args[:2]] == [1, 1]


@pytest.mark.parametrize("state", list(ItemState))
def test_every_state_has_a_shape_and_a_word_of_its_own(state):
    texts = {row_of(1, replace(ITEM, state=other)).state for other in ItemState if other is not state}
    text = row_of(1, replace(ITEM, state=state)).state
    assert text not in texts
    glyph, _, word = text.partition(" ")
    assert len(glyph) == 1
    assert word


def test_failed_stopped_and_done_differ_in_colour_too():
    tones = {row_of(1, replace(ITEM, state=state)).tone for state in (ItemState.FAILED, ItemState.STOPPED, ItemState.DONE)}
    assert len(tones) == 3


def test_running_entry_tells_time_left_and_how_far_it_is():
    progress = ScanProgress(state=ScanState.SCANNING, segment=3, n_segments=12, remaining_s=190.0)
    row = row_of(2, replace(ITEM, state=ItemState.SCANNING, progress=progress))
    assert row.state == "▶ 3:10 min left"
    assert row.progress == pytest.approx(0.25)


def test_an_entry_that_cannot_run_says_so_before_start():
    check = ProtocolCheck(facts=None, problem="TR is too short.", remedy="Set TR to 50 ms.")
    row = row_of(1, replace(ITEM, check=check))
    assert (row.state, row.tone) == ("▲ cannot run", "bad")


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0, "0:00 min"), (37.2, "0:38 min"), (59.99, "1:00 min"), (3599.5, "1:00:00 h"), (float("nan"), "–"), (-3, "0:00 min")],
)
def test_durations(duration_s, text):
    assert duration_text(duration_s) == text
