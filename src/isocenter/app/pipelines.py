# SPDX-License-Identifier: MIT
"""Which pipeline makes a scan's images, and what is left of it beside them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isocenter.app.files import new_folder
from isocenter.config.coil_files import load_coils
from isocenter.domain.errors import ReconError, StorageError
from isocenter.domain.harmonics import CoilField
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.volume import Volume
from isocenter.recon.defaults import adjusted, default_pipeline, with_coils, with_field
from isocenter.recon.options import ReconOptions
from isocenter.recon.pipeline_file import pipeline_text, read_pipeline
from isocenter.recon.steps.base import MeasuredField, Work
from isocenter.recon.steps.distortion import measured_field
from isocenter.recon.views import view_of
from isocenter.storage.png import contact_sheet
from isocenter.storage.stored import read_raw

PIPELINE, INTERMEDIATE, GRADIENTS = "pipeline.toml", "intermediate", "gradients.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineChoice:
    """What a person chose of a reconstruction.

    Attributes
    ----------
    options
        Filter, sizes and so on, before what the pipeline says.
    file
        A pipeline of one's own; None for the scan's.
    keep
        Steps whose result is to be kept, to look at.
    field_map
        Folder of a scan that measured the main field, for the step ``b0``; None for none.
    gradient_map
        File with what was measured of the gradient coils, for the step ``gradients``; None for none.
    """

    options: ReconOptions | None = None
    file: Path | None = None
    keep: tuple[str, ...] = ()
    field_map: Path | None = None
    gradient_map: Path | None = None

    def orders(self, declared: tuple[StepOrder, ...], recon: str) -> tuple[StepOrder, ...]:
        """The pipeline: the person's file, else what the sequence declared, else the usual one; with the options in it.

        Raises
        ------
        ReconError
            The file cannot be used, or a step to keep is not in the pipeline.
        """
        orders = read_pipeline(self.file) if self.file is not None else declared or default_pipeline(recon)
        if self.field_map is not None:
            orders = with_field(orders)
        if self.gradient_map is not None:
            orders = with_coils(orders)
        names = [order.step for order in orders]
        for name in self.keep:
            if name not in names:
                raise ReconError(f"The pipeline has no step '{name}' to keep.", f"Keep one of: {', '.join(names)}.")
        return adjusted(orders, self.options)

    def field(self, lo_hz: float) -> MeasuredField | None:
        """The main field that was measured, for a scan with this frequency of the receiver [Hz]; None without a map.

        Raises
        ------
        StorageError, ReconError
            The scan cannot be read, or is no map.
        """
        if self.field_map is None:
            return None
        if not (self.field_map / "scan.json").is_file():
            raise StorageError(f"'{self.field_map}' is not a scan.", "Give the folder of a scan of the sequence b0_map.")
        try:
            return measured_field(read_raw(self.field_map), lo_hz)
        except ReconError as error:
            raise ReconError(f"'{self.field_map}' gives no map of the main field: {error.problem}", error.remedy) from None


def coils_for(path: Path | None, scanner_name: str) -> CoilField | None:
    """What was measured of the coils, for a scan by this scanner; None without a file. An empty name is not compared.

    Raises
    ------
    ConfigError, ReconError
        The file is missing or wrong, or is of another scanner.
    """
    if path is None:
        return None
    coils = load_coils(path)
    if scanner_name and coils.scanner != scanner_name:
        raise ReconError(
            f"{path} was measured on the scanner '{coils.scanner}', but this scan comes from '{scanner_name}'.",
            "Give the map of the scanner's own gradients; another one makes images worse.",
        )
    return coils


def copy_map(choice: PipelineChoice, folder: Path) -> None:
    """Keep the map of the gradients beside the images that it made."""
    if choice.gradient_map is not None:
        (folder / GRADIENTS).write_bytes(choice.gradient_map.read_bytes())


class Keeper:
    """Writes what some steps leave into a folder, numbers and a picture: watch a reconstruction with it."""

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self._names, self._folder, self._n_steps = set(names), folder, 0

    def __call__(self, name: str, work: Work) -> None:
        """Keep what this step left, if it is one of those asked for."""
        self._n_steps += 1
        if name not in self._names:
            return
        self._folder.mkdir(exist_ok=True)
        stem = f"{self._n_steps:02d}-{name}"
        items = [item.data for item in (work.pictures or work.grids)] or [work.raw.samples]
        for index, data in enumerate(items, start=1):
            np.save(self._folder / (f"{stem}-{index}.npy" if len(items) > 1 else f"{stem}.npy"), data)
        contact_sheet(
            [view_of(data, is_image=bool(work.pictures)) for data in items], self._folder / f"{stem}.png", title=stem
        )


def write_used(orders: Iterable[StepOrder], folder: Path) -> None:
    """Keep the pipeline beside the images that it made."""
    (folder / PIPELINE).write_text(pipeline_text(orders), encoding="utf-8")


def write_pipeline(orders: Iterable[StepOrder], path: Path) -> None:
    """Write a pipeline for a person to edit.

    Raises
    ------
    StorageError
        The file is there already, or cannot be written.
    """
    text = pipeline_text(orders)
    if path.exists():
        raise StorageError(f"There is a file '{path}' already.", "Choose another name, or move that file away first.")
    if not path.name or path.parent.is_file():
        raise StorageError(f"'{path}' is no name for a file.", "Choose another name.")
    with new_folder(path.parent) as folder:
        (folder / path.name).write_text(text, encoding="utf-8")


def skipped_text(volumes: Iterable[Volume]) -> str:
    """What a person must know of steps that could not be done, empty when there were none."""
    skipped = dict.fromkeys(f"{name} was skipped: {why}" for volume in volumes for name, why in volume.skipped)
    return " ".join(text if text.endswith(".") else f"{text}." for text in skipped)
