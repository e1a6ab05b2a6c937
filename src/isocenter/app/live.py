# SPDX-License-Identifier: MIT
"""Pictures that form while a scan is measured, made in a thread of their own so that no segment waits for them."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from isocenter.app.prepare import PreparedScan
from isocenter.domain.errors import ReconError
from isocenter.domain.events import Readouts
from isocenter.domain.volume import Volume
from isocenter.recon.cartesian import LiveReconstruction
from isocenter.recon.correct.editer_live import LiveRemoval
from isocenter.recon.defaults import default_pipeline
from isocenter.recon.receive import Samples

_log = logging.getLogger(__name__)
VolumesListener = Callable[[tuple[Volume, ...], float], None]


class LivePictures:
    """Takes lines as they arrive and gives pictures, always of the newest state; does nothing for scans without images."""

    def __init__(self, prepared: PreparedScan, listener: VolumesListener | None) -> None:
        self._listener = listener
        self._n_expected = max(len(prepared.scan.readouts), 1)
        self._live: LiveReconstruction | None = None
        if listener is not None and prepared.info.recon == "cartesian":
            try:
                self._live = LiveReconstruction(
                    prepared.scan.encoding,
                    prepared.placement,
                    definitions=prepared.scan.definitions,
                    pipeline=prepared.info.pipeline,
                    dwell_s=_dwell_s(prepared),
                )
            except ReconError as error:  # the scan itself is none the worse for it
                _log.info("No live pictures: %s", error.problem)
        pipeline = prepared.info.pipeline or default_pipeline("cartesian")
        self._removes = any(order.step == "interference" for order in pipeline)
        self._removals: dict[int, LiveRemoval] = {}  # by length of the lines: each has its own taps
        self._condition = threading.Condition()
        self._pending: list[tuple[Readouts, Samples]] = []
        self._n_seen = 0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="live-pictures", daemon=True)

    def add(self, readouts: Readouts, samples: Samples) -> None:
        """Take lines; returns at once."""
        if self._live is None:
            return
        with self._condition:
            self._pending.append((readouts, samples))
            self._condition.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._pending or self._closing)
                batch, self._pending = self._pending, []
                if not batch:
                    return
            try:
                self._show(batch)
            except ReconError as error:
                _log.warning("Live pictures ended: %s", error.problem)
                self._live = None
                return

    def _show(self, batch: list[tuple[Readouts, Samples]]) -> None:
        assert self._live is not None
        assert self._listener is not None
        for readouts, samples in batch:
            self._n_seen += len(readouts)
            if isinstance(samples, np.ndarray):
                self._live.add(self._coil(samples), readouts.labels)
        volumes = () if self._closing else self._live.volumes()  # the final pictures come from the disk
        if volumes:  # none while only navigators or a reference train have come
            self._listener(volumes, self._n_seen / self._n_expected)

    def _coil(self, samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """The coil's lines, without the interference that sensors heard, as far as it is known by then."""
        samples = samples.astype(np.complex64, copy=False)
        if samples.ndim == 2:
            return samples[:, None]
        if not self._removes or samples.shape[1] == 1:
            return samples[:, :1]
        coil, sensors = np.ascontiguousarray(samples[:, :1]), np.ascontiguousarray(samples[:, 1:])
        removal = self._removals.setdefault(samples.shape[2], LiveRemoval())
        try:
            return removal.add(coil, sensors)
        except ReconError as error:  # a picture with interference is better than none
            _log.info("Interference stays in the live picture: %s", error.problem)
            return coil


def _dwell_s(prepared: PreparedScan) -> float:
    dwell_ticks = prepared.scan.readouts.dwell_ticks
    return float(np.median(dwell_ticks)) / prepared.scan.clock_hz if len(dwell_ticks) else float("nan")
