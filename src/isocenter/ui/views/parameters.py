# SPDX-License-Identifier: MIT
"""The form of the selected entry, and what the compiled scan will really do."""

import math
from functools import partial

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from isocenter.app.service import ItemState, ProtocolCheck
from isocenter.domain.events import ScanFacts
from isocenter.domain.scanner import Scanner
from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import duration_text, milliseconds_text, translate
from isocenter.ui.viewmodels.editor import Field, ProtocolEditor
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.queue_model import note_of
from isocenter.ui.views.exposure import ExposureStrip
from isocenter.ui.widgets.labels import ElidedLabel, set_health, state_text, styled, wrapped


class FieldRow(QWidget):
    """Label, input, unit, and below them why a text was refused."""

    def __init__(self, editor: ProtocolEditor, field: Field) -> None:
        super().__init__()
        self._editor, self._name = editor, field.parameter.name
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 5)
        grid.setColumnStretch(1, 4)
        label = ElidedLabel(field.parameter.label)
        label.setObjectName("small")
        label.setToolTip(f"{field.parameter.label}\n{field.tooltip}")
        grid.addWidget(label, 0, 0)
        self.input = self._make_input(field)
        self.input.setToolTip(field.tooltip)
        self.input.setAccessibleName(f"{field.parameter.label} {field.parameter.unit}".strip())
        self.input.setAccessibleDescription(field.tooltip)
        self.input.setEnabled(not editor.is_locked)
        grid.addWidget(self.input, 0, 1)
        unit = styled(QLabel(field.parameter.unit), "muted")
        unit.setFixedWidth(34)
        grid.addWidget(unit, 0, 2)
        self._problem = styled(QLabel(), "small")
        self._problem.setWordWrap(True)
        set_health(self._problem, "bad")
        grid.addWidget(self._problem, 1, 0, 1, 3)
        self.sync(field)

    def _make_input(self, field: Field) -> QWidget:
        kind = field.parameter.kind
        if kind == "choice":
            box = QComboBox()
            box.addItems(list(field.parameter.choices))
            box.setCurrentText(field.text)
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.currentTextChanged.connect(partial(self._editor.set_text, self._name))
            box.setMinimumContentsLength(6)
            return box
        if kind == "switch":
            switch = QCheckBox(translate("Editor", "on"))
            switch.setChecked(field.text == "on")
            switch.toggled.connect(lambda is_on: self._editor.set_text(self._name, "on" if is_on else "off"))
            return switch
        line = QLineEdit(field.text)
        line.setMinimumWidth(60)
        line.textEdited.connect(partial(self._editor.set_text, self._name))
        return line

    def sync(self, field: Field) -> None:
        """Mark what was refused."""
        is_refused = bool(field.problem)
        self._problem.setText(state_text("bad", field.problem) if is_refused else "")
        self._problem.setVisible(is_refused)
        value = "true" if is_refused else "false"
        if self.input.property("refused") != value:
            self.input.setProperty("refused", value)
            self.input.style().unpolish(self.input)
            self.input.style().polish(self.input)


class ParameterPanel(QFrame):
    """Name, state, facts of the compiled scan, and the form."""

    def __init__(self, exam: ExamViewModel, actions: ActionSet) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._exam, self._editor = exam, exam.editor
        self.rows: dict[str, FieldRow] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 8, 10)
        column.setSpacing(6)
        self._title = ElidedLabel()
        self._title.setObjectName("heading")
        self._state = wrapped()
        self._facts = QGridLayout()
        self._facts.setVerticalSpacing(3)
        self._facts.setColumnStretch(1, 1)
        self._warning = wrapped()
        column.addWidget(self._title)
        column.addWidget(self._state)
        self.exposure = ExposureStrip(exam, actions)
        self._scroll = QScrollArea()
        self._content = self._make_content()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column.addWidget(self._scroll, 1)
        self._reset = ActionButton(actions["protocol.reset"], shows_key=False)
        column.addWidget(self._reset)
        self._pictures = QWidget()  # in the place of Reset once there is nothing left to reset
        self._picture_row = QHBoxLayout(self._pictures)
        self._picture_row.setContentsMargins(0, 0, 0, 0)
        self._picture_row.setSpacing(6)
        column.addWidget(self._pictures)
        self._fact_labels: list[tuple[QLabel, QLabel]] = []
        editor = self._editor
        editor.loaded.connect(self._build)
        editor.field_changed.connect(self._on_field)
        editor.check_changed.connect(self._sync)
        exam.status_changed.connect(self._sync)
        self._build()

    def _make_content(self) -> QVBoxLayout:
        """What scrolls where the window is low: facts, exposure, and the form below them."""
        content, self._form = QWidget(), QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(6)
        column.addLayout(self._facts)
        column.addWidget(self._warning)
        column.addWidget(self.exposure)
        column.addWidget(self._form, 1)
        self._scroll.setWidget(content)
        return column

    def add_picture_button(self, button: QWidget) -> None:
        """Add something to do with the pictures of a scan that has run."""
        self._picture_row.addWidget(button)

    @Slot()
    def _build(self) -> None:
        self.rows = {}
        old, form = self._form, QWidget()
        column = QVBoxLayout(form)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(5)
        group = ""
        for field in self._editor.fields:
            if field.parameter.group != group:
                group = field.parameter.group
                column.addSpacing(6)
                column.addWidget(styled(QLabel(group), "group"))
            row = FieldRow(self._editor, field)
            self.rows[field.parameter.name] = row
            column.addWidget(row)
        column.addStretch(1)
        self._content.removeWidget(old)
        old.deleteLater()
        self._form = form
        self._content.addWidget(form, 1)
        self._sync()

    @Slot(str)
    def _on_field(self, name: str) -> None:
        if name in self.rows:
            self.rows[name].sync(self._editor.field(name))
            self._scroll.ensureWidgetVisible(self.rows[name], 0, 40)

    @Slot()
    def _sync(self) -> None:
        item, protocol = self._editor.item, self._editor.protocol
        is_over = item is not None and item.state is not ItemState.WAITING
        self._reset.setVisible(not is_over)
        self._pictures.setVisible(is_over)
        if item is None or protocol is None:
            self._title.setText(translate("Editor", "No scan selected"))
            self._say(
                "unknown", translate("Editor", "Pick a programme, then select a scan to see and change it."), is_plain=True
            )
            self._show_facts(())
            self._warning.setVisible(False)
            return
        self._title.setText(protocol.name)
        check = self._editor.check
        if item.state is not ItemState.WAITING:
            self._say_locked(item.state, note_of(item))
        elif (refused := self._editor.refused) is not None:
            self._say(
                "bad", translate("Editor", "{0} was refused; see the field marked red.").format(refused.parameter.label)
            )
        elif check is None:
            self._say("unknown", translate("Editor", "Checking what the scanner would do …"), is_plain=True)
        elif check.is_playable:
            self._say("good", translate("Editor", "Within all limits of this scanner."))
        else:
            self._say("bad", f"{check.problem}\n{translate('Editor', 'What to do: {0}').format(check.remedy)}")
        facts = check.facts if check else None
        self._show_facts(
            _fact_lines(facts, check, self._exam.service.scanner) if facts is not None and check is not None else ()
        )
        warnings = check.warnings if check else ()
        self._warning.setText("\n".join(state_text("warning", text) for text in warnings))
        set_health(self._warning, "warning")
        self._warning.setVisible(bool(warnings))

    def _say_locked(self, state: ItemState, note: str) -> None:
        health, text = {
            ItemState.PREPARING: ("warning", translate("Editor", "Being prepared: parameters are locked.")),
            ItemState.SCANNING: ("warning", translate("Editor", "Scanning: parameters are locked.")),
            ItemState.RECONSTRUCTING: ("warning", translate("Editor", "Making images: parameters are locked.")),
            ItemState.DONE: ("good", translate("Editor", "Done. Repeat makes a copy that can be changed.")),
            ItemState.STOPPED: ("warning", translate("Editor", "Stopped. Repeat makes a copy that can be changed.")),
            ItemState.FAILED: ("bad", translate("Editor", "Failed. Repeat makes a copy that can be changed.")),
        }[state]
        self._say(health, f"{text}\n{note}".strip())

    def _say(self, health: str, text: str, *, is_plain: bool = False) -> None:
        self._state.setText(text if is_plain else state_text(health, text))
        set_health(self._state, health)

    def _show_facts(self, lines: tuple[tuple[str, str], ...]) -> None:
        while len(self._fact_labels) < len(lines):
            row = len(self._fact_labels)
            name, value = styled(QLabel(), "muted"), styled(QLabel(), "small")
            value.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._facts.addWidget(name, row, 0)
            self._facts.addWidget(value, row, 1)
            self._fact_labels.append((name, value))
        for index, (name, value) in enumerate(self._fact_labels):
            is_used = index < len(lines)
            name.setVisible(is_used)
            value.setVisible(is_used)
            if is_used:
                name.setText(lines[index][0])
                value.setText(lines[index][1])


def _fact_lines(facts: ScanFacts, check: ProtocolCheck, scanner: Scanner) -> tuple[tuple[str, str], ...]:
    n = check.looks.n
    lines = [
        (translate("Editor", "Scan time"), duration_text(check.duration_s)),
        *([(translate("Editor", "Pauses"), translate("Editor", "{0} for the frequency").format(n))] if n else []),
        (translate("Editor", "TR / TE"), f"{milliseconds_text(facts.tr_s)} / {milliseconds_text(facts.te_s)}"),
    ]
    if math.isfinite(facts.ti_s):
        lines.append((translate("Editor", "TI"), milliseconds_text(facts.ti_s)))
    if check.voxel_m is not None:
        lines.append((translate("Editor", "Voxel"), " × ".join(f"{size * 1e3:.3g}" for size in check.voxel_m) + " mm"))
    duty, most = facts.rf_duty * 100, scanner.rf.max_duty * 100
    lines.append((translate("Editor", "RF duty"), translate("Editor", "{0:.2g} % of {1:.3g} % allowed").format(duty, most)))
    peaks = [
        (peak / axis.max_t_per_m, peak, axis.max_t_per_m)
        for peak, axis in zip(facts.peak_gradient_t_per_m, scanner.gradients.axes, strict=True)
    ]
    _, peak, most = max(peaks)
    text = translate("Editor", "{0:.3g} of {1:.3g} mT/m allowed").format(peak * 1e3, most * 1e3)
    lines.append((translate("Editor", "Gradient"), text))
    return tuple(lines)
