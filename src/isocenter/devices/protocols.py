# SPDX-License-Identifier: MIT
"""The roles that devices play. A driver for another family of console implements ``Console`` and nothing else changes."""

from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import Segment


class Severity(StrEnum):
    """How much a message of a device matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMessage:
    """Something a device said, for the operator to see.

    Attributes
    ----------
    text
        In plain words.
    original
        The device's own words.
    """

    severity: Severity
    text: str
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleIdentity:
    """What answers at the console's address.

    Attributes
    ----------
    family, version
        Such as ``MaRCoS`` and ``1.0.5``.
    kind
        ``hardware``, ``simulation``, ``software`` or ``virtual``: whether real amplifiers hang on it.
    """

    family: str
    version: str
    kind: str

    @property
    def is_real(self) -> bool:
        """True when playing moves real hardware."""
        return self.kind == "hardware"


class Prepared(Protocol):
    """A segment in the console's own form. Made by ``Console.prepare``, only good for the same console."""

    @property
    def n_raw(self) -> int:
        """Raw samples that the segment will deliver on each channel."""
        ...

    @property
    def duration_s(self) -> float:
        """Time that playing it takes [s]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRun:
    """What one segment delivered.

    Attributes
    ----------
    samples
        complex64, all windows in order; 1.0 is full scale of the receiver. Shape ``(n_raw,)``; ``(n_channels, n_raw)``,
        the coil first, from a console that hears sensors of interference as well.
    messages
        What the console said meanwhile.
    """

    samples: NDArray[np.complex64]
    messages: tuple[DeviceMessage, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeReport:
    """Outcome of bringing every output to zero.

    Attributes
    ----------
    verified
        True only when the console confirmed that it is idle and took every zero.
    messages
        What happened, for the operator.
    zero_currents_share
        What the gradient board was seen to give at zero, of full scale, channels x, y, z; empty when it cannot be read or
        nobody knows its full scale.
    """

    verified: bool
    messages: tuple[DeviceMessage, ...] = field(default=())
    zero_currents_share: tuple[float, ...] = ()


class Console(Protocol):
    """A spectrometer. All methods but ``prepare`` belong to the one hardware thread; none waits without a deadline."""

    def open(self) -> ConsoleIdentity:
        """Connect, check kind and version, initialise the boards, bring all outputs to zero.

        Raises
        ------
        ConnectError, DeviceTimeout, ProtocolError
        """
        ...

    def close(self) -> None:
        """Zero the outputs if possible and drop the link. Never raises."""
        ...

    def prepare(self, segment: Segment, lo_hz: float) -> Prepared:
        """Encode a segment. Pure; any thread may call it.

        Raises
        ------
        CompileError
            When the segment cannot be played on this console (spacing, buffers, size).
        """
        ...

    def play(self, prepared: Prepared, cancel: Event) -> RawRun:
        """Play one segment and return its samples; outputs are zero before and after.

        Raises
        ------
        ScanAborted
            ``cancel`` was set; the console has been stopped.
        DeviceFault, DeviceTimeout, ProtocolError, ConnectError
            Something went wrong; the console has been stopped as far as it could be. Samples that did arrive are in the
            exception's ``partial`` attribute when there are any.
        """
        ...

    def make_safe(self) -> SafeReport:
        """Halt, then write zero to every output and verify. Reconnects if it must. Never raises."""
        ...
