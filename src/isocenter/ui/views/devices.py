# SPDX-License-Identifier: MIT
"""What hangs on the scanner's lines, what is wrong now, and the newest lines of its journal."""

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from isocenter.domain.control import Fault
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.control import ControlViewModel, DeviceLine, action_text, fault_health
from isocenter.ui.widgets.labels import ElidedLabel, set_health, state_text, styled

_AGE_MS = 1000
_MOST_LINES = 12


class DeviceRow(QFrame):
    """One device: connected, identity, last answer and when, what it said."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 7, 12, 7)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(1)
        for column, stretch in enumerate((5, 4, 7, 7)):
            grid.setColumnStretch(column, stretch)
        self.name, self.link, self.state, self.identity = (self._label("small") for _ in range(4))
        self.address, self.answered, self.values, self.said = (self._label("muted") for _ in range(4))
        for column, pair in enumerate(
            (
                (self.name, self.address),
                (self.link, self.answered),
                (self.state, self.values),
                (self.identity, self.said),
            )
        ):
            for row, label in enumerate(pair):
                grid.addWidget(label, row, column)
        self.problem = styled(QLabel(), "small")
        self.problem.setWordWrap(True)
        set_health(self.problem, "bad")
        grid.addWidget(self.problem, 2, 0, 1, 4)

    @staticmethod
    def _label(style: str) -> ElidedLabel:
        label = ElidedLabel()
        label.setObjectName(style)
        return label

    def show_line(self, line: DeviceLine) -> None:
        """Show a device."""
        self.name.setText(line.name)
        self.address.setText(line.address)
        self.link.setText(state_text(line.link_health, line.link_text))
        set_health(self.link, line.link_health)
        self.answered.setText(translate("Devices", "last answer: {0}").format(line.answered))
        self.state.setText(state_text(line.health, line.text))
        set_health(self.state, line.health)
        self.values.setText(line.values)
        self.identity.setText(translate("Devices", "is: {0}").format(line.identity))
        self.said.setText(translate("Devices", "said: {0}").format(line.said) if line.said else "")
        self.problem.setText(f"{line.problem} {translate('Devices', 'What to do: {0}').format(line.remedy)}")
        self.problem.setVisible(bool(line.problem))
        self.setAccessibleName(f"{line.name}: {line.link_text}, {line.text}, {line.answered}")


class DevicePanel(QWidget):
    """All devices, active faults, journal."""

    def __init__(self, control: ControlViewModel) -> None:
        super().__init__()
        self._control = control
        self.rows: list[DeviceRow] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        self._fault_title = styled(QLabel(translate("Devices", "Wrong now")), "heading")
        column.addWidget(self._fault_title)
        self._faults = QVBoxLayout()
        self._faults.setSpacing(4)
        column.addLayout(self._faults)
        self._fault_labels: list[QLabel] = []
        column.addWidget(styled(QLabel(translate("Devices", "Devices on their lines")), "heading"))
        self.none = styled(
            QLabel(
                translate(
                    "Devices",
                    "The hardware file names no device besides the console, so nobody watches the amplifiers: this program "
                    "can neither see nor switch them. Look at them yourself. Where they are is told under [devices] in the "
                    "hardware file.",
                )
            ),
            "small",
        )
        self.none.setWordWrap(True)
        set_health(self.none, "warning")
        column.addWidget(self.none)
        self._device_column = QVBoxLayout()
        self._device_column.setSpacing(4)
        column.addLayout(self._device_column)
        column.addWidget(styled(QLabel(translate("Devices", "Journal, newest first")), "heading"))
        self.journal = styled(QLabel(), "journal")
        self.journal.setWordWrap(True)
        self.journal.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.journal)
        self._ages = QTimer(self)
        self._ages.setInterval(_AGE_MS)
        self._ages.timeout.connect(self._sync)
        control.changed.connect(self._sync)
        self._sync()

    @property
    def fault_texts(self) -> tuple[str, ...]:
        """What is shown of the faults."""
        return tuple(label.text() for label in self._fault_labels if not label.isHidden())

    @Slot()
    def _sync(self) -> None:
        lines = self._control.devices
        while len(self.rows) < len(lines):
            row = DeviceRow()
            self.rows.append(row)
            self._device_column.addWidget(row)
        for row, line in zip(self.rows, lines, strict=False):
            row.show_line(line)
            row.setVisible(True)
        for row in self.rows[len(lines) :]:
            row.setVisible(False)
        self.none.setVisible(not lines)
        self._sync_faults(self._control.faults)
        newest = self._control.journal[:_MOST_LINES]
        self.journal.setText("\n".join(newest) or translate("Devices", "Nothing happened yet."))

    def _sync_faults(self, faults: tuple[Fault, ...]) -> None:
        while len(self._fault_labels) < len(faults):
            label = styled(QLabel(), "small")
            label.setWordWrap(True)
            self._fault_labels.append(label)
            self._faults.addWidget(label)
        for label, fault in zip(self._fault_labels, faults, strict=False):
            health = fault_health(fault)
            detail = f" ({fault.detail})" if fault.detail else ""
            text = f"{fault.problem} {fault.remedy} · {action_text(fault.action)}{detail}"
            label.setText(state_text(health, text))
            set_health(label, health)
            label.setVisible(True)
        for label in self._fault_labels[len(faults) :]:
            label.setVisible(False)
        self._fault_title.setVisible(bool(faults))

    def showEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """Ages grow while somebody looks."""
        self._sync()
        self._ages.start()

    def hideEvent(self, event: object) -> None:  # noqa: N802, ARG002  Qt's name
        """Nobody looks."""
        self._ages.stop()
