# SPDX-License-Identifier: MIT
"""The wire: captured bytes, deadlines, and everything that can answer on a port without being a MaRCoS server."""

import json
import socket
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
from scripted_server import Calm, ScriptedServer

from isocenter.devices.marcos.samples import parse_samples
from isocenter.devices.marcos.wire import MarcosWire
from isocenter.domain.errors import ConnectError, DeviceError, DeviceTimeout, ProtocolError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "marcos" / "marcos.json").read_text())
CAPTURES = {c["name"]: c for c in GOLDEN["protocol_captures"]}


def wire_to(server):
    wire = MarcosWire("127.0.0.1", server.port)
    wire.connect(1.0)
    return wire


def bytes_of(name):
    """The captured reply, made to answer the driver's first request (index 1) instead of index 0."""
    reply = bytearray.fromhex(CAPTURES[name]["reply_hex"])
    assert reply[3] == 1
    reply[3] = 2
    return bytes(reply)


def ask(reply, commands, timeout_s=2.0):
    with ScriptedServer(handler=lambda request: reply) as server:
        wire = wire_to(server)
        try:
            return wire.call(commands, timeout_s)
        finally:
            wire.close()


def test_request_has_the_bytes_of_the_reference_client():
    seen = []

    def handler(request):
        seen.append(request)
        return bytes_of("are_you_real")

    with ScriptedServer(handler=handler) as server:
        wire = wire_to(server)
        wire.call({"are_you_real": 0}, 1.0)
        wire.close()
    captured = msgpack.unpackb(bytes.fromhex(CAPTURES["are_you_real"]["request_hex"]))
    assert seen[0] == [captured[0], 1, *captured[2:]]


@pytest.mark.parametrize(
    ("name", "commands", "expected"),
    [
        ("are_you_real", {"are_you_real": 0}, "simulation"),
        ("regstatus_idle", {"regstatus": 0}, [0, 0, 0, 0, 0, 0xFFFFFF, 0]),
        ("regrd_9", {"regrd": 9}, 0xFFFFFF),
        ("direct_leds_a5", {"direct": 0x0F00A500}, 0),
        ("halt_and_reset", {"halt_and_reset": 0}, True),
        ("read_rx_empty", {"read_rx": 0}, 0),
    ],
)
def test_captured_replies_are_understood(name, commands, expected):
    reply = ask(bytes_of(name), commands)
    assert reply.results[next(iter(commands))] == expected
    assert reply.version == (1, 0, 5)


def test_captured_samples_keep_sign_and_scale():
    reply = ask(bytes_of("run_seq_rx0_only"), {"run_seq": b"\0\0\0\1"})
    samples, other = parse_samples(reply.results["run_seq"])
    np.testing.assert_allclose(samples, (0x7FFF << 16) / 2**31 * (1 - 1j), rtol=1e-4)
    assert len(other) == 0


def test_messages_arrive_with_their_kind():
    reply = ask(bytes_of("run_seq_fhdo_too_fast"), {"run_seq": b"\0\0\0\1"})
    assert reply.messages["errors"] == ["gpa-fhdo gradient error; possibly missing samples"]


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("mixed_known_unknown", {"are_you_real": 0}),
        ("unknown_command", {"are_you_real": 0}),
        ("packet_type_7", {"are_you_real": 0}),
        ("emergency_stop", {"are_you_real": 0}),
        ("bare_int", {"are_you_real": 0}),
        ("empty_map", {"are_you_real": 0}),
    ],
)
def test_captured_replies_out_of_step_are_refused(name, commands):
    with pytest.raises(ProtocolError, match=r"not that of a MaRCoS server.*\n.*restart"):
        ask(bytes_of(name), commands)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00",
        b"\xc1\xc1",
        bytes(range(150, 250)),
        msgpack.packb([128, 7, 0, 65541, {"are_you_real": "hardware"}, {}]),
        msgpack.packb([128, 2, 0, 65541, {"are_you_real": "hardware"}, {"errors": "text"}]),
        msgpack.packb([128, 2, 0, 65541, {"are_you_real": "hardware"}, {"rumours": []}]),
        msgpack.packb([128, 2, 0, 65541, {}, {}]),
        msgpack.packb([128, 2, 0, "one", {"are_you_real": 0}, {}]),
        msgpack.packb([128, 2, 0, 65541, {"are_you_real": "x"}, {}]) + b"\x00",
        b"\x96\xcc\x80\x02\x00\xdd\xff\xff\xff\xff",  # announces 4 billion items
        b"\x96\xcc\x80\x02\x00\xce\x00\x01\x00\x05\x81\xa1\xff\xff",  # no UTF-8
    ],
)
def test_rubbish_is_a_protocol_error_and_closes_the_link(reply):
    with ScriptedServer(handler=lambda request: reply) as server:
        wire = wire_to(server)
        with pytest.raises(ProtocolError, match="not that of a MaRCoS server"):
            wire.call({"are_you_real": 0}, 2.0)
        assert not wire.is_open


def test_every_cut_of_a_reply_ends_in_an_error():
    whole = bytes_of("run_seq_rx0_only")
    for n in range(0, len(whole), 7):

        def raw(client, n=n):
            client.recv(1000)
            client.sendall(whole[:n])
            client.close()

        with ScriptedServer(raw=raw) as server:
            wire = wire_to(server)
            with pytest.raises(ConnectError, match="closed the connection"):
                wire.call({"run_seq": b"\0\0\0\1"}, 2.0)
            assert not wire.is_open


def test_reply_in_single_bytes_is_put_together():
    whole = bytes_of("run_seq_rx0_only")

    def raw(client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.recv(1000)
        for byte in whole:
            client.sendall(bytes([byte]))
        client.recv(1)

    with ScriptedServer(raw=raw) as server:
        wire = wire_to(server)
        reply = wire.call({"run_seq": b"\0\0\0\1"}, 2.0)
        wire.close()
    assert len(reply.results["run_seq"]["rx0_i"]) == 5


@pytest.mark.parametrize("sends", [b"", b"\x96\xcc\x80"])
def test_silence_ends_at_the_deadline(sends, monkeypatch):
    monkeypatch.setattr("isocenter.devices.marcos.wire._REPLY_GRACE_S", 0.1)

    def raw(client):
        client.recv(1000)
        if sends:
            client.sendall(sends)
        client.recv(1)

    with ScriptedServer(raw=raw) as server:
        wire = wire_to(server)
        began = time.monotonic()
        with pytest.raises(DeviceTimeout, match=r"did not answer in time.*\n.*network cable"):
            wire.call({"are_you_real": 0}, 0.2)
        assert 0.19 < time.monotonic() - began < 1.0
        assert not wire.is_open


def test_interrupt_while_waiting_closes_the_link():
    def raw(client):
        client.recv(1000)
        client.recv(1)

    def interrupted():
        raise KeyboardInterrupt

    with ScriptedServer(raw=raw) as server:
        wire = wire_to(server)
        with pytest.raises(KeyboardInterrupt):
            wire.call({"are_you_real": 0}, 1.0, deadline=interrupted)
        assert not wire.is_open


def test_nobody_listening_says_where():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectError, match=rf"No console answers at 127\.0\.0\.1:{port} .*\n.*switched on"):
        MarcosWire("127.0.0.1", port).connect(1.0)


@pytest.mark.parametrize("host", ["", "no such host.invalid", "x" * 70 + ".invalid"])
def test_impossible_hosts_are_connect_errors(host):
    with pytest.raises(DeviceError):
        MarcosWire(host, 1).connect(1.0)


def test_unknown_commands_are_never_sent():
    with ScriptedServer(handler=Calm()) as server:
        wire = wire_to(server)
        with pytest.raises(ValueError, match="must be one or more of"):
            wire.call({"are_you_real": 0, "foo": 1}, 1.0)
        with pytest.raises(ValueError, match="must be one or more of"):
            wire.call({}, 1.0)
        wire.close()


def test_request_that_the_server_would_drop_is_never_sent():
    with ScriptedServer(handler=Calm()) as server:
        wire = wire_to(server)
        with pytest.raises(ValueError, match="the server takes 33554432"):
            wire.call({"run_seq": bytes(32 * 1024 * 1024)}, 1.0)
        wire.close()


def test_data_without_a_question_is_out_of_step():
    first = bytes_of("are_you_real")

    def raw(client):
        client.recv(1000)
        client.sendall(first)
        client.sendall(b"\x00")
        client.recv(1)

    with ScriptedServer(raw=raw) as server:
        wire = wire_to(server)

        def ask_twice():  # the stray byte comes with the first reply or after it
            for _ in range(2):
                wire.call({"are_you_real": 0}, 1.0)

        with pytest.raises(ProtocolError, match=r"not that of a MaRCoS server|without being asked"):
            ask_twice()
        assert not wire.is_open


def test_large_reply_arrives_whole_and_in_time():
    n = 200_000
    calm = Calm()
    values = np.arange(n, dtype=np.int64) * 20_011 % 2**32
    calm.run_rx = (values.tolist(), values[::-1].tolist())
    with ScriptedServer(handler=calm) as server:
        wire = wire_to(server)
        reply = wire.call({"run_seq": b"\0\0\0\1"}, 10.0, max_samples=n)
        wire.close()
    samples, _ = parse_samples(reply.results["run_seq"])
    np.testing.assert_array_equal(samples.real, (values.astype(np.uint32).view(np.int32) / 2**31).astype(np.float32))


@pytest.mark.parametrize(
    "result",
    [
        {"rx0_i": [1, 2], "rx0_q": [1]},
        {"rx0_i": [1], "rx0_q": [-1]},
        {"rx0_i": [2**32], "rx0_q": [0]},
        {"rx0_i": ["a"], "rx0_q": [0]},
        {"rx0_i": [[1]], "rx0_q": [[0]]},
        {"rx0_i": 3, "rx0_q": 3},
        {"rx0_i": [1.5], "rx0_q": [0.5]},
        {"rx0_i": [1], "rx0_q": [1], "rx1_i": [1], "rx1_q": []},
        {"rx0_i": [1], "rx0_q": [1], "rx1_i": ["a"], "rx1_q": [1]},
        {"rx7_i": []},
        "text",
        None,
        True,
    ],
)
def test_samples_that_cannot_be_are_refused(result):
    with pytest.raises(ProtocolError):
        parse_samples(result)
