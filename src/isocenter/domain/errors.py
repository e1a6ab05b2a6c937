# SPDX-License-Identifier: MIT
"""The errors that Isocenter raises on purpose: one sentence on the problem, one on what to do next.

::

    ConsoleError(problem, remedy)
    ├─ ConfigError                      a hardware or site file is wrong
    ├─ SequenceError                    a sequence, its parameters or a .seq file is wrong
    │  └─ LimitError                    it asks more than the scanner may give
    ├─ CompileError                     it cannot be played on this console
    ├─ DeviceError
    │  ├─ ConnectError                  nothing answers, or the wrong thing does
    │  ├─ DeviceTimeout                 no answer in time
    │  ├─ ProtocolError                 an answer that cannot be right
    │  ├─ WrongState                    not possible now
    │  └─ DeviceFault                   the device says that something went wrong
    │     └─ SamplesLost                samples did not arrive; the device itself is well and at zero
    ├─ AcquisitionError
    │  ├─ ScanIncomplete                less was measured than asked; what there is, is kept
    │  ├─ ScanAborted                   somebody pressed Stop, or a fault did
    │  └─ ScanEnded                     a fault ended it between two segments; what there is, is good
    ├─ ReconError · StorageError · DicomError

Siblings differ only where a caller reacts differently. All survive pickling, since work runs in other processes.
"""

from typing import Any


class ConsoleError(Exception):
    """Every deliberate error: what is wrong, and what the person at the screen does next.

    Attributes
    ----------
    partial
        What had arrived before it went wrong, such as the complex64 samples of a segment; None when nothing had.
    """

    partial: Any = None

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # positional, so that it survives a process pool
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}\nWhat to do: {self.remedy}"


class ConfigError(ConsoleError):
    """A hardware or site file cannot be used; the problem names file and key."""


class SequenceError(ConsoleError):
    """A sequence, one of its parameters, or a ``.seq`` file is wrong."""


class LimitError(SequenceError):
    """More was asked than the scanner may give; the problem names quantity, request, limit and event."""


class CompileError(ConsoleError):
    """A sequence is sound but cannot be played on this console."""


class DeviceError(ConsoleError):
    """Something on a wire did not do what it should."""


class ConnectError(DeviceError):
    """Nothing answers at the address, or what answers is not the expected device."""


class DeviceTimeout(DeviceError):
    """No answer within the deadline."""


class ProtocolError(DeviceError):
    """An answer that cannot be right. The link must be closed and opened again."""


class WrongState(DeviceError):
    """The device cannot do this now."""


class DeviceFault(DeviceError):
    """The device itself reports a fault."""


class SamplesLost(DeviceFault):
    """Samples were lost on their way; what was played was right, and the outputs are at zero."""


class AcquisitionError(ConsoleError):
    """A scan did not run as planned."""


class ScanIncomplete(AcquisitionError):
    """Less was measured than asked. The problem says where the data that exist are kept."""


class ScanAborted(AcquisitionError):
    """The scan was stopped, by a person or by a fault."""


class ScanEnded(AcquisitionError):
    """A fault ended the scan between two segments; what was measured is good."""


class ReconError(ConsoleError):
    """Images cannot be made from these data."""


class StorageError(ConsoleError):
    """Data cannot be written or read."""


class DicomError(ConsoleError):
    """A DICOM object cannot be made, read or sent."""
