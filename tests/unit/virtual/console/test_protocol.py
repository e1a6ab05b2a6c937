# SPDX-License-Identifier: MIT
"""The virtual console answers byte for byte as the original server did."""

import importlib.util
from pathlib import Path

import msgpack
import pytest

from isocenter.virtual.console.server import VirtualConsoleServer

_spec = importlib.util.spec_from_file_location("wire_client", Path(__file__).with_name("wire_client.py"))
wc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wc)

RX_PROGRAM = bytes.fromhex(
    "c00000901e0000020a0002830a000184f0000090c000009014000002ff7f01850180008614000002c00300902d000002c0000090"
    "1400000200000185000000866400000200000001"
)


@pytest.fixture(scope="module")
def replies():
    """All captures, sent to one server in the order of the recording; reply bytes and whether it hung up."""
    found = []
    with VirtualConsoleServer(kind="simulation") as server:
        link = wc.connect(server.address)
        for capture in wc.GOLDEN["captures"]:
            if capture["name"] == "manual_ctrl_start":  # the recording had put this program in memory before
                wc.ask(link, {"mar_mem": RX_PROGRAM})
            link.sendall(bytes.fromhex(capture["request_hex"]))
            reply = wc.read_exactly(link, len(capture["reply_hex"]) // 2)
            if capture["server_closed_connection"]:
                found.append((reply, wc.is_closed(link)))
                link.close()
                link = wc.connect(server.address)
            else:
                link.sendall(wc.request({"acq_rlim": 5000}, index=7))
                follow = wc.read_exactly(link, 22)
                found.append((reply, not follow.endswith(bytes.fromhex("81a86163715f726c696d0080"))))
        link.close()
    return found


@pytest.mark.parametrize("number", range(len(wc.GOLDEN["captures"])), ids=[c["name"] for c in wc.GOLDEN["captures"]])
def test_capture(replies, number):
    capture = wc.GOLDEN["captures"][number]
    reply, has_closed = replies[number]
    expected = bytes.fromhex(capture["reply_hex"])
    if capture["name"] == "test_bus_10":  # times
        assert len(msgpack.unpackb(reply)[4]["test_bus"]) == 3
        assert reply[: -len(b"\x93\x00\x1d\x0a\x80")] == expected[: -len(b"\x93\x00\x1d\x0a\x80")]
    else:
        assert reply.hex() == expected.hex()
    assert has_closed == capture["server_closed_connection"]
