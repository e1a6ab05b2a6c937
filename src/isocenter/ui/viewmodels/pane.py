# SPDX-License-Identifier: MIT
"""One picture on the screen: which slice, how bright, how large, and which way round the patient is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from isocenter.domain.geometry import orientation_letters
from isocenter.domain.volume import ImageGeometry, Volume
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.images import Series

_ZOOM_LIMITS: Final = (0.5, 16.0)
_SAMPLES_FOR_WINDOW: Final = 100_000
_BRIGHTEST_PERCENT: Final = 99.5
_SEPARATOR: Final = " · "
_CUT: Final = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """What stands over a picture, in the order in which it is read.

    Attributes
    ----------
    state
        That it is still being measured, or was cut short; empty when it is complete.
    name
        Of the series; the only part that may be cut.
    label
        What sets a derived series apart from the original.
    progress
        Part of k-space; may be left out where there is no room.
    """

    state: str = ""
    name: str = ""
    label: str = ""
    progress: str = ""

    def __str__(self) -> str:
        return _SEPARATOR.join(filter(None, (self.state, self.name, self.label, self.progress)))

    def fitted(self, width_px: float, measure: Callable[[str], float]) -> str:
        """The title in this width; the name is cut before anything else, the label never.

        Parameters
        ----------
        width_px
            Room [pixels].
        measure
            Width of a text [pixels].
        """
        if measure(str(self)) <= width_px:
            return str(self)
        short = self if measure(str(replace(self, name=_CUT))) <= width_px else replace(self, progress="")
        n_kept = len(short.name)
        while n_kept and measure(str(replace(short, name=short.name[:n_kept].rstrip() + _CUT))) > width_px:
            n_kept -= 1
        return str(replace(short, name=short.name[:n_kept].rstrip() + _CUT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Letters at the edges of a picture; empty when nobody knows."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


class PaneViewModel(QObject):
    """State of one pane. Slices of several stacks follow each other."""

    changed = Signal()

    def __init__(self, hint: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.hint = hint
        self.series: Series | None = None
        self.volumes: tuple[Volume, ...] = ()
        self.position = 0
        self.zoom = 1.0
        self.pan_px = (0.0, 0.0)
        self._window: tuple[float, float] | None = None  # chosen by hand: low, high
        self._auto = (0.0, 1.0)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def show(self, series: Series | None, volumes: tuple[Volume, ...] = ()) -> None:
        """Show a series, or some of its stacks; slice, window and zoom stay while it is the same series."""
        volumes = volumes or (series.volumes if series else ())
        same = series is not None and self.series is not None and series.item_id == self.series.item_id
        same = same and [item.data.shape for item in volumes] == [item.data.shape for item in self.volumes]
        self.series, self.volumes = series, volumes
        if not same:
            self.reset_view()
            self.position = len(volumes[0].data) // 2 if volumes else 0
        self._auto = _auto_window(volumes)
        self.changed.emit()

    @property
    def n_slices(self) -> int:
        """Slices of all stacks."""
        return sum(len(volume.data) for volume in self.volumes)

    def current(self) -> tuple[Volume, int] | None:
        """Stack and slice index that are shown."""
        index = self.position
        for volume in self.volumes:
            if index < len(volume.data):
                return volume, index
            index -= len(volume.data)
        return None

    def frame(self) -> NDArray[np.uint8] | None:
        """Grey values of the slice, shape (rows, columns), None when there is none."""
        found = self.current()
        if found is None:
            return None
        volume, index = found
        low, high = self.window
        values = _magnitude(volume.data[index])
        scaled = (values - low) * (255.0 / max(high - low, 1e-30))
        return np.ascontiguousarray(np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.uint8))

    def pixel_m(self) -> tuple[float, float]:
        """Height and width of a pixel [m]."""
        found = self.current()
        return (1.0, 1.0) if found is None else found[0].geometry.spacing_m[1:]

    # --- what is said about it --------------------------------------------------------------------------------------

    def letters(self) -> Letters:
        """Where the patient's sides are, from the geometry of the pictures and from nothing else."""
        found = self.current()
        if found is None or not found[0].is_placed:
            return Letters()
        geometry = found[0].geometry
        return Letters(
            left=orientation_letters(-geometry.row_direction),
            right=orientation_letters(geometry.row_direction),
            top=orientation_letters(-geometry.column_direction),
            bottom=orientation_letters(geometry.column_direction),
        )

    def title(self) -> Title:
        """Name of the series and what sets the stack apart that is shown, and how far it is while it is measured."""
        if self.series is None:
            return Title()
        found = self.current()
        label = found[0].label if found else ""
        if self.series.derived and not label:  # beside a derived one, also the original says what it is
            label = translate("Viewer", "original")
        if not self.series.is_live and self.series.fraction >= 1:
            return Title(name=self.series.title, label=label)
        live, incomplete = translate("Viewer", "LIVE"), translate("Viewer", "INCOMPLETE")
        return Title(
            state=live if self.series.is_live else incomplete,
            name=self.series.title,
            label=label,
            progress=translate("Viewer", "{0} of k-space").format(f"{self.series.fraction * 100:.0f} %"),
        )

    def title_text(self) -> str:
        """The whole title."""
        return str(self.title())

    def done_to_it(self) -> tuple[tuple[str, str], ...]:
        """What was done to the data of the stack that is shown: step and, where it says more, what came of it."""
        found = self.current()
        return found[0].provenance if found else ()

    def slice_text(self) -> str:
        """Number of the slice, and where its centre lies in the patient."""
        found = self.current()
        if found is None:
            return ""
        text = f"{self.position + 1}/{self.n_slices}"
        volume, index = found
        if not volume.is_placed:
            return translate("Viewer", "{0} · orientation not known").format(text)
        return f"{text} · {_place_text(volume.geometry, index, volume.data.shape)}"

    def window_text(self) -> str:
        """Window and level in parts of the brightest automatic value."""
        low, high = self.window
        scale = self._auto[1] or 1.0
        return f"W {(high - low) / scale:.2f}  L {(high + low) / 2 / scale:.2f}  ×{self.zoom:.3g}"

    # --- what a person does -----------------------------------------------------------------------------------------

    @property
    def window(self) -> tuple[float, float]:
        """Values shown black and white."""
        return self._window or self._auto

    def mirror(self, other: "PaneViewModel") -> None:
        """Show the same slice in the same size and brightness as another pane."""
        position = min(other.position, max(self.n_slices - 1, 0))
        wanted = (position, other.zoom, other.pan_px, other._window, other._auto)  # noqa: SLF001  one of its own kind
        if wanted != (self.position, self.zoom, self.pan_px, self._window, self._auto):
            self.position, self.zoom, self.pan_px, self._window, self._auto = wanted
            self.changed.emit()

    def scroll(self, steps: int) -> None:
        """Go some slices on, or back."""
        position = min(max(self.position + steps, 0), max(self.n_slices - 1, 0))
        if position != self.position:
            self.position = position
            self.changed.emit()

    def drag_window(self, right: float, down: float) -> None:
        """Widen the window to the right, make it darker downwards; a drag over the whole pane is 1."""
        low, high = self.window
        scale = self._auto[1] - self._auto[0]
        width = max((high - low) + 2 * right * scale, 0.01 * scale)
        level = (high + low) / 2 + down * scale
        self._window = (level - width / 2, level + width / 2)
        self.changed.emit()

    def zoom_by(self, factor: float) -> None:
        """Enlarge or shrink."""
        self.zoom = min(max(self.zoom * factor, _ZOOM_LIMITS[0]), _ZOOM_LIMITS[1])
        self.changed.emit()

    def pan_by(self, right_px: float, down_px: float) -> None:
        """Move the picture."""
        self.pan_px = (self.pan_px[0] + right_px, self.pan_px[1] + down_px)
        self.changed.emit()

    def reset_view(self) -> None:
        """Automatic window, whole picture."""
        self._window, self.zoom, self.pan_px = None, 1.0, (0.0, 0.0)
        self.changed.emit()


def _magnitude(data: NDArray[np.complex64] | NDArray[np.float32]) -> NDArray[np.float32]:
    return np.abs(data).astype(np.float32, copy=False) if np.iscomplexobj(data) else np.asarray(data, dtype=np.float32)


def _auto_window(volumes: tuple[Volume, ...]) -> tuple[float, float]:
    """Black at zero, white at nearly the brightest voxel of a sample."""
    if not volumes:
        return 0.0, 1.0
    flat = (
        np.concatenate([volume.data.reshape(-1) for volume in volumes]) if len(volumes) > 1 else volumes[0].data.reshape(-1)
    )
    sample = _magnitude(flat[:: max(len(flat) // _SAMPLES_FOR_WINDOW, 1)])
    sample = sample[np.isfinite(sample)]
    high = float(np.percentile(sample, _BRIGHTEST_PERCENT)) if len(sample) else 0.0
    return 0.0, high if high > 0 else 1.0


def _place_text(geometry: ImageGeometry, index: int, shape: tuple[int, ...]) -> str:
    """Where the slice's centre lies along the axis nearest to its normal, such as ``H 12.5 mm``."""
    centre_m = geometry.lps_m(np.array([index, (shape[1] - 1) / 2, (shape[2] - 1) / 2]))
    axis = int(np.argmax(np.abs(geometry.slice_direction)))
    letter = (("R", "L"), ("A", "P"), ("F", "H"))[axis][int(centre_m[axis] > 0)]
    offset = f"{abs(centre_m[axis]) * 1e3:.1f}"
    return "0.0 mm" if offset == "0.0" else f"{letter} {offset} mm"
