# SPDX-License-Identifier: MIT
"""Colours, font and style sheet: dark, calm, one accent."""

from pathlib import Path
from typing import Final

from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

BACKGROUND: Final = "#0d1014"
PANEL: Final = "#161b22"
RAISED: Final = "#1f262f"
BORDER: Final = "#323b47"
TEXT: Final = "#e9edf2"
MUTED: Final = "#a3adba"
ACCENT: Final = "#35c4b3"
ACCENT_DARK: Final = "#12302f"
ON_ACCENT: Final = "#06211e"
GOOD: Final = "#4ccb86"
WARNING: Final = "#f5b83d"
BAD: Final = "#ff7b7b"
UNKNOWN: Final = MUTED
STOP: Final = "#c9302c"
STOP_IDLE: Final = "#a52a27"
ON_STOP: Final = "#ffffff"
FIELD: Final = "#0f1318"
BLACK: Final = "#000000"

TEXT_PAIRS: Final[tuple[tuple[str, str], ...]] = (
    *(
        (colour, ground)
        for colour in (TEXT, MUTED, ACCENT, GOOD, WARNING, BAD)
        for ground in (BACKGROUND, PANEL, RAISED, FIELD)
    ),
    *((colour, ACCENT_DARK) for colour in (TEXT, MUTED, ACCENT, GOOD, WARNING, BAD)),
    (ON_ACCENT, ACCENT),
    (ON_STOP, STOP),
    (ON_STOP, STOP_IDLE),
    (BLACK, WARNING),
)
"""Every pair of text and ground that the window uses; each has a contrast of 4.5 or better."""

CHECK_FILE: Final = (Path(__file__).parent / "resources" / "check.png").as_posix()
ARROW_FILE: Final = (Path(__file__).parent / "resources" / "arrow.png").as_posix()
FONT_PX: Final = 14
SMALL_PX: Final = 13
TITLE_PX: Final = 20
STATE_PX: Final = 28
FAMILIES: Final = ("Inter", "Segoe UI", "SF Pro Text", "Noto Sans", "Lato", "DejaVu Sans")

SHEET: Final = f"""
* {{ color: {TEXT}; }}
QWidget#shell, QWidget#grid {{ background: {BACKGROUND}; }}
QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {BORDER}; padding: 6px; }}
QFrame#panel {{ background: {PANEL}; border: 1px solid {BORDER}; border-radius: 8px; }}
QFrame#card {{ background: {RAISED}; border: 1px solid {BORDER}; border-radius: 8px; }}
QFrame#card[selected="true"] {{ background: {ACCENT_DARK}; border: 1px solid {ACCENT}; }}
QFrame#card:focus {{ border: 2px solid {ACCENT}; }}
QFrame#sheet {{ background: {PANEL}; border: 1px solid {BORDER}; border-radius: 12px; }}
QLabel {{ background: transparent; }}
QLabel#title {{ font-size: {TITLE_PX}px; font-weight: 600; }}
QLabel#heading {{ font-size: 15px; font-weight: 600; }}
QLabel#group {{ color: {MUTED}; font-size: {SMALL_PX}px; font-weight: 600; }}
QLabel#muted {{ color: {MUTED}; font-size: {SMALL_PX}px; }}
QLabel#small {{ font-size: {SMALL_PX}px; }}
QLabel[health="good"] {{ color: {GOOD}; }}
QLabel[health="warning"] {{ color: {WARNING}; }}
QLabel[health="bad"] {{ color: {BAD}; }}
QLabel[health="unknown"] {{ color: {UNKNOWN}; }}
QLabel[health="running"] {{ color: {ACCENT}; }}
QLabel#state {{ font-size: {STATE_PX}px; font-weight: 700; }}
QLabel#journal {{ color: {MUTED}; font-size: {SMALL_PX}px; }}
QLabel#virtual {{ background: {WARNING}; color: {BLACK}; font-weight: 700; border-radius: 6px; padding: 3px 12px; }}
QPushButton {{
  background: {RAISED}; border: 1px solid {BORDER}; border-radius: 6px; padding: 7px 12px; min-height: 20px;
  font-weight: 500;
}}
QPushButton:hover {{ border-color: {MUTED}; }}
QPushButton:pressed {{ background: {BORDER}; }}
QPushButton:disabled {{ color: {MUTED}; background: {PANEL}; border-style: dashed; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {ACCENT}; padding: 6px 11px; }}
QPushButton#primary {{ background: {ACCENT}; color: {ON_ACCENT}; border-color: {ACCENT}; font-weight: 700; }}
QPushButton#primary:disabled {{ background: {PANEL}; color: {MUTED}; border-color: {BORDER}; }}
QPushButton#primary:focus {{ border: 2px solid {TEXT}; }}
QPushButton#stop {{
  background: {STOP_IDLE}; color: {ON_STOP}; border: 1px solid {STOP_IDLE}; font-size: 17px; font-weight: 700;
  padding: 10px 22px; border-radius: 8px;
}}
QPushButton#stop[running="true"] {{ background: {STOP}; border-color: {BAD}; }}
QPushButton#stop:focus {{ border: 2px solid {TEXT}; }}
QPushButton#place {{ background: transparent; border: 1px solid transparent; text-align: left; color: {MUTED}; }}
QPushButton#place:checked {{ background: {ACCENT_DARK}; color: {ACCENT}; }}
QPushButton#place:focus {{ border: 2px solid {ACCENT}; }}
QPushButton#row {{ text-align: left; padding: 9px 12px; }}
QPushButton#row[health="good"] {{ color: {GOOD}; }}
QPushButton#row[health="warning"] {{ color: {WARNING}; }}
QPushButton#row[health="bad"] {{ color: {BAD}; }}
QPushButton#row[health="running"] {{ color: {ACCENT}; }}
QPushButton#row[health="unknown"] {{ color: {MUTED}; }}
QPushButton#flat {{ background: transparent; border: 1px solid transparent; padding: 3px 8px; }}
QPushButton#flat:focus {{ border: 2px solid {ACCENT}; padding: 2px 7px; }}
QLineEdit, QComboBox {{
  background: {FIELD}; border: 1px solid {BORDER}; border-radius: 5px; padding: 4px 7px; min-height: 20px;
  selection-background-color: {ACCENT}; selection-color: {ON_ACCENT};
}}
QLineEdit:focus, QComboBox:focus {{ border: 2px solid {ACCENT}; padding: 3px 6px; }}
QLineEdit:disabled, QComboBox:disabled {{ color: {MUTED}; background: {PANEL}; }}
QLineEdit[refused="true"] {{ border: 2px solid {BAD}; padding: 3px 6px; }}
QComboBox::drop-down {{ border: none; width: 22px; }}
QComboBox::down-arrow {{ image: url("{ARROW_FILE}"); width: 10px; height: 6px; }}
QComboBox QAbstractItemView {{ background: {RAISED}; selection-background-color: {ACCENT_DARK}; selection-color: {ACCENT}; }}
QCheckBox {{ spacing: 8px; background: transparent; }}
QCheckBox::indicator {{ width: 16px; height: 16px; border: 1px solid {MUTED}; border-radius: 3px; background: {FIELD}; }}
QCheckBox::indicator:checked {{ background: {ACCENT}; border-color: {ACCENT}; image: url("{CHECK_FILE}"); }}
QCheckBox:focus {{ color: {ACCENT}; }}
QProgressBar {{ background: {BORDER}; border: none; border-radius: 4px; max-height: 8px; min-height: 8px; }}
QProgressBar::chunk {{ background: {ACCENT}; border-radius: 4px; }}
QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; border: none; }}
QListView {{ background: transparent; border: none; outline: none; }}
QListWidget#choices, QScrollArea#detail {{ background: {FIELD}; border: 1px solid {BORDER}; border-radius: 6px; }}
QListWidget#choices {{ padding: 4px; }}
QListWidget#choices:focus {{ border: 2px solid {ACCENT}; padding: 3px; }}
QListWidget#choices::item {{ padding: 5px 8px; border-radius: 4px; }}
QListWidget#choices::item:selected {{ background: {ACCENT_DARK}; color: {ACCENT}; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {BORDER}; border-radius: 5px; min-height: 30px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
QFrame#message {{ background: {RAISED}; border-radius: 8px; border: 1px solid {BORDER}; }}
QFrame#message[health="bad"] {{ border: 2px solid {BAD}; }}
QFrame#message[health="warning"] {{ border: 2px solid {WARNING}; }}
QFrame#message[health="good"] {{ border: 2px solid {GOOD}; }}
"""


def apply_theme(app: QApplication) -> None:
    """Give a program our look."""
    app.setStyle("Fusion")
    font = QFont()
    font.setFamilies(list(FAMILIES))
    font.setPixelSize(FONT_PX)
    app.setFont(font)
    palette = QPalette()
    for role, colour in (
        (QPalette.ColorRole.Window, BACKGROUND),
        (QPalette.ColorRole.Base, FIELD),
        (QPalette.ColorRole.AlternateBase, PANEL),
        (QPalette.ColorRole.Button, RAISED),
        (QPalette.ColorRole.Text, TEXT),
        (QPalette.ColorRole.WindowText, TEXT),
        (QPalette.ColorRole.ButtonText, TEXT),
        (QPalette.ColorRole.PlaceholderText, MUTED),
        (QPalette.ColorRole.Highlight, ACCENT),
        (QPalette.ColorRole.HighlightedText, ON_ACCENT),
        (QPalette.ColorRole.ToolTipBase, RAISED),
        (QPalette.ColorRole.ToolTipText, TEXT),
    ):
        palette.setColor(role, QColor(colour))
    app.setPalette(palette)
    app.setStyleSheet(SHEET)
