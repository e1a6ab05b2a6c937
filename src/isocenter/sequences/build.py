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
from isocenter.domain.scanner import Scanner
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
    """

    seq: bytes
    report: dict[str, str | float]
    info: SequenceInfo


def build(name: str, values: Mapping[str, object], scanner: Scanner) -> BuiltSequence:
    """Build a sequence for a scanner.

    Parameters
    ----------
    name
        Of the sequence.
    values
        SI values of parameters that differ from their defaults.
    scanner
        Its limits and delays shape the sequence.

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
    with UserCode(Path(sequence.info.path), "it is built"):
        built = sequence.build(chosen, System(scanner))
        if not hasattr(built, "block_events") or not built.block_events:
            raise SequenceError(
                f"The sequence '{name}' has no blocks.",
                "Correct the file so that build returns a pypulseq sequence with blocks.",
            )
        built.set_definition("Name", name)
        check_loads(built, scanner)
        text = _write(built)
    return BuiltSequence(seq=text, report=_report(built), info=sequence.info)


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
