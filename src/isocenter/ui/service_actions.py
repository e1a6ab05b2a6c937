# SPDX-License-Identifier: MIT
"""What a person can do on the Service place; its keys do nothing elsewhere."""

from collections.abc import Callable

from isocenter.ui.action import Action
from isocenter.ui.commands import Commands
from isocenter.ui.text import translate


def service_actions(commands: Commands, go: Callable[[], None]) -> tuple[Action, ...]:
    """The way to the place, and the table of it."""
    service = commands.service

    return (
        Action(
            id="program.service",
            text=translate("Actions", "Service calibrations"),
            shortcut="Ctrl+4",
            glyph="",
            tooltip=translate(
                "Actions", "Measure the scanner itself with a phantom: gradients, shim, fields. Never a patient."
            ),
            blocked_by=lambda: "",
            run=go,
        ),
        Action(
            id="service.confirm",
            text=translate("Actions", "Phantom …"),
            shortcut="Ctrl+B",
            glyph="◇",
            tooltip=translate(
                "Actions", "Say that no patient is in the magnet and which phantom lies there; asks for your name."
            ),
            blocked_by=service.why_not_confirm,
            run=commands.confirm_phantom,
        ),
        Action(
            id="service.measure",
            text=translate("Actions", "Measure"),
            shortcut="Ctrl+G",
            glyph="▶",
            tooltip=translate("Actions", "Measure the selected calibration; nothing is taken into use by this."),
            blocked_by=service.why_not_measure,
            run=service.measure,
        ),
        Action(
            id="service.accept",
            text=translate("Actions", "Use it"),
            shortcut="Ctrl+Y",
            glyph="✓",
            tooltip=translate("Actions", "Take the new value into use for every scan from now on."),
            blocked_by=service.why_not_decide,
            run=service.accept,
        ),
        Action(
            id="service.keep",
            text=translate("Actions", "Keep the old"),
            shortcut="Ctrl+K",
            glyph="↶",
            tooltip=translate("Actions", "Leave the old value in use; the new one is recorded as not taken."),
            blocked_by=service.why_not_decide,
            run=service.keep,
        ),
        Action(
            id="service.history",
            text=translate("Actions", "History"),
            shortcut="Ctrl+H",
            glyph="≡",
            tooltip=translate("Actions", "Earlier values of the selected calibration, and the way back to one."),
            blocked_by=service.why_not_history,
            run=commands.show_calibration_history,
        ),
    )
