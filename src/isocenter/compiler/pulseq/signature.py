# SPDX-License-Identifier: MIT
"""The signature at the end of a Pulseq file."""

import hashlib
import re

_ENTRY = re.compile(rb"^[ \t]*(Type|Hash)[ \t]+(\S+)", re.MULTILINE)


def signature_state(data: bytes) -> str:
    """``valid``, ``invalid``, ``absent`` or ``unknown type``.

    The hash covers the bytes before the line break that precedes ``[SIGNATURE]``. A file whose line breaks were turned into
    CR LF on its way is compared with LF as well: nothing that it says has changed then. Whatever follows the signature is
    covered by nothing, so a section there makes it invalid.

    Source
    ------
    Pulseq specification 1.5, section on signatures; reference peers.md 2.1.
    """
    position = data.rfind(b"\n[SIGNATURE]")
    if position < 0:
        return "absent"
    tail = data[position + 1 :]
    if b"\n[" in tail or b"\nextension" in tail:
        return "invalid"
    entries = dict(_ENTRY.findall(tail.replace(b"\r", b"\n")))
    if b"Type" not in entries or b"Hash" not in entries:
        return "invalid"
    kind = entries[b"Type"].lower()
    if kind not in (b"md5", b"sha1", b"sha256"):
        return "unknown type"
    end = position - data.endswith(b"\r", 0, position)
    wanted = entries[b"Hash"].lower().decode("latin-1")
    name = kind.decode()
    fits = _fits(name, memoryview(data)[:end], wanted)
    if not fits and b"\r" in data:
        fits = _fits(name, data[:end].replace(b"\r\n", b"\n"), wanted)
    return "valid" if fits else "invalid"


def _fits(kind: str, signed: bytes | memoryview, wanted: str) -> bool:
    """Whether the hash is that of the text, or of the text with its last line break."""
    # Guards against damage, not against an attacker: the file says itself which hash it uses.
    found = hashlib.new(kind, signed, usedforsecurity=False)
    if found.hexdigest() == wanted:
        return True
    found.update(b"\n")  # JEMRIS hashes the line break as well; either way every line of the sequence is covered
    return found.hexdigest() == wanted
