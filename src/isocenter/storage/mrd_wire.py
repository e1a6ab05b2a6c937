# SPDX-License-Identifier: MIT
"""Messages of the MRD streaming protocol as bytes, and back.

Each begins with a number (uint16, little endian) that says what it is. Source: ISMRMRD, doc/mrd_streaming_protocol.md and
doc/mrd_streaming_messages.md; sizes as in its header files. What arrives was made by another program: it is limited and
checked before memory is asked for.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError


class MessageId(IntEnum):
    """What a message is."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


CONFIG_NAME_BYTES: Final = 1024
MAX_TEXT_BYTES: Final = 2**24
MAX_IMAGE_BYTES: Final = 2**30

# Source: ISMRMRD, enum of data types.
_DTYPES: Final = {1: "<u2", 2: "<i2", 3: "<u4", 4: "<i4", 5: "<f4", 6: "<f8", 7: "<c8", 8: "<c16"}

ReadExactly = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class MrdImage:
    """One image as it came.

    Attributes
    ----------
    head
        ``image_header_dtype``, a single one.
    attributes
        Free XML.
    data
        Shape ``(n_channels, z, y, x)``.
    """

    head: Any
    attributes: str
    data: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; ``text`` and ``image`` where it has such."""

    kind: MessageId
    text: str = ""
    image: MrdImage | None = None


def pack_config(config: str) -> bytes:
    """Which reconstruction is wanted: the name of a configuration that the server has, or one's own as XML."""
    content = config.encode()
    if config.lstrip().startswith("<"):
        return _packed_text(MessageId.CONFIG_TEXT, content)
    if len(content) >= CONFIG_NAME_BYTES:
        raise StorageError("The name of the outside reconstruction is too long.", "Give the name that its server knows.")
    return struct.pack(f"<H{CONFIG_NAME_BYTES}s", MessageId.CONFIG_FILE, content)


def pack_header(xml: bytes) -> bytes:
    """The ISMRMRD header."""
    return _packed_text(MessageId.HEADER, xml)


def pack_close() -> bytes:
    """Nothing more will come."""
    return struct.pack("<H", MessageId.CLOSE)


def _packed_text(kind: MessageId, content: bytes) -> bytes:
    return struct.pack("<HI", kind, len(content)) + content


def pack_lines(
    heads: NDArray[Any],
    samples: Sequence[NDArray[np.float32]],
    trajectories: Sequence[NDArray[np.float32]] | None = None,
) -> list[bytes]:
    """One message for each line.

    Parameters
    ----------
    heads
        ``acquisition_header_dtype``.
    samples, trajectories
        float32 of each line, flat, in the order of a file.
    """
    start = struct.pack("<H", MessageId.ACQUISITION)
    nothing = [np.zeros(0, np.float32)] * len(heads) if trajectories is None else trajectories
    return [
        b"".join((start, head.tobytes(), k.tobytes(), line.tobytes()))
        for head, k, line in zip(heads, nothing, samples, strict=True)
    ]


def read_message(read: ReadExactly) -> Message:
    """The next message.

    Parameters
    ----------
    read
        Gives exactly so many bytes, or raises.

    Raises
    ------
    StorageError
        It is none that the protocol knows, or larger than can be right.
    """
    number = struct.unpack("<H", read(2))[0]
    if number not in set(MessageId):
        raise _rubbish(f"a message of the unknown kind {number}")
    kind = MessageId(number)
    if kind is MessageId.CLOSE:
        return Message(kind=kind)
    if kind is MessageId.CONFIG_FILE:
        return Message(kind=kind, text=_decode(read(CONFIG_NAME_BYTES)))
    if kind in {MessageId.CONFIG_TEXT, MessageId.HEADER, MessageId.TEXT}:
        return Message(kind=kind, text=_decode(read(_limited(struct.unpack("<I", read(4))[0], MAX_TEXT_BYTES))))
    if kind is MessageId.IMAGE:
        return Message(kind=kind, image=_read_image(read))
    _skip(kind, read)
    return Message(kind=kind)


def _read_image(read: ReadExactly) -> MrdImage:
    from ismrmrd.hdf5 import image_header_dtype

    head = np.frombuffer(read(image_header_dtype.itemsize), image_header_dtype)[0]
    attributes = _decode(read(_limited(struct.unpack("<Q", read(8))[0], MAX_TEXT_BYTES)))
    if int(head["data_type"]) not in _DTYPES:
        raise _rubbish(f"an image of the unknown type {head['data_type']}")
    dtype = np.dtype(_DTYPES[int(head["data_type"])])
    x, y, z = (int(size) for size in head["matrix_size"])
    shape = (int(head["channels"]), z, y, x)
    n_bytes = dtype.itemsize
    for size in shape:
        n_bytes *= size
    if n_bytes == 0:
        raise _rubbish(f"an image of {' x '.join(map(str, shape))} voxels")
    content = read(_limited(n_bytes, MAX_IMAGE_BYTES))
    return MrdImage(head=head, attributes=attributes, data=np.frombuffer(content, dtype).reshape(shape))


def _skip(kind: MessageId, read: ReadExactly) -> None:
    """Lines and waveforms that a server sends back are of no use here."""
    from ismrmrd.hdf5 import acquisition_header_dtype, waveform_header_dtype

    if kind is MessageId.ACQUISITION:
        head = np.frombuffer(read(acquisition_header_dtype.itemsize), acquisition_header_dtype)[0]
        n_samples = int(head["number_of_samples"])
        read(4 * n_samples * int(head["trajectory_dimensions"]))
        read(_limited(8 * n_samples * int(head["active_channels"]), MAX_IMAGE_BYTES))
    else:
        head = np.frombuffer(read(waveform_header_dtype.itemsize), waveform_header_dtype)[0]
        read(_limited(4 * int(head["number_of_samples"]) * int(head["channels"]), MAX_IMAGE_BYTES))


def _limited(n_bytes: int, most: int) -> int:
    if n_bytes > most:
        raise _rubbish(f"a message of {n_bytes} bytes")
    return n_bytes


def _decode(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode(errors="replace")


def _rubbish(what: str) -> StorageError:
    return StorageError(
        f"The outside reconstruction sent {what}.", "Check that its server speaks the MRD streaming protocol."
    )
