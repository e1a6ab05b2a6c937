# SPDX-License-Identifier: MIT
"""Four pictures: the localizer in three planes, and what is being measured or looked at."""

from typing import Final

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QGridLayout, QWidget

from isocenter.domain.geometry import Orientation
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.images import Series, plane_of
from isocenter.ui.viewmodels.pane import PaneViewModel
from isocenter.ui.widgets.image import ImagePane

LOCALIZER: Final = "localizer"
_PLACES: Final = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
_PLANES: Final = (Orientation.AXIAL, Orientation.SAGITTAL, Orientation.CORONAL)


class ViewerGrid(QWidget):
    """Localizer axial, sagittal and coronal; the fourth pane shows the running scan, or the selected one.

    While original and derived series are compared, they stand side by side alone, at the same slice, size and brightness.
    """

    changed = Signal()

    def __init__(self, exam: ExamViewModel) -> None:
        super().__init__()
        self.setObjectName("grid")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._exam = exam
        hints = {
            Orientation.AXIAL: translate("Viewer", "The axial localizer appears here."),
            Orientation.SAGITTAL: translate("Viewer", "The sagittal localizer appears here."),
            Orientation.CORONAL: translate("Viewer", "The coronal localizer appears here."),
        }
        self.planes = {plane: ImagePane(PaneViewModel(hints[plane], self)) for plane in _PLANES}
        self.main = ImagePane(
            PaneViewModel(
                translate("Viewer", "The scan appears here while it is measured.\nAdd a programme, then press Start."), self
            )
        )
        self.derived = ImagePane(PaneViewModel(translate("Viewer", "The derived series appears here."), self))
        self.derived.setVisible(False)
        self.panes: tuple[ImagePane, ...] = (*self.planes.values(), self.main, self.derived)
        self.active = self.main
        self._is_single, self.is_comparing = False, False
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        for index, pane in enumerate(self.panes):
            self._grid.addWidget(pane, *_PLACES[index])
            pane.activated.connect(lambda pane=pane: self._activate(pane))
            pane.enlarge_wanted.connect(self.toggle_single)
        self.main.model.changed.connect(self._follow_main)
        self.derived.model.changed.connect(self._follow_derived)
        exam.images_changed.connect(self._on_images)
        exam.selection_changed.connect(self._on_selection)

    # --- what is shown ----------------------------------------------------------------------------------------------

    @Slot(str)
    def _on_images(self, item_id: str) -> None:
        if not item_id:
            for pane in self.panes:
                pane.model.show(None)
            self._arrange(is_comparing=False)
            return
        series = self._exam.images.of(item_id)
        item = self._exam.item(item_id)
        if series is None or item is None:
            return
        if item.protocol.sequence == LOCALIZER:
            self._show_planes(series)
        self._on_selection()

    def _show_planes(self, series: Series) -> None:
        for plane, pane in self.planes.items():
            volumes = tuple(volume for volume in series.volumes if plane_of(volume) is plane)
            if volumes:
                pane.model.show(series, volumes)

    @Slot()
    def _on_selection(self) -> None:
        exam = self._exam
        running = exam.running
        series = exam.images.of(exam.selected_id)
        if series is None and running is not None:
            series = exam.images.of(running.item_id)
        if series is None:
            series = exam.images.newest
        self._show_main(series)

    def _show_main(self, series: Series | None) -> None:
        is_comparing = self.is_comparing and series is not None and bool(series.derived)
        if series is not None and is_comparing:
            self.derived.model.show(series, series.derived)  # first: the main pane then has the last word on brightness
            self.main.model.show(series, series.originals)
        else:
            self.main.model.show(series)
        self._arrange(is_comparing=is_comparing)

    @Slot()
    def _follow_main(self) -> None:
        if self.is_comparing:
            self.derived.model.mirror(self.main.model)

    @Slot()
    def _follow_derived(self) -> None:
        if self.is_comparing:
            self.main.model.mirror(self.derived.model)

    # --- what a person does -----------------------------------------------------------------------------------------

    def why_not_compare(self) -> str:
        """The scan that is shown must have a derived series."""
        series = self.main.model.series
        has_both = series is not None and bool(series.derived) and bool(series.originals)
        return (
            "" if has_both else translate("Viewer", "The scan that is shown has no derived series, such as a denoised one.")
        )

    def why_not_explain(self) -> str:
        """There must be a picture."""
        return "" if self.active.model.series else translate("Viewer", "The active pane shows no picture yet.")

    @Slot()
    def toggle_compare(self) -> None:
        """Original and derived series side by side, or the four panes."""
        if self.is_comparing or not self.why_not_compare():
            found = self.main.model.current()
            self._is_single, self.is_comparing = False, not self.is_comparing
            self._show_main(self.main.model.series)
            if found is not None:  # the same slice as before
                self.main.model.scroll(found[1] - self.main.model.position)
            self.active.setFocus()

    def _arrange(self, *, is_comparing: bool) -> None:
        """Show the panes that belong to what is being done."""
        self.is_comparing = is_comparing
        shown = (self.main, self.derived) if is_comparing else (*self.planes.values(), self.main)
        if self.active not in shown:
            self._activate(self.main)
        for pane in self.panes:
            pane.setVisible(pane is self.active if self._is_single else pane in shown)
        self.changed.emit()

    def _activate(self, pane: ImagePane) -> None:
        self.active = pane
        self.changed.emit()
        for other in self.panes:
            other.is_active = other is pane
            other.update()

    @Slot()
    def toggle_single(self) -> None:
        """One pane alone, or all four."""
        self._is_single = not self._is_single
        self._arrange(is_comparing=self.is_comparing)
        self.active.setFocus()
