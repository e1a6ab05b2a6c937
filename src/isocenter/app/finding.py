# SPDX-License-Identifier: MIT
"""One thing that was checked."""

from dataclasses import dataclass

from isocenter.app.service import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One checked thing: what, how it is, in words, and what to do when it is not good."""

    what: str
    health: Health
    text: str
    remedy: str = ""
