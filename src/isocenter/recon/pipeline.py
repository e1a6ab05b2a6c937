# SPDX-License-Identifier: MIT
"""Pipelines: named steps from readouts to volumes, checked before they run, recorded in what they make.

A pipeline is data (``domain.pipeline.StepOrder``): a sequence declares one, a file can hold one, and any can be run again on
the same readouts. A step that fails is an error when there is no image without it; otherwise the image is made without it
and says so.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ConsoleError, ReconError, SequenceError
from isocenter.domain.harmonics import CoilField
from isocenter.domain.parameters import format_value, make_parameters, parameters_of
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan
from isocenter.domain.volume import SKIPPED, Volume
from isocenter.recon.steps import STEPS
from isocenter.recon.steps.base import (
    Grid,
    MeasuredField,
    Notes,
    Picture,
    Stage,
    Step,
    Work,
    all_in_place,
    without_oversampling,
)

_log = logging.getLogger(__name__)

Watcher = Callable[[str, Work], None]
"""Called after each step with its name and what it left."""

_MISHAPS: Final = (ConsoleError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError, ImportError)
"""What may go wrong in an optional step without taking the images with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step with its parameters, checked.

    Attributes
    ----------
    parameters
        Instance of ``step.parameters``.
    """

    step: Step
    parameters: Any
    is_required: bool


def check_pipeline(orders: Iterable[StepOrder], source: str = "the pipeline") -> tuple[PlannedStep, ...]:
    """The steps of a pipeline with all their parameters.

    Parameters
    ----------
    orders
        As asked for.
    source
        What to call it in an error, such as the name of its file.

    Raises
    ------
    ReconError
        Unknown step or parameter, a value out of range, steps in an impossible order; names where, and what is allowed.
    """
    planned = []
    for number, order in enumerate(orders, start=1):
        where = f"{source}, step {number} '{order.step}'"
        if order.step not in STEPS:
            raise ReconError(f"{where}: there is no such step.", f"Use one of: {', '.join(STEPS)}.")
        step = STEPS[order.step]
        try:
            parameters = make_parameters(step.parameters, order.parameters)
        except SequenceError as error:
            known = ", ".join(item.name for item in parameters_of(step.parameters)) or "none: this step has no parameters"
            raise ReconError(f"{where}: {error.problem}", f"{error.remedy} Its parameters: {known}.") from None
        required = step.is_required if order.is_required is None else order.is_required
        planned.append(PlannedStep(step=step, parameters=parameters, is_required=required))
    _check_order(planned, source)
    return tuple(planned)


def _check_order(planned: Sequence[PlannedStep], source: str) -> None:
    stage = Stage.READOUTS
    for number, item in enumerate(planned, start=1):
        if item.step.takes is not stage:
            makers = [step.name for step in STEPS.values() if step.gives is item.step.takes and step.takes is not step.gives]
            before = f" after {' or '.join(makers)}" if makers else " before the readouts are sorted"
            raise ReconError(
                f"{source}, step {number} '{item.step.name}' needs {item.step.takes}, but there are {stage} by then.",
                f"Put it{before}.",
            )
        stage = item.step.gives
    if stage is not Stage.IMAGE:
        makers = [step.name for step in STEPS.values() if step.gives is Stage.IMAGE and step.takes is not Stage.IMAGE]
        raise ReconError(f"{source} ends with {stage}, not with images.", f"Add one of the steps {', '.join(makers)}.")


def run_pipeline(work: Work, planned: Iterable[PlannedStep], *, is_live: bool = False, watch: Watcher | None = None) -> Work:
    """Do steps one after the other.

    Parameters
    ----------
    is_live
        Leave out the steps that need a whole scan, or too much time.
    watch
        Called after each step; what it is given is void when the next step runs.

    Raises
    ------
    ReconError
        A required step cannot be done; names the step.
    """
    for item in planned:
        if is_live and not item.step.is_live:
            continue
        work = _do(work if item.step.takes_lines else all_in_place(work), item)
        if watch is not None:
            work = all_in_place(work)
            watch(item.step.name, work)
    return work


def _do(work: Work, item: PlannedStep) -> Work:
    if item.is_required:  # if it fails nothing is made of what it took
        return noted(item.step.run(dataclasses.replace(work, is_spent=True), item.parameters), item)
    try:
        done = item.step.run(work, item.parameters)
        _require_finite(done, work)
    except _MISHAPS as error:
        reason = error.problem if isinstance(error, ConsoleError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, ConsoleError):
            _log.exception("Step %s failed.", item.step.name)
        return noted(dataclasses.replace(work, said=""), item, skipped=f"{SKIPPED}{reason}")
    return noted(done, item)


def _require_finite(work: Work, before: Work) -> None:
    """Raise ReconError unless what a step changed is made of numbers."""
    old = {id(array) for array in _arrays(before)}
    arrays = [array for array in _arrays(work) if id(array) not in old]
    if not all(np.isfinite(array.sum(dtype=np.complex128)) for array in arrays):
        raise ReconError("It gave values that are not numbers.", "Look at the raw data; they may be damaged.")


def _arrays(work: Work) -> list[NDArray[Any]]:
    items: list[Picture | Grid] = [*work.pictures, *work.grids]
    return [item.data for item in items] or [work.raw.samples]


def noted(work: Work, item: PlannedStep, skipped: str = "") -> Work:
    """The work with a step's note on every item: what the item says of itself, else what is said of all; then parameters."""
    chosen = describe_parameters(item.parameters)

    def note(said: str) -> Notes:
        return ((item.step.name, skipped or "; ".join(filter(None, (said or work.said, chosen))) or "done"),)

    def with_note(value: Any) -> Any:
        return dataclasses.replace(value, notes=value.notes + note(value.said), said="")

    return dataclasses.replace(
        work,
        grids=tuple(with_note(grid) for grid in work.grids),
        pictures=tuple(with_note(picture) for picture in work.pictures),
        notes=work.notes + note(""),
        is_spent=False,
        said="",
    )


def describe_parameters(parameters: Any) -> str:
    """All parameters as text, such as ``kind hann, fraction 50 %``."""
    texts = []
    for item in parameters_of(type(parameters)):
        value = format_value(item, getattr(parameters, item.name))
        texts.append(f"{item.name} {value} {item.unit}".strip())
    return ", ".join(texts)


def orders_of(planned: Iterable[PlannedStep]) -> tuple[StepOrder, ...]:
    """The pipeline as data again, every parameter written out."""
    return tuple(
        StepOrder(
            step=item.step.name,
            parameters={p.name: getattr(item.parameters, p.name) for p in parameters_of(item.step.parameters)},
            is_required=item.is_required,
        )
        for item in planned
    )


def finish(work: Work) -> tuple[Volume, ...]:
    """Volumes in display order (docs/reconstruction.md) of pictures whose steps are done.

    Raises
    ------
    ReconError
        Channels that nobody combined.
    """
    return tuple(_volume(picture) for picture in work.pictures)


def _volume(picture: Picture) -> Volume:
    if picture.has_channels:
        raise ReconError(
            f"The pipeline ends with images of {len(picture.data)} channels.", "Add the steps 'combine' and 'output'."
        )
    picture, display = without_oversampling(picture), picture.stack.display
    flips = " and ".join(n for n, flip in zip(("slices", "rows", "columns"), display.flip, strict=True) if flip)
    said = f"transposed {'yes' if display.transpose else 'no'}, flipped {flips or 'nothing'}"
    return Volume(
        data=display.apply(picture.data),
        geometry=display.geometry,
        provenance=(*picture.notes, ("display", said)),
        kind=picture.kind,
        label=picture.label,
    )


def run_all(
    raw: RawScan,
    orders: Iterable[StepOrder],
    *,
    field: MeasuredField | None = None,
    coils: CoilField | None = None,
    watch: Watcher | None = None,
) -> tuple[Volume, ...]:
    """Volumes of a scan by a pipeline."""
    planned = check_pipeline(orders)
    return finish(run_pipeline(Work(raw=raw, field=field, coils=coils), planned, watch=watch))
