# SPDX-License-Identifier: MIT
"""Events from any thread arrive in the window's thread, the newest only, not too often."""

import threading

import numpy as np
from PySide6.QtCore import QElapsedTimer, QObject, QThread, Slot

from isocenter.app.service import ExamChanged, Health, ImageChanged, MessageRaised, QueueChanged
from isocenter.ui.viewmodels.relay import EventRelay


class Listener(QObject):
    def __init__(self, relay):
        super().__init__()
        self.batches, self.threads = [], []
        relay.delivered.connect(self.take)

    @Slot(object)
    def take(self, events):
        self.batches.append(events)
        self.threads.append(QThread.currentThread())

    @property
    def events(self):
        return [event for batch in self.batches for event in batch]


def image(exam: str, item: str, fraction: float) -> ImageChanged:
    return ImageChanged(exam_id=exam, item_id=item, title="T", volumes=(), fraction=fraction)


def test_a_flood_from_a_thread_arrives_in_the_windows_thread_as_its_newest(qtbot):
    relay = EventRelay()
    listener = Listener(relay)
    fractions = np.linspace(0, 1, 2000)
    thread = threading.Thread(target=lambda: [relay.post(image("a", "1", float(part))) for part in fractions])
    clock = QElapsedTimer()
    clock.start()
    thread.start()
    qtbot.waitUntil(lambda: bool(listener.events) and listener.events[-1].fraction == 1.0)
    thread.join()
    assert set(listener.threads) == {QThread.currentThread()}
    assert len(listener.batches) <= clock.elapsed() / 33 + 2


def test_messages_and_changes_of_the_exam_are_never_dropped_and_keep_their_order(qtbot):
    relay = EventRelay()
    listener = Listener(relay)
    one = MessageRaised(health=Health.BAD, problem="1", remedy="")
    two = MessageRaised(health=Health.BAD, problem="2", remedy="")
    for event in (one, image("a", "1", 0.1), ExamChanged(exam=None), image("a", "2", 0.2), image("a", "1", 0.3), two):
        relay.post(event)
    relay.post(QueueChanged(items=()))
    qtbot.waitUntil(lambda: bool(listener.events))
    assert [type(event) for event in listener.events] == [
        MessageRaised, ExamChanged, ImageChanged, ImageChanged, MessageRaised, QueueChanged,
    ]  # fmt: skip
    assert [event.item_id for event in listener.events if isinstance(event, ImageChanged)] == ["2", "1"]
