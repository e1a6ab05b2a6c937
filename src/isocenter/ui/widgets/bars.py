# SPDX-License-Identifier: MIT
"""The permanent parts: who is on the table above, what the scanner does and Stop below."""

from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from isocenter.ui.text import translate
from isocenter.ui.widgets.labels import ElidedLabel, elided, set_health, state_text, styled

_LIGHT_WIDTH_PX: Final = 210
_LIGHT_TEXT_PX: Final = 170
_LIGHT_LEAST_PX: Final = 60
_ACTIVITY_PX: Final = 150
_BAR_PX: Final = 64
_SCENARIO_WIDTH_PX: Final = 200


def panel() -> QFrame:
    """An empty panel."""
    frame = QFrame()
    frame.setObjectName("panel")
    return frame


class Banner(QFrame):
    """Who is on the table, and whether the scanner is real."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 14, 8)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.name = ElidedLabel()
        self.name.setObjectName("title")
        self.detail = ElidedLabel()
        self.detail.setObjectName("muted")
        texts.addWidget(self.name)
        texts.addWidget(self.detail)
        row.addLayout(texts, 1)
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(8)
        row.addLayout(self.buttons)
        self.virtual = styled(QLabel(), "virtual")
        self.virtual.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.virtual.setVisible(False)
        row.addWidget(self.virtual)

    def set_texts(self, name: str, detail: str) -> None:
        """Show who it is."""
        self.name.setText(name)
        self.detail.setText(detail)

    def set_virtual(self, *, is_virtual: bool, scenario: str) -> None:
        """Say that nothing real is driven, and what is played instead; empty when nobody knows."""
        title = translate("Banner", "◇ VIRTUAL SCANNER")
        cut = self.virtual.fontMetrics().elidedText(scenario, Qt.TextElideMode.ElideMiddle, _SCENARIO_WIDTH_PX)
        self.virtual.setText("\n".join(filter(None, (title, cut))))
        nothing_real = translate("Banner", "Nothing real is driven. Pictures are simulated.")
        self.virtual.setToolTip("\n".join(filter(None, (nothing_real, scenario))))
        self.virtual.setAccessibleName(" ".join(filter(None, (title, scenario))))
        self.virtual.setVisible(is_virtual)


class LightLabel(QWidget):
    """One status light: shape, colour and words, cut where there is no room for them."""

    def __init__(self, *, is_roomy: bool = False) -> None:
        super().__init__()
        self._is_roomy = is_roomy
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        self._name, self._text = elided("small"), elided("muted")
        column.addWidget(self._name)
        column.addWidget(self._text)
        self.setMaximumWidth(_LIGHT_WIDTH_PX)

    def set_light(self, name: str, health: str, text: str) -> None:
        """Show a state."""
        self._name.setText(state_text(health, name))
        set_health(self._name, health)
        self._text.setText(text)
        width = self._text.fontMetrics().horizontalAdvance(text) + 4
        self._text.setMinimumWidth(min(width, _LIGHT_TEXT_PX if self._is_roomy else _LIGHT_LEAST_PX))
        self.setToolTip(f"{name}: {text}")
        self.setAccessibleName(f"{name}: {health}, {text}")


class ScanBar(QFrame):
    """What the scanner does, time left, lights, and one red Stop."""

    stop_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setMinimumHeight(_BAR_PX)  # with and without progress: nothing moves when a scan begins
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 10, 8)
        row.setSpacing(18)
        texts = QVBoxLayout()
        texts.setSpacing(4)
        self.activity = ElidedLabel()
        self.activity.setObjectName("heading")
        self.activity.setMinimumWidth(_ACTIVITY_PX)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1000)
        self.detail = ElidedLabel()
        self.detail.setObjectName("muted")
        for widget in (self.activity, self.progress, self.detail):
            texts.addWidget(widget)
        self.state = styled(QLabel(), "heading")
        self.state.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.state.setVisible(False)
        row.addWidget(self.state)
        row.addLayout(texts, 4)
        self._lights_row = QHBoxLayout()
        self._lights_row.setSpacing(10)
        row.addLayout(self._lights_row, 7)
        self._lights: list[LightLabel] = []
        self.stop = QPushButton(translate("ScanBar", "■  STOP  (Esc)"))
        self.stop.setObjectName("stop")
        self.stop.setToolTip(translate("ScanBar", "Stops the scan now and brings all outputs to zero. Never asks."))
        self.stop.setAccessibleName(translate("ScanBar", "Stop the scan now"))
        self.stop.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.stop.pressed.connect(self.stop_pressed)  # on the way down: no waiting for the finger to lift
        row.addWidget(self.stop)

    def set_activity(self, activity: str, detail: str, fraction: float | None) -> None:
        """Show what happens; the bar hides when there is nothing to measure it by."""
        self.activity.setText(activity)
        self.detail.setText(detail)
        self.progress.setVisible(fraction is not None)
        if fraction is not None:
            self.progress.setValue(round(min(max(fraction, 0.0), 1.0) * 1000))

    def set_state(self, health: str, word: str, meaning: str) -> None:
        """Show the scanner's state: always, by shape, word and colour."""
        self.state.setText(state_text(health, word))
        set_health(self.state, health)
        self.state.setToolTip(meaning)
        self.state.setAccessibleName(f"{word}. {meaning}")
        self.state.setVisible(True)

    def set_running(self, *, is_running: bool) -> None:
        """Make Stop brighter while there is something to stop."""
        value = "true" if is_running else "false"
        if self.stop.property("running") != value:
            self.stop.setProperty("running", value)
            self.stop.style().unpolish(self.stop)
            self.stop.style().polish(self.stop)

    def set_lights(self, lights: tuple[tuple[str, str, str], ...]) -> None:
        """Show lights given as name, health and text."""
        while len(self._lights) < len(lights):
            label = LightLabel()
            self._lights.append(label)
            self._lights_row.addWidget(label, 1)
        for label, light in zip(self._lights, lights, strict=False):
            label.set_light(*light)
