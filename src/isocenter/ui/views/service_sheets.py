# SPDX-License-Identifier: MIT
"""What is asked around service calibrations: what lies in the magnet, and to which older value to go back."""

import math
from typing import Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QCheckBox, QGridLayout, QLabel, QLineEdit, QListWidget, QListWidgetItem, QWidget

from isocenter.app.service_status import ServicePhantom
from isocenter.ui import theme
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.service import ServiceViewModel
from isocenter.ui.viewmodels.service_text import HistoryLine
from isocenter.ui.widgets.labels import GLYPHS, styled
from isocenter.ui.widgets.person_sheet import PersonSheet

_LIST_PX: Final = 230
_ITEM_PX: Final = 28
_TONES: Final = {"good": theme.GOOD, "bad": theme.MUTED, "unknown": theme.TEXT}


class ConfirmPhantomSheet(PersonSheet):
    """Who says that no patient lies in the magnet, and which phantom does. All of it is recorded with what is measured."""

    def __init__(self, over: QWidget, model: ServiceViewModel) -> None:
        super().__init__(translate("Service", "What lies in the magnet?"), over, model.person, 600)
        self._model = model
        self.add_text(
            translate(
                "Service",
                "Service calibrations play strong gradients and many pulses. They are for a phantom alone in the coil, "
                "never for a patient. What is found here is used for every patient from then on.",
            )
        )
        self.empty = QCheckBox(translate("Service", "I have looked: there is no patient in the magnet"))
        self.empty.toggled.connect(self.sync)
        self.body.addWidget(self.empty)
        self.name, self.diameter = QLineEdit(model.phantom.name), QLineEdit(_mm(model.phantom.diameter_m))
        self.centre = tuple(QLineEdit(_mm(place_m)) for place_m in model.phantom.centre_device_m)
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setColumnStretch(0, 4)
        for column in (1, 2, 3):
            grid.setColumnStretch(column, 2)
        self._add(grid, 0, 0, translate("Service", "Phantom, as it is written on it"), self.name)
        self._add(grid, 0, 1, translate("Service", "Inner diameter [mm]"), self.diameter, 3)
        self.add_person(grid, 2)
        for column, (axis, line) in enumerate(zip("XYZ", self.centre, strict=True), 1):
            self._add(grid, 2, column, translate("Service", "Centre {0} [mm]").format(axis), line)
        self.body.addLayout(grid)
        self.add_text(
            translate(
                "Service",
                "Device axes from the isocenter: +X to the right of somebody who looks into the bore, +Y up, +Z out of it. "
                "Off the centre by different distances along all three it also shows which gradient is which.",
            ),
            "muted",
        )
        self.add_answer(translate("Service", "Confirm"), is_primary=True)

    def _add(self, grid: QGridLayout, row: int, column: int, label: str, line: QLineEdit, span: int = 1) -> None:
        grid.addWidget(styled(QLabel(label), "group"), row, column, 1, span)
        grid.addWidget(line, row + 1, column, 1, span)
        line.setAccessibleName(label)
        line.textChanged.connect(self.sync)
        line.returnPressed.connect(self.submit)

    @property
    def phantom(self) -> ServicePhantom | None:
        """As it was entered; None while a number is none."""
        numbers = [_metres(line.text()) for line in (self.diameter, *self.centre)]
        if not all(map(math.isfinite, numbers)):
            return None
        diameter_m, x_m, y_m, z_m = numbers
        return ServicePhantom(name=self.name.text().strip(), diameter_m=diameter_m, centre_device_m=(x_m, y_m, z_m))

    def _what_is_missing(self) -> str:
        for line in (self.diameter, *self.centre):
            refused = "true" if not math.isfinite(_metres(line.text())) else "false"
            if line.property("refused") != refused:
                line.setProperty("refused", refused)
                line.style().unpolish(line)
                line.style().polish(line)
        if not self.empty.isChecked():
            return translate("Service", "Look into the magnet, then tick that there is no patient in it.")
        if self.phantom is None:
            return translate("Service", "Size and place are numbers in millimetres.")
        return "" if self.name.text().strip() else translate("Service", "Write which phantom it is.")

    def _answer(self, person: str) -> bool:
        phantom = self.phantom
        return phantom is not None and self._model.confirm(person, phantom, is_empty=self.empty.isChecked())


class HistorySheet(PersonSheet):
    """What a calibration was, newest first, and the way back to an older value."""

    def __init__(self, over: QWidget, model: ServiceViewModel) -> None:
        row = model.selected
        assert row is not None  # the action is refused without
        super().__init__(translate("Service", "History: {0}").format(row.title), over, model.person, 860)
        self._model = model
        self._lines: tuple[HistoryLine, ...] = model.history()
        self.list = QListWidget()
        self.list.setObjectName("choices")
        self.list.setAccessibleName(translate("Service", "Earlier values, newest first"))
        self.list.setFixedHeight(_LIST_PX)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for line in self._lines:
            glyph = {"good": GLYPHS["good"], "bad": GLYPHS["bad"]}.get(line.health, "○")
            item = QListWidgetItem(f"{glyph}  {line.text}")
            item.setSizeHint(QSize(0, _ITEM_PX))
            item.setForeground(QColor(_TONES[line.health]))
            item.setToolTip(f"{line.text}\n{line.detail}")
            self.list.addItem(item)
        self.body.addWidget(self.list)
        self.detail = self.add_text("", "muted")
        self.add_text(
            translate(
                "Service",
                "Going back takes an older value into use for every scan from then on. It keeps its age, and your name is "
                "recorded.",
            )
        )
        self.add_person()
        self.close_button = self.add_answer(translate("Service", "Go back to this value"), translate("Service", "Close"))
        self.list.currentRowChanged.connect(self.sync)
        if self._lines:
            self.list.setCurrentRow(0)

    @property
    def chosen(self) -> HistoryLine | None:
        """The one under the cursor."""
        index = self.list.currentRow()
        return self._lines[index] if 0 <= index < len(self._lines) else None

    def _what_is_missing(self) -> str:
        line = self.chosen
        self.detail.setText(line.detail if line is not None else translate("Service", "It was never measured."))
        why_not = translate("Service", "There is nothing to go back to.") if line is None else line.why_not
        return why_not or self._model.why_not_go_back()

    def _answer(self, person: str) -> bool:
        line = self.chosen
        return line is not None and self._model.go_back(line.number, person)


def _mm(length_m: float) -> str:
    return f"{length_m * 1e3:g}"


def _metres(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text.strip().replace(",", ".").replace("−", "-")) * 1e-3
    except ValueError:
        return math.nan
