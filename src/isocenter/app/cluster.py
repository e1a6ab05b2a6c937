# SPDX-License-Identifier: MIT
"""Scans reconstructed by the workers of a Dask cluster, which see the same folders and have this program installed."""

import logging
from collections.abc import Iterator
from threading import Event
from typing import Any, Final

from isocenter.app.archive import ArchiveItem, ArchiveJob, Runner, failed, outcome_of, reconstruct_one
from isocenter.domain.errors import ConfigError, ConnectError

_CONNECT_S: Final = 10.0
_POLL_S: Final = 0.5
_LOST: Final = ("KilledWorker", "CancelledError", "FutureCancelledError")


def run_on(scheduler: str) -> Runner:
    """Runner on the cluster of a scheduler, such as ``tcp://10.0.0.5:8786``.

    Raises
    ------
    ConfigError
        Dask is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            "Dask is not installed, so no cluster can be used.",
            "Install it with `pip install 'isocenter[cluster]'`, or leave --cluster away and use this computer.",
        ) from error

    def run(jobs: list[ArchiveJob], cancel: Event) -> Iterator[ArchiveItem]:
        client = _connect(distributed, scheduler)
        try:
            if not client.ncores():
                raise ConnectError(f"The cluster at {scheduler} has no worker.", f"Start some: `dask worker {scheduler}`.")
            with client.as_current():
                yield from _gather(distributed, client, jobs, cancel)
        finally:
            client.close(timeout=_CONNECT_S)

    return run


def _connect(distributed: Any, scheduler: str) -> Any:
    logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells of every lost link at length
    try:
        return distributed.Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectError(
            f"No Dask scheduler answers at {scheduler} ({str(error)[:120] or type(error).__name__}).",
            "Check its address and that it runs; without --cluster this computer does the work.",
        ) from error


def _gather(distributed: Any, client: Any, jobs: list[ArchiveJob], cancel: Event) -> Iterator[ArchiveItem]:
    futures = client.map(reconstruct_one, jobs, pure=False, retries=1)
    pending = dict(zip(futures, jobs, strict=True))
    while pending and not cancel.is_set():
        try:
            done = distributed.wait(list(pending), timeout=_POLL_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if client.status != "running":
                yield from (_lost(job) for job in pending.values())
                return
            continue
        for future in done:
            job = pending.pop(future)
            yield _lost(job) if type(future.exception()).__name__ in _LOST else outcome_of(job, future)
    client.cancel(list(pending))


def _lost(job: ArchiveJob) -> ArchiveItem:
    return failed(job, "The cluster lost the worker that reconstructed it.", "Reconstruct it alone, or again later.")
