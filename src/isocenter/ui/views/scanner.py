# SPDX-License-Identifier: MIT
"""The Scanner place: what is driven, how it is, and where its numbers come from."""

import math

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from isocenter import __version__
from isocenter.app.service import ServiceStatus
from isocenter.domain.scanner import Evidence, Scanner
from isocenter.ui.action import ActionButton, ActionSet
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.control import ControlViewModel
from isocenter.ui.viewmodels.exam import ExamViewModel
from isocenter.ui.viewmodels.scenarios import ScenarioViewModel
from isocenter.ui.views.devices import DevicePanel
from isocenter.ui.views.scenarios import ScenarioCard
from isocenter.ui.views.stopped import StateCard
from isocenter.ui.widgets.labels import set_health, state_text, styled


class ScannerPlace(QFrame):
    """Lights in full, the hardware file's main values, and how to drive another scanner."""

    def __init__(
        self,
        exam: ExamViewModel,
        scenarios: ScenarioViewModel,
        control: ControlViewModel,
        actions: ActionSet,
        service: ActionSet,
    ) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._exam, self._scenarios, self._control, self._actions = exam, scenarios, control, actions
        self._service = service
        outer = QVBoxLayout(self)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        outer.addWidget(self._scroll)
        self._fill()
        exam.scanner_changed.connect(self._fill)
        exam.status_changed.connect(self._on_status)

    @Slot()
    def _fill(self) -> None:
        """Write everything anew for the scanner that is driven now."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.setSpacing(10)
        scanner = self._exam.service.scanner
        head = QHBoxLayout()
        head.addWidget(styled(QLabel(scanner.title), "title"), 1)
        head.addWidget(ActionButton(self._service["program.service"]))
        column.addLayout(head)
        column.addWidget(StateCard(self._control))
        self.devices = DevicePanel(self._control)
        column.addWidget(self.devices)
        if self._scenarios.is_available:
            column.addWidget(ScenarioCard(self._scenarios, ActionButton(self._actions["scanner.scenario"])))
        self._lights = QGridLayout()
        self._lights.setHorizontalSpacing(18)
        self._lights.setColumnStretch(2, 1)
        self._light_labels: list[tuple[QLabel, QLabel, QLabel]] = []
        column.addWidget(styled(QLabel(translate("Scanner", "Lights")), "heading"))
        column.addLayout(self._lights)
        column.addWidget(styled(QLabel(translate("Scanner", "Values of the hardware file")), "heading"))
        column.addLayout(_grid(_values(scanner)))
        column.addWidget(styled(QLabel(translate("Scanner", "How well they are known")), "heading"))
        column.addLayout(_grid(_origins(scanner)))
        column.addWidget(styled(QLabel(translate("Scanner", "Another scanner")), "heading"))
        how = styled(
            QLabel(
                translate(
                    "Scanner",
                    "Close the program and set ISOCENTER_SCANNER to the name of a hardware file, and ISOCENTER_CONSOLE to "
                    "virtual, to hardware (the address in that file), or to HOST:PORT. Then start it again.",
                )
            ),
            "muted",
        )
        how.setWordWrap(True)
        column.addWidget(how)
        column.addWidget(
            styled(QLabel(translate("Scanner", "Isocenter {0}, research software").format(__version__)), "muted")
        )
        column.addStretch(1)
        self._scroll.setWidget(content)
        self._on_status(self._exam.status)

    @Slot(object)
    def _on_status(self, status: ServiceStatus) -> None:
        words = {
            "good": translate("Scanner", "good"),
            "warning": translate("Scanner", "look at it"),
            "bad": translate("Scanner", "not working"),
            "unknown": translate("Scanner", "not known"),
        }
        while len(self._light_labels) < len(status.lights):
            row = len(self._light_labels)
            labels = (QLabel(), QLabel(), QLabel())
            labels[2].setWordWrap(True)
            for position, label in enumerate(labels):
                self._lights.addWidget(label, row, position)
            self._light_labels.append(labels)
        for (name, state, text), light in zip(self._light_labels, status.lights, strict=False):
            name.setText(light.name)
            state.setText(state_text(light.health.value, words[light.health.value]))
            set_health(state, light.health.value)
            text.setText(light.text)


def _grid(lines: tuple[tuple[str, str], ...]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(18)
    grid.setColumnStretch(1, 1)
    for row, (name, value) in enumerate(lines):
        grid.addWidget(styled(QLabel(name), "muted"), row, 0, Qt.AlignmentFlag.AlignTop)
        label = styled(QLabel(value), "small")
        label.setWordWrap(True)
        grid.addWidget(label, row, 1)
    return grid


def _values(scanner: Scanner) -> tuple[tuple[str, str], ...]:
    magnet, gradients, link = scanner.magnet, scanner.gradients, scanner.console
    known = math.isfinite(magnet.homogeneity_ppm)
    return (
        (translate("Scanner", "Field"), f"{magnet.b0_t * 1e3:.2f} mT · {magnet.larmor_hz * 1e-6:.4f} MHz"),
        (translate("Scanner", "Imaging sphere"), f"{magnet.imaging_diameter_m * 1e3:.0f} mm"),
        (
            translate("Scanner", "Homogeneity"),
            f"{magnet.homogeneity_ppm:.0f} ppm" if known else translate("Scanner", "not known"),
        ),
        (
            translate("Scanner", "Largest gradients"),
            " · ".join(f"{axis.max_t_per_m * 1e3:.1f}" for axis in gradients.axes) + " mT/m",
        ),
        (translate("Scanner", "B1 at full scale"), f"{scanner.rf.full_scale_t * 1e6:.1f} µT"),
        (translate("Scanner", "Largest RF duty"), f"{scanner.rf.max_duty * 100:.1f} %"),
        (translate("Scanner", "Console"), f"{link.family} · {link.host}:{link.port} · {gradients.board.value}"),
    )


def _origins(scanner: Scanner) -> tuple[tuple[str, str], ...]:
    names = {
        Evidence.MEASURED: translate("Scanner", "Measured"),
        Evidence.SPECIFIED: translate("Scanner", "Specified"),
        Evidence.ASSUMED: translate("Scanner", "Assumed"),
    }
    counts = {kind: sorted(key for key, origin in scanner.origins.items() if origin.evidence is kind) for kind in Evidence}
    return tuple((f"{names[kind]} ({len(keys)})", ", ".join(keys)) for kind, keys in counts.items() if keys)
