# SPDX-License-Identifier: MIT
"""The process in which sequences are built and compiled, so that the window never waits for Python loops."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnProcess
from typing import TypeVar

from isocenter.app.prepare import PreparedScan, check, prepare
from isocenter.app.protocol_check import ProtocolCheck
from isocenter.compiler.check.exposure import Situation
from isocenter.config.hardware import list_scanners, load_scanner
from isocenter.domain.errors import ConsoleError, ScanAborted, SequenceError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import Subject
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import Calibration, Scanner, nominal_calibration

T = TypeVar("T")


def in_thread(name: str, work: Callable[[], T]) -> "Future[T]":
    """Do something that waits in a thread of its own; the future fails with its ConsoleError."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except ConsoleError as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class PreparationPool:
    """One worker process; replaced by a new one when a sequence takes it down.

    What is asked of it is answered by a future in any case: with ScanAborted from ``close`` on, with SequenceError when the
    process went down under it.

    Parameters
    ----------
    also
        What ``warm_up`` has done besides, in a process of its own; must survive pickling.
    """

    def __init__(self, also: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._also = also or _warm_reconstruction
        self._beside: SpawnProcess | None = None
        self._is_closed = False

    def warm_up(self) -> None:
        """Start the process and let it import what it will need; then compile what reconstruction will need.

        That takes a minute on a new machine that is busy, so it has a process of its own: no check waits for it.
        """
        self._submit(_warm).add_done_callback(lambda _: self._warm_beside())

    def _warm_beside(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            context = multiprocessing.get_context("spawn")
            self._beside = context.Process(target=_gently, args=(self._also,), name="warm up", daemon=True)
            self._beside.start()

    def check(
        self,
        protocol: Protocol,
        scanner: Scanner,
        calibration: Calibration,
        position: PatientPosition,
        situation: Situation | None = None,
        drift_hz_per_s: float | None = None,
    ) -> "Future[ProtocolCheck]":
        """``prepare.check`` in the worker."""
        return self._submit(check, protocol, scanner, calibration, position, situation, drift_hz_per_s)

    def prepare(
        self,
        protocol: Protocol,
        scanner: Scanner,
        calibration: Calibration,
        position: PatientPosition,
        situation: Situation | None = None,
    ) -> "Future[PreparedScan]":
        """``prepare.prepare`` in the worker."""
        return self._submit(prepare, protocol, scanner, calibration, position, situation)

    def close(self) -> None:
        """End the processes; what waits, and what is asked for later, is refused."""
        with self._lock:
            self._is_closed = True
            pool, self._pool, beside, self._beside = self._pool, None, self._beside, None
        if beside is not None:
            beside.terminate()
            beside.join()
            beside.close()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., T], *arguments: object) -> "Future[T]":
        told: Future[T] = Future()
        told.set_running_or_notify_cancel()  # it is answered by the process, never cancelled by who asked
        with self._lock:
            if self._is_closed:
                told.set_exception(_closing())
                return told
            if self._pool is None:
                self._pool = self._new()
            try:
                done = self._pool.submit(work, *arguments)
            except BrokenProcessPool:
                self._pool = self._new()
                done = self._pool.submit(work, *arguments)
        done.add_done_callback(lambda done: _tell(told, done))
        return told

    @staticmethod
    def _new() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def _closing() -> ScanAborted:
    return ScanAborted(
        "The program is being closed; nothing is prepared any more.", "Start the program again, then start the scan again."
    )


def _tell(told: "Future[T]", done: "Future[T]") -> None:
    """Pass on how something ended, in words for people where the process ended instead."""
    if done.cancelled():
        told.set_exception(_closing())
    elif (error := done.exception()) is None:
        told.set_result(done.result())
    elif isinstance(error, BrokenProcessPool):
        told.set_exception(_lost())
    else:
        told.set_exception(error)


def _lost() -> SequenceError:
    return SequenceError(
        "The process that builds sequences ended without an answer; the computer may have run out of memory.",
        "Try once more. If it ends again, make the matrix smaller, or have the sequence looked at.",
    )


def _warm() -> None:
    """Build something small: imports and compiled code, seconds on a new machine, are there before anybody waits."""
    from isocenter.compiler.check.warm_up import warm_up as warm_up_gate

    warm_up_gate()
    with contextlib.suppress(ConsoleError):  # what is wrong will be said when a protocol is checked
        scanner = load_scanner(list_scanners()[0])
        protocol = Protocol(name="warm up", sequence="gre_3d", parameters={"n_read": 16, "n_phase": 4, "n_slab": 2})
        situation = Situation(subject=Subject(body_part="HEAD", weight_kg=70.0))
        check(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS, situation)


def _gently(work: Callable[[], None]) -> None:
    """Do something in a process of its own while others have the right of way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when this ends
    if hasattr(os, "nice"):
        os.nice(10)
    work()


def _warm_reconstruction() -> None:
    """Compile the loops of transforms and corrections: on the disk before the first scan needs them."""
    from isocenter.recon.compiled import warm_up as warm_up_images
    from isocenter.recon.correct.warm_up import warm_up as warm_up_corrections
    from isocenter.recon.nufft.transform import warm_up as warm_up_transforms

    warm_up_images()
    warm_up_corrections()
    warm_up_transforms()
