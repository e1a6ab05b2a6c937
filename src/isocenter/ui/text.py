# SPDX-License-Identifier: MIT
"""Text for the person at the screen: translation, and numbers with their units."""

import math

from PySide6.QtCore import QCoreApplication

translate = QCoreApplication.translate
"""``translate(context, text)``; every text that an operator reads goes through it."""


def duration_text(duration_s: float) -> str:
    """Time as ``0:38 min``, or ``1:02:03 h`` from an hour on; a dash when not known."""
    if not math.isfinite(duration_s):
        return "–"
    total = max(math.ceil(duration_s - 1e-6), 0)
    minutes, seconds = divmod(total, 60)
    if minutes < 60:
        return translate("Text", "{0}:{1:02d} min").format(minutes, seconds)
    return translate("Text", "{0}:{1:02d}:{2:02d} h").format(minutes // 60, minutes % 60, seconds)


def milliseconds_text(time_s: float) -> str:
    """Time as ``12 ms``; a dash when not known."""
    return "–" if not math.isfinite(time_s) else f"{time_s * 1e3:.4g} ms"
