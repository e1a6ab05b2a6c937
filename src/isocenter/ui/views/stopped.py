# SPDX-License-Identifier: MIT
"""What stands over every place after a stop, and the way out of it."""

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.widgets.labels import ElidedLabel, set_health, state_text, styled, wrapped
from isocenter.ui.widgets.person_sheet import PersonSheet


class StopBanner(QFrame):
    """Cause, what was verified and what was not, and Make ready. Not to be put away: it goes when the stop has ended."""

    def __init__(self, control: ControlViewModel, actions: ActionSet) -> None:
        super().__init__()
        self.setObjectName("message")
        self.setProperty("health", "bad")
        self._control = control
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 12, 8)
        row.setSpacing(16)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.headline = wrapped("heading")
        set_health(self.headline, "bad")
        self.remedy = wrapped()
        self.verdict = wrapped()
        for label in (self.headline, self.remedy, self.verdict):
            texts.addWidget(label)
        self._outputs = QGridLayout()
        self._outputs.setHorizontalSpacing(18)
        self._outputs.setVerticalSpacing(0)
        self._labels: list[ElidedLabel] = []
        texts.addLayout(self._outputs)
        row.addLayout(texts, 1)
        way_out = QVBoxLayout()
        way_out.setSpacing(4)
        self.button = ActionButton(actions["control.ready"], "primary")
        self.why_not = wrapped()
        self.why_not.setFixedWidth(230)
        set_health(self.why_not, "warning")
        way_out.addWidget(self.button)
        way_out.addWidget(self.why_not)
        way_out.addStretch(1)
        row.addLayout(way_out)
        control.changed.connect(self._sync)
        self._sync()

    @property
    def texts(self) -> tuple[str, ...]:
        """What is shown of the outputs."""
        return tuple(label.text() for label in self._labels if not label.isHidden())

    @Slot()
    def _sync(self) -> None:
        control = self._control
        self.setVisible(control.is_stopped)
        if not control.is_stopped:
            return
        self.headline.setText(state_text("bad", translate("Control", "STOPPED · {0}").format(control.headline)))
        self.remedy.setText(translate("Control", "What to do: {0}").format(control.remedy))
        health, sentence = control.verdict
        self.verdict.setText(state_text(health, sentence))
        set_health(self.verdict, health)
        outputs = control.outputs
        while len(self._labels) < len(outputs):
            label = ElidedLabel()
            label.setObjectName("small")
            self._outputs.addWidget(label, len(self._labels) // 2, len(self._labels) % 2)
            self._labels.append(label)
        for label, output in zip(self._labels, outputs, strict=False):
            label.setText(state_text(output.health, output.text))
            set_health(label, output.health)
            label.setVisible(True)
        for label in self._labels[len(outputs) :]:
            label.setVisible(False)
        why_not = control.why_not_make_ready()
        self.why_not.setText(why_not)
        self.why_not.setVisible(bool(why_not))
        self.setAccessibleName(f"{self.headline.text()} {sentence}")


class ReadySheet(PersonSheet):
    """Who says that the cause is gone."""

    def __init__(self, over: QWidget, control: ControlViewModel) -> None:
        super().__init__(translate("Control", "Make the scanner ready again?"), over, control.person)
        self._control = control
        for style, text in (
            ("heading", translate("Control", "Stopped: {0}").format(control.headline)),
            ("small", translate("Control", "What to do first: {0}").format(control.remedy)),
        ):
            self.add_text(text, style)
        health, sentence = control.verdict
        self.verdict = self.add_text(state_text(health, sentence))
        set_health(self.verdict, health)
        self.add_text(
            translate(
                "Control",
                "With your name you say that the patient is well and that the cause is gone. Devices that hold their "
                "outputs off are then released, and every device is asked again. No amplifier is switched on by this.",
            )
        )
        self.add_person()
        self.add_answer(translate("Control", "Make ready"), is_primary=True)
        control.changed.connect(self.sync)

    @property
    def first(self) -> QWidget:
        """Where the keyboard belongs."""
        return self.accept if self.accept.isEnabled() else self.person

    def _what_is_missing(self) -> str:
        return self._control.why_not_make_ready()

    def _answer(self, person: str) -> bool:
        self._control.changed.disconnect(self.sync)  # the devices are asked from here on, which is no reason any more
        return self._control.make_ready(person)


class StateCard(QFrame):
    """The state of the scanner, large, with what keeps it from the next one."""

    def __init__(self, control: ControlViewModel) -> None:
        super().__init__()
        self.setObjectName("card")
        self._control = control
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 10, 16, 10)
        row.setSpacing(18)
        self.word = styled(QLabel(), "state")
        self.word.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.word)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.meaning, self.why_not = wrapped(), wrapped()
        texts.addWidget(self.meaning)
        texts.addWidget(self.why_not)
        row.addLayout(texts, 1)
        control.changed.connect(self._sync)
        self._sync()

    @Slot()
    def _sync(self) -> None:
        health, word, meaning = self._control.state
        self.word.setText(state_text(health, word))
        set_health(self.word, health)
        self.meaning.setText(meaning)
        why_not = self._control.status.why_not_ready
        self.why_not.setText(why_not)
        self.why_not.setVisible(bool(why_not))
        set_health(self.why_not, "bad" if health == "bad" else "warning")
