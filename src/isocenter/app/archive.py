# SPDX-License-Identifier: MIT
"""Many scans at once: a folder of scans reconstructed by processes of this computer, or by a Dask cluster.

One scan that cannot be reconstructed does not stop the others, not even one that takes its process down.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

from isocenter.app.reconstruct import ReconOrder, reconstruct_path
from isocenter.domain.errors import ConsoleError, StorageError

_POLL_S: Final = 0.2
_MAX_SCANS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveJob:
    """One scan to reconstruct.

    Attributes
    ----------
    name
        Path below the archive.
    out
        Where its images go; None for its own folder.
    """

    name: str
    scan: Path
    out: Path | None
    order: ReconOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveItem:
    """What became of one scan.

    Attributes
    ----------
    text
        What was made; or the problem.
    remedy
        What to do about the problem.
    """

    name: str
    is_done: bool
    text: str
    remedy: str = ""
    files: tuple[str, ...] = ()
    took_s: float = 0.0


DoneListener = Callable[[ArchiveItem, int, int], None]
"""Called with each scan that is over, how many are, and how many there are."""

Runner = Callable[[list[ArchiveJob], Event], Iterator[ArchiveItem]]
"""Reconstructs jobs in any order; ends early when the event is set."""


def find_archive(folder: Path) -> list[Path]:
    """Folders of scans at any depth below a folder, in order of their names; hidden folders are left out."""
    found = [
        path.parent
        for path in folder.rglob("scan.json")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(found)[:_MAX_SCANS]


def reconstruct_archive(
    archive: Path,
    out: Path | None,
    order: ReconOrder,
    *,
    run: Runner,
    cancel: Event,
    on_done: DoneListener | None = None,
) -> tuple[ArchiveItem, ...]:
    """Reconstruct every scan below a folder.

    Parameters
    ----------
    out
        Below it each scan gets the place that it has in the archive; None: beside each scan's data.
    run
        ``run_here`` or ``cluster.run_on``.
    cancel
        Ends it; scans that were begun may be finished.

    Returns
    -------
        What became of each scan that was begun, in the order of the archive.

    Raises
    ------
    StorageError
        There is no scan.
    """
    scans = find_archive(archive)
    if not scans:
        raise StorageError(f"There is no scan in '{archive}'.", "Give the folder of a scan, or one that holds such folders.")
    jobs = []
    for scan in scans:
        name = str(scan.relative_to(archive))
        jobs.append(ArchiveJob(name=name, scan=scan, out=out / name if out is not None else None, order=order))
    items: dict[str, ArchiveItem] = {}
    for item in run(jobs, cancel):
        items[item.name] = item
        if on_done is not None:
            on_done(item, len(items), len(jobs))
    return tuple(items[job.name] for job in jobs if job.name in items)


def reconstruct_one(job: ArchiveJob) -> ArchiveItem:
    """Reconstruct one scan, in whatever process; deliberate errors become part of the answer."""
    start_s = time.monotonic()
    try:
        result = reconstruct_path(job.scan, job.out, job.order)
    except ConsoleError as error:
        return failed(job, error.problem, error.remedy, time.monotonic() - start_s)
    return ArchiveItem(
        name=job.name,
        is_done=True,
        text=str(result["text"]),
        files=tuple(result["files"]),
        took_s=time.monotonic() - start_s,
    )


def failed(job: ArchiveJob, problem: str, remedy: str, took_s: float = 0.0) -> ArchiveItem:
    """Of a scan that could not be reconstructed."""
    return ArchiveItem(name=job.name, is_done=False, text=problem, remedy=remedy, took_s=took_s)


def outcome_of(job: ArchiveJob, future: Any) -> ArchiveItem:
    """What a future that is done gave, mistakes of the program included."""
    error = future.exception()
    if error is None:
        item: ArchiveItem = future.result()
        return item
    return failed(
        job,
        f"Isocenter made a mistake of its own, {type(error).__name__}: {str(error)[:200]}.",
        "Reconstruct this scan alone to see more, and tell the maintainers.",
    )


def run_here(n_workers: int = 0) -> Runner:
    """Runner with processes of this computer, as many as it has processors when 0."""

    def run(jobs: list[ArchiveJob], cancel: Event) -> Iterator[ArchiveItem]:
        n = min(n_workers or os.cpu_count() or 1, len(jobs))
        unfinished: list[ArchiveJob] = []
        yield from _in_pool(jobs, n, cancel, unfinished)
        for job in unfinished:  # one of them took its process down, and with it the others' pool: which one shows alone
            alone: list[ArchiveJob] = []
            yield from _in_pool([job], 1, cancel, alone)
            if alone and not cancel.is_set():
                yield failed(
                    job,
                    "The process that reconstructed it ended all at once.",
                    "Probably memory ran out: reconstruct it alone, with other programs closed.",
                )

    return run


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_pool(jobs: list[ArchiveJob], n: int, cancel: Event, unfinished: list[ArchiveJob]) -> Iterator[ArchiveItem]:
    """Jobs done by a pool of processes; those lost with a broken pool are added to ``unfinished``."""
    waiting, running = list(reversed(jobs)), dict[Future[ArchiveItem], ArchiveJob]()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max_workers=n, mp_context=context, initializer=_leave_ctrl_c_to_the_parent)
    try:
        while (waiting or running) and not cancel.is_set():
            while waiting and len(running) < n + 1:  # one more, so that no process waits for us
                job = waiting.pop()
                running[pool.submit(reconstruct_one, job)] = job
            for future in wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED).done:
                if isinstance(future.exception(), BrokenProcessPool):
                    raise BrokenProcessPool
                yield outcome_of(running.pop(future), future)
    except BrokenProcessPool:
        unfinished.extend([*running.values(), *reversed(waiting)])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
