# SPDX-License-Identifier: MIT
"""States of the runner, as a table."""

from typing import Final

from isocenter.domain.scan import ScanState

TRANSITIONS: Final[dict[tuple[ScanState, str], ScanState]] = {
    (ScanState.IDLE, "start"): ScanState.PREPARING,
    (ScanState.PREPARING, "ready"): ScanState.ARMED,
    (ScanState.PREPARING, "end"): ScanState.FINISHING,
    (ScanState.ARMED, "play"): ScanState.SCANNING,
    (ScanState.ARMED, "end"): ScanState.FINISHING,
    (ScanState.SCANNING, "end"): ScanState.FINISHING,
    (ScanState.FINISHING, "safe"): ScanState.IDLE,
}
"""What may follow what.

::

    IDLE ──start──▶ PREPARING ──ready──▶ ARMED ──play──▶ SCANNING
      ▲                 │                  │                │
      │                 └───────end────────┴──────end───────┤
      │                                                     ▼
      └───────────────────────safe────────────────────── FINISHING

PREPARING encodes the first segment, ARMED waits for its start, SCANNING plays and stores segment after segment, FINISHING
brings all outputs to zero and closes the data. Every way out of a scan leads through FINISHING. Nothing re-arms itself.
"""


def next_state(state: ScanState, event: str) -> ScanState:
    """State that follows; an event that cannot happen in a state is a programming mistake."""
    if (state, event) not in TRANSITIONS:
        raise ValueError(f"{event!r} cannot happen in state {state.value}")
    return TRANSITIONS[state, event]
