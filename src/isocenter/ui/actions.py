# SPDX-License-Identifier: MIT
"""Everything a person can do, in one table: buttons, keys, tooltips and the list of keys are made from it."""

from collections.abc import Callable

from isocenter.ui.action import STOP_ID, Action
from isocenter.ui.commands import Commands
from isocenter.ui.text import translate
from isocenter.ui.views.exam import ExamPlace
from isocenter.ui.views.prescan import PrescanPlace
from isocenter.ui.views.scanner import ScannerPlace


def _never() -> str:
    return ""


def exam_actions(commands: Commands) -> tuple[Action, ...]:
    """Scan, exam, queue and protocol."""
    exam = commands.exam

    def action(
        key: str, text: str, shortcut: str, glyph: str, tooltip: str, blocked_by: Callable[[], str], run: Callable[[], None]
    ) -> Action:
        return Action(
            id=key,
            text=text,
            shortcut=shortcut,
            glyph=glyph,
            tooltip=tooltip,
            blocked_by=blocked_by,
            run=run,
            in_sheets=key == STOP_ID,
        )

    return (
        action(
            "scan.start",
            translate("Actions", "Start"),
            "F5",
            "▶",
            translate("Actions", "Run the queue in the order shown."),
            exam.why_not_start,
            exam.start,
        ),
        action(
            STOP_ID,
            translate("Actions", "Stop"),
            "Esc",
            "■",
            translate("Actions", "Stop the scan now. Works everywhere and never asks."),
            _never,
            commands.stop,
        ),
        action(
            "exam.register",
            translate("Actions", "Register patient"),
            "F2",
            "+",
            translate("Actions", "Begin the exam of a patient."),
            exam.why_not_change_exam,
            commands.register,
        ),
        action(
            "exam.phantom",
            translate("Actions", "Phantom"),
            "F10",
            "◇",
            translate("Actions", "Begin an exam of a test object, in one click."),
            exam.why_not_change_exam,
            commands.phantom,
        ),
        action(
            "exam.export",
            translate("Actions", "Export"),
            "F8",
            "⇩",
            translate("Actions", "Copy DICOM and NIfTI files to a folder."),
            exam.why_not_export,
            commands.export,
        ),
        action(
            "exam.end",
            translate("Actions", "End exam"),
            "F12",
            "✓",
            translate("Actions", "The patient leaves the table."),
            exam.why_not_end,
            commands.end_exam,
        ),
        action(
            "queue.programme",
            translate("Actions", "Programme"),
            "F3",
            "+",
            translate("Actions", "Add all scans of a programme."),
            exam.why_not_add,
            commands.choose_programme,
        ),
        action(
            "queue.sequence",
            translate("Actions", "Sequence"),
            "F4",
            "+",
            translate("Actions", "Add a single sequence."),
            exam.why_not_add,
            commands.choose_sequence,
        ),
        action(
            "queue.repeat",
            translate("Actions", "Repeat"),
            "F6",
            "⟳",
            translate("Actions", "Add a copy of the selected scan."),
            exam.why_not_repeat,
            exam.repeat,
        ),
        action(
            "queue.up",
            translate("Actions", "Up"),
            "Ctrl+Up",
            "▲",
            translate("Actions", "Run the selected scan earlier."),
            exam.why_not_edit,
            lambda: exam.move(-1),
        ),
        action(
            "queue.down",
            translate("Actions", "Down"),
            "Ctrl+Down",
            "▼",
            translate("Actions", "Run the selected scan later."),
            exam.why_not_edit,
            lambda: exam.move(1),
        ),
        action(
            "queue.remove",
            translate("Actions", "Remove"),
            "Ctrl+Del",
            "✕",
            translate("Actions", "Take the selected scan out. Ctrl+Shift+Z brings it back."),
            exam.why_not_edit,
            exam.remove,
        ),
        action(
            "queue.restore",
            translate("Actions", "Bring back"),
            "Ctrl+Shift+Z",
            "↶",
            translate("Actions", "Bring back the scan that was removed last."),
            exam.why_not_restore,
            exam.restore,
        ),
        action(
            "protocol.exposure",
            translate("Actions", "Exposure"),
            "Ctrl+E",
            "≡",
            translate("Actions", "All that patient and hardware are exposed to, predicted and played."),
            commands.why_not_exposure,
            commands.show_exposure,
        ),
        action(
            "protocol.firstlevel",
            translate("Actions", "First level …"),
            "Ctrl+Shift+F",
            "▲",
            translate("Actions", "Take responsibility for the selected scan in first level mode; asks for your name."),
            exam.why_not_confirm,
            commands.confirm_first_level,
        ),
        action(
            "protocol.reset",
            translate("Actions", "Reset changes"),
            "Ctrl+R",
            "↶",
            translate("Actions", "Back to the values with which it was added."),
            exam.why_not_edit,
            exam.editor.reset,
        ),
    )


def control_actions(commands: Commands) -> tuple[Action, ...]:
    """Prescan, and the way out of a stop."""
    prescan, control = commands.prescan, commands.control
    return (
        Action(
            id="prescan.run",
            text=translate("Actions", "Run prescan"),
            shortcut="Ctrl+P",
            glyph="▶",
            tooltip=translate("Actions", "Measure, in order, all that does not hold any more. No typing."),
            blocked_by=prescan.why_not_run,
            run=prescan.run,
        ),
        Action(
            id="prescan.retry",
            text=translate("Actions", "Retry"),
            shortcut="Ctrl+T",
            glyph="⟳",
            tooltip=translate("Actions", "Measure the step again that was not good enough, and what follows it."),
            blocked_by=prescan.why_not_retry,
            run=prescan.retry,
        ),
        Action(
            id="prescan.skip",
            text=translate("Actions", "Leave out"),
            shortcut="Ctrl+L",
            glyph="▲",
            tooltip=translate("Actions", "Go on without a step that failed; asks for your name and why."),
            blocked_by=prescan.why_not_skip,
            run=commands.skip_step,
        ),
        Action(
            id="prescan.frequency",
            text=translate("Actions", "Frequency only"),
            shortcut="Ctrl+Shift+L",
            glyph="▲",
            tooltip=translate(
                "Actions",
                "In this exam Start measures the frequency and nothing else: scans use the hardware file's power and shim. "
                "Ends a prescan that runs, within seconds. Asks for your name.",
            ),
            blocked_by=prescan.why_not_only_frequency,
            run=commands.only_frequency,
        ),
        Action(
            id="control.ready",
            text=translate("Actions", "Make ready"),
            shortcut="Ctrl+M",
            glyph="✓",
            tooltip=translate("Actions", "After a stop: say that the cause is gone. Asks for your name."),
            blocked_by=control.why_not_make_ready,
            run=commands.make_ready,
        ),
    )


def virtual_actions(commands: Commands) -> tuple[Action, ...]:
    """What only a virtual scanner of this program has; nothing with a real one."""
    if not commands.scenarios.is_available:
        return ()
    return (
        Action(
            id="scanner.scenario",
            text=translate("Actions", "Scenario"),
            shortcut="F7",
            glyph="◇",
            tooltip=translate("Actions", "Choose what the virtual scanner plays, or an exercise."),
            blocked_by=_never,
            run=commands.choose_scenario,
        ),
    )


def window_actions(commands: Commands, place: ExamPlace, prescan: PrescanPlace, scanner: ScannerPlace) -> tuple[Action, ...]:
    """Pictures and program."""
    viewers = place.viewers

    def action(
        key: str,
        text: str,
        shortcut: str,
        glyph: str,
        tooltip: str,
        run: Callable[[], None],
        *,
        in_sheets: bool = False,
        blocked_by: Callable[[], str] = _never,
    ) -> Action:
        return Action(
            id=key,
            text=text,
            shortcut=shortcut,
            glyph=glyph,
            tooltip=tooltip,
            blocked_by=blocked_by,
            run=run,
            in_sheets=in_sheets,
        )

    return (
        action(
            "view.next",
            translate("Actions", "Next slice"),
            "PgDown",
            "▸",
            translate("Actions", "Of the active picture; the mouse wheel does the same."),
            lambda: viewers.active.model.scroll(1),
        ),
        action(
            "view.previous",
            translate("Actions", "Previous slice"),
            "PgUp",
            "◂",
            translate("Actions", "Of the active picture."),
            lambda: viewers.active.model.scroll(-1),
        ),
        action(
            "view.larger",
            translate("Actions", "Zoom in"),
            "Ctrl++",
            "+",
            translate("Actions", "Ctrl and the mouse wheel do the same."),
            lambda: viewers.active.model.zoom_by(1.25),
        ),
        action(
            "view.smaller",
            translate("Actions", "Zoom out"),
            "Ctrl+-",
            "–",
            translate("Actions", "Show the active picture smaller."),
            lambda: viewers.active.model.zoom_by(0.8),
        ),
        action(
            "view.reset",
            translate("Actions", "Whole picture"),
            "Ctrl+0",
            "▢",
            translate("Actions", "Automatic window, no zoom."),
            lambda: viewers.active.model.reset_view(),  # noqa: PLW0108  the active pane changes
        ),
        action(
            "view.single",
            translate("Actions", "One picture or four"),
            "F11",
            "⤢",
            translate("Actions", "A double click does the same."),
            viewers.toggle_single,
        ),
        action(
            "view.compare",
            translate("Actions", "Compare"),
            "F9",
            "◫",
            translate("Actions", "Original and derived series side by side, or the four panes."),
            viewers.toggle_compare,
            blocked_by=viewers.why_not_compare,
        ),
        action(
            "view.explain",
            translate("Actions", "How it was made"),
            "Ctrl+I",
            "",
            translate("Actions", "What was done to the active picture, with figures before and after."),
            lambda: commands.explain(viewers.active.model),
            blocked_by=viewers.why_not_explain,
        ),
        action(
            "program.exam",
            translate("Actions", "Exam"),
            "Ctrl+1",
            "",
            translate("Actions", "Queue, pictures and parameters."),
            lambda: commands.go_to(place),
        ),
        action(
            "program.prescan",
            translate("Actions", "Prescan"),
            "Ctrl+2",
            "",
            translate("Actions", "Steps of the prescan, with plots, and the values in use."),
            lambda: commands.go_to(prescan),
        ),
        action(
            "program.scanner",
            translate("Actions", "Scanner"),
            "Ctrl+3",
            "",
            translate("Actions", "State of the scanner and its values."),
            lambda: commands.go_to(scanner),
        ),
        action(
            "program.keys",
            translate("Actions", "Keys"),
            "F1",
            "?",
            translate("Actions", "This list."),
            commands.show_keys,
            in_sheets=True,
        ),
        action(
            "program.quit",
            translate("Actions", "Close"),
            "Ctrl+Q",
            "",
            translate("Actions", "Close the program; asks while a scan runs."),
            commands.quit,
        ),
    )
