# SPDX-License-Identifier: MIT
"""Pipelines that are used when a sequence declares none, and what a person's options change in one."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from isocenter.domain.errors import ReconError
from isocenter.domain.pipeline import StepOrder
from isocenter.recon.options import ReconOptions
from isocenter.recon.windows import Filter

CARTESIAN: Final = tuple(
    StepOrder(step=name)
    for name in (
        "receive",
        "interference",
        "drift",
        "whiten",
        "ghost",
        "average",
        "sort",
        "partial_fourier",
        "filter",
        "oversampling",
        "zero_fill",
        "transform",
        "combine",
        "output",
    )
)
"""The usual way of Cartesian scans."""

NONCARTESIAN: Final = tuple(
    StepOrder(step=name) for name in ("receive", "interference", "whiten", "average", "nufft", "combine", "output")
)
"""The usual way of radial, spiral and PETRA scans."""

PIPELINES: Final = {"cartesian": CARTESIAN, "noncartesian": NONCARTESIAN}
"""By what a sequence declares as RECON."""


def default_pipeline(recon: str) -> tuple[StepOrder, ...]:
    """The usual steps for what a sequence says its data become.

    Raises
    ------
    ReconError
        Nothing makes images of this kind.
    """
    if recon not in PIPELINES:
        raise ReconError(f"There are no images of a scan whose data are '{recon}'.", "Look at its spectrum.")
    return PIPELINES[recon]


def adjusted(orders: Iterable[StepOrder], options: ReconOptions | None) -> tuple[StepOrder, ...]:
    """The pipeline with a person's options in it: they go before what it says itself."""
    changes = _changes(options) if options is not None else {}
    return tuple(
        dataclasses.replace(order, parameters={**order.parameters, **changes[order.step]})
        if order.step in changes
        else order
        for order in orders
    )


def with_field(orders: Iterable[StepOrder]) -> tuple[StepOrder, ...]:
    """The pipeline with the correction for the main field in it, where it has none: before the channels are combined.

    ``nufft`` takes a map into account by itself.
    """
    found: list[StepOrder] = []
    orders = tuple(orders)
    has_step = any(order.step in {"b0", "nufft"} for order in orders)
    for order in orders:
        if order.step == "combine" and not has_step:
            found.append(StepOrder(step="b0"))
        if order.step == "transform":
            order = dataclasses.replace(order, parameters={**order.parameters, "keeps_readout": True})  # noqa: PLW2901
        found.append(order)
    return tuple(found)


def with_coils(orders: Iterable[StepOrder]) -> tuple[StepOrder, ...]:
    """The pipeline with the correction for bent gradients in it, where it has none: before the channels are combined."""
    orders = tuple(orders)
    names = [order.step for order in orders]
    if "gradients" in names:
        return orders
    at = next((names.index(name) for name in ("combine", "output") if name in names), len(orders))
    return (*orders[:at], StepOrder(step="gradients"), *orders[at:])


def _changes(options: ReconOptions) -> dict[str, Mapping[str, float | int | str | bool]]:
    changes: dict[str, Mapping[str, float | int | str | bool]] = {}
    if options.filter is not Filter.NONE:
        changes["filter"] = {"kind": str(options.filter), "fraction": options.filter_width or 0.0}
    if options.zero_fill is not None:
        changes["zero_fill"] = {"factor": options.zero_fill}
    if options.matrix is not None:
        read, phase, slab = options.matrix
        changes["zero_fill"] = {"n_read": read, "n_phase": phase, "n_slab": slab}
    if options.oversampling is not None:
        changes["oversampling"] = {"factor": options.oversampling}
    if options.keep_phase:
        changes["output"] = {"kind": "complex"}
    return changes
