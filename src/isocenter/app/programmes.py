# SPDX-License-Identifier: MIT
"""Named lists of protocols, shipped and the user's own."""

from isocenter.app.service import Programme
from isocenter.sequences.programmes import load_programmes


def programmes() -> tuple[Programme, ...]:
    """All of them, the user's first."""
    return tuple(Programme(name=item.name, body_part=item.body_part, protocols=item.protocols) for item in load_programmes())
