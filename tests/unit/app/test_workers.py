# SPDX-License-Identifier: MIT
"""The process that builds sequences: asked after it was closed, and after it went down."""

import contextlib
import multiprocessing
import os
import threading

import pytest

from isocenter.app.workers import PreparationPool
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ScanAborted, SequenceError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import nominal_calibration


def test_who_asks_after_closing_is_told_so_and_no_process_is_started():
    pool, scanner, before = PreparationPool(), load_scanner("osii-one"), set(multiprocessing.active_children())
    pool.close()
    for ask in (pool.check, pool.prepare):
        answer = ask(Protocol(name="x", sequence="noise"), scanner, nominal_calibration(scanner), PatientPosition.HFS)
        with pytest.raises(ScanAborted, match=r"being closed; nothing is prepared any more\.\n.*Start the program again"):
            answer.result(0)
    assert set(multiprocessing.active_children()) == before
    pool.close()  # once more is nothing new


def test_what_waits_while_it_is_closed_is_refused_rather_than_lost(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    pool = PreparationPool()
    pool._submit(os.open, gate, os.O_RDONLY)  # until somebody opens the other end
    waiting = [pool._submit(os.getpid) for _ in range(4)]  # one may be on its way to the process already
    closing = threading.Thread(target=pool.close)
    closing.start()
    with pytest.raises(ScanAborted, match="being closed"):
        waiting[-1].result(60)
    while closing.is_alive():
        with contextlib.suppress(OSError):  # nobody reads yet, or nobody was asked to
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        closing.join(0.02)
    assert all(future.done() for future in waiting)


def test_a_process_that_goes_down_is_named_and_replaced():
    pool = PreparationPool()
    try:
        with pytest.raises(SequenceError, match=r"ended without an answer.*\n.*make the matrix smaller"):
            pool._submit(os._exit, 3).result(60)
        assert pool._submit(os.getpid).result(60) != os.getpid()
    finally:
        pool.close()
