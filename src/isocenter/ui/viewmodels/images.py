# SPDX-License-Identifier: MIT
"""Pictures of the exam on the table, bound to the patient they were measured on."""

from dataclasses import dataclass, replace

import numpy as np

from isocenter.app.service import ImageChanged
from isocenter.domain.geometry import Orientation
from isocenter.domain.patient import Exam
from isocenter.domain.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Pictures of one queue entry, with the name of whom they show.

    Attributes
    ----------
    fraction
        Part of k-space measured so far, 1 when complete.
    is_live
        True while more is to come.
    """

    exam_id: str
    item_id: str
    patient_name: str
    title: str
    volumes: tuple[Volume, ...]
    fraction: float
    is_live: bool

    @property
    def originals(self) -> tuple[Volume, ...]:
        """Stacks as they were reconstructed."""
        return tuple(volume for volume in self.volumes if not volume.label)

    @property
    def derived(self) -> tuple[Volume, ...]:
        """Stacks that were made of the originals, each with its label."""
        return tuple(volume for volume in self.volumes if volume.label)


class ExamImages:
    """Series of one exam by entry. What belongs to another exam is never taken in."""

    def __init__(self) -> None:
        self._exam: Exam | None = None
        self._series: dict[str, Series] = {}

    def begin(self, exam: Exam | None) -> None:
        """Forget all pictures and take only those of this exam from now on."""
        self._exam = exam
        self._series = {}

    def take(self, event: ImageChanged, *, is_live: bool) -> Series | None:
        """Keep new pictures; None when they belong to another exam and are dropped."""
        if self._exam is None or event.exam_id != self._exam.exam_id or not event.volumes:
            return None
        series = Series(
            exam_id=event.exam_id,
            item_id=event.item_id,
            patient_name=self._exam.patient.display_name,
            title=event.title,
            volumes=event.volumes,
            fraction=event.fraction,
            is_live=is_live,
        )
        self._series.pop(event.item_id, None)
        self._series[event.item_id] = series  # the newest is last
        return series

    def settle(self, running_id: str) -> tuple[str, ...]:
        """Mark all but the running entry's pictures as final; gives the entries for which that is new."""
        settled = tuple(key for key, series in self._series.items() if series.is_live and key != running_id)
        for key in settled:
            self._series[key] = replace(self._series[key], is_live=False)
        return settled

    def of(self, item_id: str) -> Series | None:
        """Pictures of one entry."""
        return self._series.get(item_id)

    @property
    def newest(self) -> Series | None:
        """Those that changed last."""
        return next(reversed(self._series.values()), None)


def plane_of(volume: Volume) -> Orientation | None:
    """The standard plane nearest to a volume's slices, None when nobody knows where it lies."""
    if not volume.is_placed:
        return None
    axis = int(np.argmax(np.abs(volume.geometry.slice_direction)))
    return (Orientation.SAGITTAL, Orientation.CORONAL, Orientation.AXIAL)[axis]
