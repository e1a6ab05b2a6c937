# SPDX-License-Identifier: MIT
"""A virtual scanner's process that was stopped or has died is told from one that only gets no time."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from isocenter.app.virtual_process import VirtualProcess, beat, process_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the system how a process is")
LONG_S = 20.0
ADDRESS = ("127.0.0.1", 1)


@contextlib.contextmanager
def watched(target, *arguments):
    """A process, its watch, and what was said of it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=[theirs if one is beat else one for one in arguments], daemon=True)
    process.start()
    if target is beat:
        theirs.close()
    watch, said, is_lost = VirtualProcess(process, ours, ADDRESS), [], threading.Event()

    def tell(detail):
        said.append(detail)
        is_lost.set()

    watch.listen(tell)
    try:
        if target is beat:
            ours.recv()  # it has come up
        watch.begin()
        yield process, watch, said, is_lost
    finally:
        watch.end()
        process.kill()
        process.join()
        ours.close()
        theirs.close()


@pytest.mark.parametrize(("number", "detail"), [(signal.SIGSTOP, "it was stopped"), (signal.SIGKILL, "it has ended")])
def test_a_process_that_was_stopped_or_killed_is_lost_and_ended(number, detail):
    with watched(beat, beat, multiprocessing.get_context("spawn").Event()) as (process, watch, said, is_lost):
        assert process_at(*ADDRESS) is watch
        assert not is_lost.wait(0.5)
        os.kill(process.pid, number)
        assert is_lost.wait(LONG_S)
        assert said == [detail]
        assert watch.why_lost() == "The virtual scanner's process does not answer."
        process.join(LONG_S)
        assert process.exitcode == -signal.SIGKILL, "what it listens on is closed, so nobody waits for it"
        late = []
        watch.listen(late.append)
        assert late == [detail]
    assert process_at(*ADDRESS) is None


def test_a_process_that_is_silent_but_not_stopped_is_given_time():
    with watched(time.sleep, 60.0) as (process, watch, said, is_lost):
        assert not is_lost.wait(1.2), "twice as long as one that is stopped is given"
        assert process.is_alive()
        assert (said, watch.why_lost()) == ([], "")
