# SPDX-License-Identifier: MIT
"""From a sequence's name and its parameters to a ``.seq`` file that this scanner can play."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isocenter.domain.errors import SequenceError
from isocenter.domain.parameters import make_parameters
from isocenter.domain.scan import SequenceInfo
from isocenter.domain.scanner import Calibration, Scanner
from isocenter.sequences.catalogue import UserCode, get_sequence
from isocenter.sequences.loads import check_loads
from isocenter.sequences.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSequence:
    """A sequence as a Pulseq file.

    Attributes
    ----------
    seq
        Text of the ``.seq`` file, Pulseq 1.5, signed.
    report
        The file's definitions that a person wants to know, SI values by name: ``EffectiveEchoTime``, ``RepetitionTime``,
        ``EchoTrainLength``, ``TotalDuration``, ``Bandwidth`` ...
    info
        The sequence.
    notes
        How it differs from what was asked for, as plain sentences; empty when it does not.
    """

    seq: bytes
    report: dict[str, str | float]
    info: SequenceInfo
    notes: tuple[str, ...] = ()


def build(
    name: str, values: Mapping[str, object], scanner: Scanner, calibration: Calibration | None = None
) -> BuiltSequence:
    """Build a sequence for a scanner.

    Parameters
    ----------
    name
        Of the sequence.
    values
        SI values of parameters that differ from their defaults.
    scanner
        Its limits and delays shape the sequence.
    calibration
        As it was measured: of a weak transmitter pulses are longer. None for as its hardware file says.

    Raises
    ------
    SequenceError
        Unknown sequence or parameter, value out of range, a combination that cannot be played (names the parameter and the
        smallest change that helps), or a broken sequence file.
    LimitError
        The whole asks more of gradients or RF than the scanner may give.
    """
    sequence = get_sequence(name)
    chosen = make_parameters(sequence.declaration, values)
    system = System(scanner, calibration)
    with UserCode(Path(sequence.info.path), "it is built"):
        try:
            built = sequence.build(chosen, system)
        except SequenceError as error:
            raise _explained(error, system) from None
        if not hasattr(built, "block_events") or not built.block_events:
            raise SequenceError(
                f"The sequence '{name}' has no blocks.",
                "Correct the file so that build returns a pypulseq sequence with blocks.",
            )
        built.set_definition("Name", name)
        if lengthened := system.transmitter.lengthened:
            built.set_definition("LongerPulses", ", ".join(map(str, lengthened)))
        try:
            check_loads(built, scanner, system.transmitter.rf_scale)
        except SequenceError as error:
            raise _explained(error, system) from None
        text = _write(built)
    return BuiltSequence(seq=text, report=_report(built), info=sequence.info, notes=system.transmitter.notes)


def _explained(error: SequenceError, system: System) -> SequenceError:
    """A refusal that also says that the pulses are longer than asked for, where this may be the reason."""
    notes = system.transmitter.notes
    return type(error)(f"{error.problem} {notes[0]}", error.remedy) if notes else error


def _write(built: Any) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="isocenter-") as folder:
            path = Path(folder) / "sequence.seq"
            # Events are registered once each, so the search for duplicates and a second timing check would find nothing.
            built.write(str(path), create_signature=True, remove_duplicates=False, check_timing=False)
            return path.read_bytes()
    except OSError as error:
        raise SequenceError(
            f"The sequence cannot be written to the folder for temporary files: {error.strerror or error}.",
            f"Free space on the disk of {tempfile.gettempdir()}, then try again.",
        ) from error


def _report(built: Any) -> dict[str, str | float]:
    report: dict[str, str | float] = {}
    for key, value in built.definitions.items():
        if key.endswith(("Raster", "RasterTime")):
            continue
        if isinstance(value, int | float):
            report[key] = float(value)
        else:
            report[key] = value if isinstance(value, str) else " ".join(f"{item:g}" for item in value)
    return report
