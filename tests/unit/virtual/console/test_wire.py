# SPDX-License-Identifier: MIT
"""Requests that are wrong, big or torn: what the original does with them, never a hang and never a dead server."""

import importlib.util
from pathlib import Path

import msgpack
import pytest

from isocenter.virtual.console.isa import MAX_REQUEST_BYTES
from isocenter.virtual.console.server import VirtualConsoleServer

_spec = importlib.util.spec_from_file_location("wire_client", Path(__file__).with_name("wire_client.py"))
wc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wc)


@pytest.fixture(scope="module")
def server():
    with VirtualConsoleServer(kind="simulation") as started:
        yield started


@pytest.fixture
def link(server):
    with wc.connect(server.address) as opened:
        yield opened


def still_serves(server):
    with wc.connect(server.address) as other:
        return wc.ask(other, {"are_you_real": 0})[4] == {"are_you_real": "simulation"}


def test_program_memory_takes_what_fits_and_no_byte_more(link):
    reply = wc.ask(link, {"mar_mem": bytes(262144)})
    assert reply[4:] == [{"mar_mem": 0}, {"infos": ["mar mem data bytes copied: 262144"]}]
    reply = wc.ask(link, {"mar_mem": bytes(262145)})
    assert reply[4] == {"mar_mem": -1}
    assert reply[5] == {"errors": ["too much mar mem data: 262145 bytes > 262144 -- streaming not yet implemented"]}


@pytest.mark.parametrize(
    ("commands", "result"),
    [
        ({"direct": "x"}, {"direct": 0}),
        ({"regrd": -1}, {"regrd": 0}),
        ({"regrd": 1 << 32}, {"regrd": 0}),
        ({"ctrl": 0.0}, {"ctrl": 0}),
        ({"mar_mem": "text"}, {"mar_mem": 0}),
        ({"acq_rlim": None, "ctrl": "x"}, None),
    ],
)
def test_a_wrong_type_gets_its_reply_and_then_the_door(server, commands, result):
    with wc.connect(server.address) as link:
        reply = wc.ask(link, commands)
        assert reply[0] == 128
        if result is not None:
            assert reply[4] == result
        assert wc.is_closed(link)
    assert still_serves(server)


def test_nil_argument_is_not_understood(link):
    reply = wc.ask(link, {"regrd": None})
    assert reply[4:] == [{"UNKNOWN1": -1}, {"errors": ["not all client commands were understood"]}]


def test_index_wraps_and_major_version_is_an_error(link):
    reply = wc.ask(link, {"are_you_real": 0}, index=0xFFFFFFFF, version=0x020005)
    assert reply[1] == 0
    assert reply[5] == {"errors": ["Client version 2.0.5 significantly different from server version 1.0.5"]}
    assert reply[4] == {"are_you_real": "simulation"}, "the request is carried out anyway"


@pytest.mark.parametrize(("n", "is_dropped"), [(8192 - 8, False), (8192 - 7, True)])
def test_8192_nodes_are_the_limit(server, n, is_dropped):
    # request 1, its five parts 5, one pair 2, and n elements: n + 8 nodes
    with wc.connect(server.address) as link:
        link.sendall(wc.request({"fpga_clk": [0] * n}))
        if is_dropped:
            assert wc.is_closed(link)
        else:
            assert wc.read_reply(link)[4] == {"fpga_clk": -1}
    assert still_serves(server)


@pytest.mark.parametrize("excess", [0, 1])
def test_32_mib_are_the_limit(server, excess):
    frame = len(wc.request({"mar_mem": bytes(1 << 24)})) - (1 << 24)
    data = wc.request({"mar_mem": bytes(MAX_REQUEST_BYTES - frame + excess)})
    assert len(data) == MAX_REQUEST_BYTES + excess
    with wc.connect(server.address) as link:
        try:
            link.sendall(data)
            answer = link.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
        assert bool(answer) is not bool(excess)
    assert still_serves(server)


@pytest.mark.parametrize(
    "garbage", [b"\xc1", b"\x91" * 3000, b"\xd4\x01\x00", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
)
def test_what_is_no_message_is_dropped_without_a_reply(server, garbage):
    with wc.connect(server.address) as link:
        link.sendall(garbage)
        assert wc.is_closed(link)
    assert still_serves(server)


def test_http_gets_the_answer_to_a_number(server):
    with wc.connect(server.address) as link:
        link.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert "significantly different" in wc.read_reply(link)[5]["errors"][0]


def test_torn_and_glued_requests(link):
    data = wc.request({"regrd": 9}, index=1)
    for byte in data:
        link.sendall(bytes([byte]))
    assert wc.read_reply(link)[1:5:3] == [2, {"regrd": 0xFFFFFF}]
    link.sendall(data + wc.request({"regrd": 5}, index=2))
    both = wc.read_exactly(link, 23 + 19)
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(both)
    assert [reply[1] for reply in unpacker] == [2, 3]


def test_net_test(link):
    reply = wc.ask(link, {"test_net": 3})
    assert reply[4]["test_net"] == {"array1": [0.0, 1.01, 2.02], "array2": [1.01 * k for k in (10, 11, 12)]}


def test_result_order_is_the_servers(link):
    reply = wc.ask(link, {"are_you_real": 0, "read_mem": 0, "acq_rlim": 1000, "ctrl": 0, "fpga_clk": [1, 2, 3]})
    assert list(reply[4]) == ["read_mem", "fpga_clk", "ctrl", "acq_rlim", "are_you_real"]


def test_direct_register_reads_back_all_bits(link):
    assert wc.ask(link, {"direct": 0xFF00A500, "regrd": 2})[4]["regrd"] == 0xFF00A500


@pytest.mark.parametrize("packet_type", [1, 2])
def test_special_packets_do_not_look_at_their_commands(packet_type):
    with VirtualConsoleServer() as server, wc.connect(server.address) as link:
        link.sendall(msgpack.packb([packet_type, 5, 0, wc.VERSION, [1]]))
        assert wc.read_reply(link)[1] == 6
        assert wc.ask(link, {"regrd": 9})[4] == {"regrd": 0xFFFFFF}
