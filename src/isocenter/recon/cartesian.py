# SPDX-License-Identifier: MIT
"""Images of a scan by a pipeline, whole or growing while it is measured. See docs/reconstruction.md."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.events import Encoding
from isocenter.domain.geometry import Placement
from isocenter.domain.harmonics import CoilField
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import Volume
from isocenter.recon.coils import root_sum_of_squares
from isocenter.recon.defaults import CARTESIAN, adjusted
from isocenter.recon.fourier import Complex
from isocenter.recon.options import ReconOptions
from isocenter.recon.pipeline import Watcher, check_pipeline, finish, noted, run_all, run_pipeline
from isocenter.recon.plan import CartesianPlan, plan_cartesian
from isocenter.recon.steps.base import MeasuredField, Notes, Work
from isocenter.recon.steps.sort import Sums

Labels: TypeAlias = Mapping[str, NDArray[np.int32]]

__all__ = ["LiveReconstruction", "reconstruct", "root_sum_of_squares"]


def reconstruct(
    raw: RawScan,
    *,
    options: ReconOptions | None = None,
    pipeline: Iterable[StepOrder] = (),
    field: MeasuredField | None = None,
    coils: CoilField | None = None,
    watch: Watcher | None = None,
) -> tuple[Volume, ...]:
    """Images of a scan, complete or cut short.

    Parameters
    ----------
    raw
        Samples complex64, shape ``(n_readouts, n_channels, n_samples)``, with what the pipeline's steps need: a Cartesian
        scan needs an encoding.
    options
        A person's choices, before what the pipeline says; None for none.
    pipeline
        Steps; empty for the usual ones of Cartesian scans.
    field
        Map of the main field for the step ``b0``; None when there is none beside the scan's own.
    coils
        What the gradient coils do, for the step ``gradients``; None when that step says so itself.
    watch
        Called after each step, to look at what it left.

    Returns
    -------
        Volumes in display order (docs/reconstruction.md), float32 magnitude or what the step ``output`` says, shape
        ``(n_slices, n_rows, n_cols)``. Each combination of ECO, SET, PHS and REP gives one; unevenly spaced slices give one
        each.

    Raises
    ------
    ReconError
        A required step cannot be done: no Cartesian encoding, no imaging readout, labels outside the encoding ...
    """
    return run_all(raw, adjusted(tuple(pipeline) or CARTESIAN, options), field=field, coils=coils, watch=watch)


class LiveReconstruction:
    """K-space that grows while it is measured; images of it at any time. Not for use by several threads at once.

    The same steps as ``reconstruct`` takes, but for those that need a whole scan or are slow (``Step.is_live``).
    """

    def __init__(
        self,
        encoding: Encoding | None,
        placement: Placement,
        *,
        definitions: Mapping[str, str] | None = None,
        options: ReconOptions | None = None,
        pipeline: Iterable[StepOrder] = (),
        dwell_s: float = math.nan,
    ) -> None:
        self.plan: CartesianPlan = plan_cartesian(encoding, placement, definitions or {}, options or ReconOptions())
        planned = check_pipeline(adjusted(tuple(pipeline) or CARTESIAN, options))
        sorting = next((index for index, item in enumerate(planned) if item.step.name == "sort"), -1)
        if sorting < 0:
            raise ReconError("Pictures of this pipeline cannot grow line by line.", "Wait for the end of the scan.")
        self._before, self._sort, self._after = planned[:sorting], planned[sorting], planned[sorting + 1 :]
        self._sums, self._n_seen = Sums(), 0
        self._notes: Notes = ()
        self._encoding = encoding
        self._scan = RawScan(
            samples=np.zeros((0, 1, 0), dtype=np.complex64),
            labels={},
            dwell_s=dwell_s,
            lo_hz=math.nan,
            encoding=encoding,
            placement=placement,
            facts=None,
            definitions=dict(definitions or {}),
        )

    @property
    def n_lines(self) -> int:
        """Lines of the image so far."""
        return self._sums.n_lines

    def add(self, samples: Complex, labels: Labels) -> int:
        """Take readouts as they arrive.

        Parameters
        ----------
        samples
            complex64, shape ``(n_readouts, n_channels, n_samples)``.
        labels
            By name, each of shape ``(n_readouts,)``; a missing one is 0.

        Returns
        -------
            How many of them were imaging lines.

        Raises
        ------
        ReconError
            A label or the number of samples does not fit the encoding; nothing of this batch is taken then.
        """
        for name, values in labels.items():
            if len(values) != len(samples):
                raise ValueError(f"label {name} has {len(values)} values for {len(samples)} readouts")
        raw = dataclasses.replace(self._scan, samples=samples, labels=dict(labels))
        done = run_pipeline(Work(raw=raw), self._before, is_live=True)
        n_lines = self._sums.add(done.raw)
        self._n_seen += len(samples)
        if n_lines:
            self._notes, self._encoding = done.notes, done.raw.encoding
        return n_lines

    def volumes(self, *, expected: int = 0) -> tuple[Volume, ...]:
        """Images of what has been added so far, of ``expected`` readouts in all; none before the first line."""
        if self.n_lines == 0:
            return ()
        n_missing = max(expected - self._n_seen, 0)
        scan = dataclasses.replace(self._scan, encoding=self._encoding)
        grids = self._sums.grids(scan, n_missing=n_missing, notes=self._notes, consume=False)
        work = noted(Work(raw=scan, grids=grids, notes=self._notes), self._sort)
        return finish(run_pipeline(work, self._after, is_live=True))
