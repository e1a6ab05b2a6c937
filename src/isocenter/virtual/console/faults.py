# SPDX-License-Identifier: MIT
"""What the virtual console can be told to do wrong, for tests and for training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Misbehaviour of one run, or of every run from it on.

    Attributes
    ----------
    at_run
        The run it happens in; the first since the server was started is 1.
    is_lasting
        True: in every later run as well.
    drops_link
        The connection is closed instead of the reply.
    cuts_reply
        Half of the reply, then the connection is closed.
    gives_no_reply
        Nothing is sent, and the connection stays open.
    delay_s
        The reply comes this much later [s].
    n_missing_samples
        So many samples of receiver 0 are lost at the end of the run.
    error
        A sentence added to the errors of the run, empty for none.
    garbage
        Sent instead of the reply.
    """

    at_run: int = 1
    is_lasting: bool = False
    drops_link: bool = False
    cuts_reply: bool = False
    gives_no_reply: bool = False
    delay_s: float = 0.0
    n_missing_samples: int = 0
    error: str = ""
    garbage: bytes = b""

    def are_due(self, n_run: int) -> bool:
        """True when run ``n_run`` (from 1) is one that goes wrong."""
        return n_run == self.at_run or (self.is_lasting and n_run > self.at_run)
