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
    signed = data[:position].removesuffix(b"\r")
    # JEMRIS hashes the line break as well; either way every line of the sequence is covered.
    texts = [signed, signed + b"\n"]
    wanted = entries[b"Hash"].lower().decode("latin-1")
    if b"\r" in signed:
        texts += [text.replace(b"\r\n", b"\n") for text in texts]
    # Guards against damage, not against an attacker: the file says itself which hash it uses.
    hashes = (hashlib.new(kind.decode(), text, usedforsecurity=False).hexdigest() for text in texts)
    return "valid" if wanted in hashes else "invalid"
