# SPDX-License-Identifier: MIT
"""Four pictures: the localizer in three planes, and what is being measured or looked at."""

from typing import Final

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QGridLayout, QWidget

from isocenter.domain.geometry import Orientation
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.images import Series, plane_of
from isocenter.ui.viewmodels.pane import PaneViewModel
from isocenter.ui.widgets.image import ImagePane

LOCALIZER: Final = "localizer"
_PLANES: Final = (Orientation.AXIAL, Orientation.SAGITTAL, Orientation.CORONAL)


class ViewerGrid(QWidget):
    """Localizer axial, sagittal and coronal; the fourth pane shows the running scan, or the selected one."""

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
        self.panes: tuple[ImagePane, ...] = (*self.planes.values(), self.main)
        self.active = self.main
        self._is_single = False
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        for index, pane in enumerate(self.panes):
            self._grid.addWidget(pane, index // 2, index % 2)
            pane.activated.connect(lambda pane=pane: self._activate(pane))
            pane.enlarge_wanted.connect(self.toggle_single)
        exam.images_changed.connect(self._on_images)
        exam.selection_changed.connect(self._on_selection)

    # --- what is shown ----------------------------------------------------------------------------------------------

    @Slot(str)
    def _on_images(self, item_id: str) -> None:
        if not item_id:
            for pane in self.panes:
                pane.model.show(None)
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
        self.main.model.show(series)

    # --- what a person does -----------------------------------------------------------------------------------------

    def _activate(self, pane: ImagePane) -> None:
        self.active = pane
        for other in self.panes:
            other.is_active = other is pane
            other.update()

    @Slot()
    def toggle_single(self) -> None:
        """One pane alone, or all four."""
        self._is_single = not self._is_single
        for pane in self.panes:
            pane.setVisible(pane is self.active or not self._is_single)
        self.active.setFocus()
