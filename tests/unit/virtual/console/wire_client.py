# SPDX-License-Identifier: MIT
"""A raw client for the tests of the virtual console: bytes in, bytes out."""

import json
import socket
from pathlib import Path

import msgpack
import numpy as np

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "marcos_protocol" / "captures.json").read_text())
VERSION = 0x010005


def request(commands, index=0, version=VERSION, packet_type=0):
    return msgpack.packb([packet_type, index, 0, version, commands], use_bin_type=True)


def program(*words):
    return np.array(words, dtype="<u4").tobytes()


def connect(address, timeout_s=20.0):
    return socket.create_connection(address, timeout=timeout_s)


def read_exactly(link, n):
    data = b""
    while len(data) < n:
        part = link.recv(n - len(data))
        if not part:
            return data
        data += part
    return data


def ask(link, commands, **more):
    """One request, and the decoded reply."""
    link.sendall(request(commands, **more))
    return read_reply(link)


def read_reply(link):
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
    while True:
        part = link.recv(1 << 20)
        if not part:
            raise ConnectionError("closed")
        unpacker.feed(part)
        try:
            return unpacker.unpack()
        except msgpack.OutOfData:
            continue


def is_closed(link):
    try:
        return link.recv(1) == b""
    except ConnectionResetError:
        return True
