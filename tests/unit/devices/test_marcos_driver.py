# SPDX-License-Identifier: MIT
"""The driver against a server whose every answer the test decides: what it sends, what it refuses, how it stops."""

import json
import socket
import threading
import time
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from marcos_tables import gradients, segment, track, with_sensor
from scripted_server import VERSION, Calm, Close, ScriptedServer

from isocenter.devices.marcos import Deadlines, MarcosConsole, encode_segment
from isocenter.devices.marcos.messages import explain, explain_all
from isocenter.devices.protocols import Severity
from isocenter.domain.errors import (
    ConfigError,
    ConnectError,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    ProtocolError,
    ScanAborted,
    WrongState,
)
from isocenter.domain.scanner import ConsoleLink, GradientBoard

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "marcos" / "marcos.json").read_text())
SHORT = Deadlines(connect_s=1.0, call_s=0.5, gradient_s=0.3, run_margin_s=0.5, stop_margin_s=0.4, simulated_run_margin_s=0.6)


def console_for(server, board=GradientBoard.GPA_FHDO, divider=4, deadlines=SHORT):
    link = ConsoleLink(family="marcos", host="127.0.0.1", port=server.port, clock_hz=122.88e6, segment_gap_s=0.01)
    return MarcosConsole(link, gradients(board, divider), deadlines=deadlines)


@pytest.fixture
def calm():
    return Calm()


@pytest.fixture
def server(calm):
    with ScriptedServer(handler=calm) as running:
        yield running


@pytest.fixture
def console(server):
    made = console_for(server)
    yield made
    made.close()


def scan(console, windows=((3000, 100, 4),), **tracks):
    return console.prepare(segment(tracks, windows), 2e6)


def samples(n, value=0x10000000):
    return [value] * n, [0] * n


ZEROED = {(buffer, 0) for buffer in (5, 6, 7, 8, 15, 16)}


def test_identity_is_what_the_server_says(console):
    identity = console.open()
    assert (identity.family, identity.version, identity.kind, identity.is_real) == ("MaRCoS", "1.0.5", "hardware", True)


@pytest.mark.parametrize("kind", ["simulation", "software", "virtual"])
def test_only_hardware_is_real(server, calm, kind):
    calm.kind = kind
    console = console_for(server)
    assert not console.open().is_real
    console.close()


@pytest.mark.parametrize(
    ("board", "divider", "name"),
    [(GradientBoard.GPA_FHDO, 4, "gpa_fhdo_direct_words"), (GradientBoard.OCRA1, 19, "ocra1_direct_words_spi_div19")],
)
def test_gradient_board_starts_with_the_captured_words(server, calm, board, divider, name):
    console = console_for(server, board, divider)
    console.open()
    captured = [int(w, 16) for pair in GOLDEN["gradient_init_sequences"][name] for w in pair.split()]
    sent = [buffer << 24 | value for buffer, value in calm.directs]
    start = sent.index(captured[0])
    assert sent[start : start + len(captured)] == captured
    assert set(calm.directs[: start + 1]) >= ZEROED, "outputs are zero before the board starts"
    console.close()


def test_before_each_run_the_gradient_cores_are_off_and_old_samples_gone(console, calm):
    calm.run_rx = samples(4)
    console.open()
    calm.log.clear(), calm.directs.clear()
    console.play(scan(console), Event())
    assert calm.log[: calm.log.index("run_seq")] == ["regstatus", "direct", "read_rx"]
    assert calm.directs[0] == (0, 0)


def test_after_each_run_every_output_is_written_zero(console, calm):
    calm.run_rx = samples(4)
    console.open()
    calm.log.clear()
    program = scan(console)
    console.play(program, Event())
    n = calm.log.index("run_seq")
    written = calm.directs[-(len(calm.log[n:])) :]
    assert set(written) >= ZEROED
    for channel in range(4):
        at = written.index((2, 0x0008 | channel))
        assert written[at + 1] == (1, 0x8000)
    assert written[-1] == (0, 0), "the board's enable is off at the end"
    assert calm.runs == [program.words.tobytes()]


def test_stale_samples_are_reported_and_not_returned(console, calm):
    calm.run_rx = samples(4)
    console.open()
    calm.fifo = [samples(9, 77)]
    run = console.play(scan(console), Event())
    assert len(run.samples) == 4
    assert any(m.severity is Severity.WARNING and m.text.startswith("9 samples of an earlier run") for m in run.messages)


def test_samples_are_scaled_to_full_scale_with_the_decimators_gain(console, calm):
    calm.run_rx = samples(6, 0xC0000000)
    run = console.play(scan(console, ((3000, 4, 2), (4000, 123, 4))), Event())
    gain = 2 ** ((6 * np.log2(4096 / 123)) % 1)
    np.testing.assert_allclose(run.samples, [-0.5, -0.5] + [-0.5 * gain] * 4, rtol=1e-6)
    assert run.samples.dtype == np.complex64


def test_samples_left_in_the_console_are_fetched(console, calm):
    calm.run_rx = samples(3)
    console.open()
    calm.fifo = [None, samples(1)]
    run = console.play(scan(console), Event())
    assert len(run.samples) == 4
    assert any("1 samples had to be fetched" in m.text for m in run.messages)


@pytest.mark.parametrize("n", [0, 3, 5, 400])
def test_wrong_number_of_samples_is_a_fault_that_keeps_them(console, calm, n):
    calm.run_rx = samples(n) if n else None
    with pytest.raises(DeviceFault, match=rf"delivered {n} samples for segment 0, which has 4.*\n.*longer dwell") as caught:
        console.play(scan(console), Event())
    assert len(caught.value.partial) == n
    assert calm.log.count("halt_and_reset") == 2, "opened, and stopped after the fault"


def sensor_scan(console):
    return console.prepare(with_sensor(segment({}, [(3000, 123, 4)])), 2e6)


def both(n_coil, n_sensor):
    return {f"rx{i}_{part}": [(i + 1) << 20] * n for i, n in ((0, n_coil), (1, n_sensor)) for part in "iq" if n}


def test_a_sensor_comes_beside_the_coil(console, calm):
    calm.override["run_seq"] = lambda _: both(4, 4)
    run = console.play(sensor_scan(console), Event())
    assert run.samples.shape == (2, 4)
    np.testing.assert_allclose(run.samples[1], 2 * run.samples[0])
    assert run.messages == ()


@pytest.mark.parametrize(("n_coil", "n_sensor"), [(4, 0), (4, 3), (3, 4), (4, 5), (0, 4)])
def test_channels_that_do_not_agree_are_a_fault_that_keeps_what_both_have(console, calm, n_coil, n_sensor):
    calm.override["run_seq"] = lambda _: both(n_coil, n_sensor)
    what = f"delivered {n_coil} and {n_sensor} samples of the coil and the sensor for segment 0, which has 4"
    with pytest.raises(DeviceFault, match=what) as caught:
        console.play(sensor_scan(console), Event())
    assert caught.value.partial.shape == (2, min(n_coil, n_sensor))


def test_samples_of_a_sensor_that_is_not_in_the_hardware_file_are_reported(console, calm):
    calm.override["run_seq"] = lambda _: both(4, 4)
    run = console.play(scan(console), Event())
    assert run.samples.shape == (4,)
    assert any("second receiver sent 4 samples" in message.text for message in run.messages)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("gpa-fhdo gradient error; possibly missing samples", "gradient board may have missed"),
        ("output buffers overflowed during sequence: 0x00008000", "Too many outputs changed at once"),
        ("RX FIFO/s full during sequence around byte address 0x10", "receive buffer overflowed"),
        ("memory buffer underrun around byte address 0x10", "ran out of instructions"),
        ("something nobody has seen", "The console says: something nobody has seen"),
    ],
)
def test_errors_of_the_server_are_faults_in_plain_words(console, calm, said, plain):
    calm.run_rx = samples(4)
    calm.messages["run_seq"] = {"errors": [said]}
    with pytest.raises(DeviceFault, match=rf"{plain}.*\(segment 0: .*\)") as caught:
        console.play(scan(console), Event())
    assert len(caught.value.partial) == 4
    assert said in caught.value.problem
    assert caught.value.remedy


def test_lost_gradient_values_are_an_error_although_the_server_only_warns(console, calm):
    calm.run_rx = samples(4)
    calm.messages["run_seq"] = {"warnings": ["ocra1 data was lost (overwritten before being sent)"]}
    with pytest.raises(DeviceFault, match=r"lost a value.*\n.*Do not use these images"):
        console.play(scan(console), Event())


def test_warnings_and_infos_come_with_the_run(console, calm):
    calm.run_rx = samples(4)
    calm.messages["run_seq"] = {"warnings": ["memory buffer low for 12 inner loop cycles"], "infos": ["hello"]}
    run = console.play(scan(console), Event())
    assert [(m.severity, m.original) for m in run.messages] == [
        (Severity.WARNING, "memory buffer low for 12 inner loop cycles"),
        (Severity.INFO, "hello"),
    ]


def test_segment_without_readouts_returns_no_samples_and_no_complaint(console):
    run = console.play(scan(console, (), leds=track([3000, 4000], [1, 0])), Event())
    assert len(run.samples) == 0
    assert run.messages == ()


def test_every_captured_message_has_plain_words():
    for capture in GOLDEN["vectors"]:
        for message in explain_all(capture["server_messages"]):
            assert not message.text.startswith("The console says"), message.original
    assert explain("warnings", "new wording").severity is Severity.WARNING


def test_stop_before_a_segment_sends_nothing_more_and_makes_safe(console, calm):
    console.open()
    calm.log.clear()
    cancel = Event()
    cancel.set()
    with pytest.raises(ScanAborted, match="every output is at zero"):
        console.play(scan(console), cancel)
    assert "run_seq" not in calm.log
    assert calm.log[0] == "halt_and_reset"


def test_stop_during_a_segment_keeps_its_samples_and_makes_safe(console, calm):
    console.open()
    cancel = Event()

    def pressed(_):
        cancel.set()
        return {"rx0_i": [1] * 4, "rx0_q": [2] * 4}

    calm.override["run_seq"] = pressed
    calm.log.clear()
    with pytest.raises(ScanAborted, match="stopped") as caught:
        console.play(scan(console), cancel)
    assert len(caught.value.partial) == 4
    after = calm.log[calm.log.index("run_seq") + 1 :]
    assert after[0] == "halt_and_reset"
    assert after[-1] == "regstatus"


def test_make_safe_orders_halt_zeros_and_verification(console, calm):
    console.open()
    calm.log.clear(), calm.directs.clear()
    report = console.make_safe()
    assert report.verified
    assert calm.log[0] == "halt_and_reset"
    assert calm.log[-1] == "regstatus"
    assert set(calm.directs) >= ZEROED


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("halt_and_reset", False),
        ("direct", -1),
        ("regstatus", [0x03000010, 0, 0, 0, 0, 0xFFFFFF, 0]),  # still counting down
        ("regstatus", [0, 0x20000, 0, 0, 0, 0xFFFFFF, 0]),  # the serial line never ends
        ("regstatus", [0, 0, 0, 0, 0, 0xFFFFFE, 0]),  # a buffer never empties
        ("regstatus", "idle"),
    ],
)
def test_make_safe_does_not_claim_what_the_console_did_not_confirm(console, calm, command, answer):
    console.open()
    calm.override[command] = answer
    report = console.make_safe()
    assert not report.verified
    assert "Switch the RF and gradient amplifiers off" in report.messages[0].text
    assert report.messages[0].severity is Severity.ERROR


def test_make_safe_reconnects_after_the_link_was_cut(console, server):
    console.open()
    server.drop()
    assert console.make_safe().verified
    assert server.n_connections == 2


def test_make_safe_without_a_console_says_so_in_time(server):
    console = console_for(server)
    console.open()
    server.stop()
    began = time.monotonic()
    report = console.make_safe()
    assert time.monotonic() - began < 3
    assert not report.verified
    assert "Switch the RF and gradient amplifiers off" in report.messages[0].text
    console.close()


def test_link_cut_in_a_run_is_an_error_then_the_next_play_starts_the_board_again(console, calm, server):
    console.open()

    def cut(_):
        raise Close

    calm.override["run_seq"] = cut
    with pytest.raises(ConnectError, match="closed the connection"):
        console.play(scan(console), Event())
    calm.override.clear()
    calm.run_rx = samples(4)
    calm.directs.clear()
    assert len(console.play(scan(console), Event()).samples) == 4
    assert (0, 0x7A) in calm.directs, "the gradient board was initialised over the new link"


def test_run_that_never_answers_ends_at_its_deadline(console, calm):
    console.open()
    block, stuck = Event(), calm.__call__

    calm.override["run_seq"] = lambda _: block.wait(5)
    assert stuck
    began = time.monotonic()
    with pytest.raises(DeviceTimeout, match="could not be brought to zero") as caught:
        console.play(scan(console), Event())
    assert time.monotonic() - began < 5
    assert "Switch the RF and gradient amplifiers off" in caught.value.remedy
    assert "could not be brought to zero" in str(caught.value.args[0])
    block.set()


def test_stop_shortens_the_wait_for_a_run_that_never_answers(server, calm):
    slow = Deadlines(connect_s=0.5, call_s=0.3, gradient_s=0.3, run_margin_s=60.0, stop_margin_s=0.3)
    console = console_for(server, deadlines=slow)
    console.open()
    block, cancel = Event(), Event()

    def stuck(_):
        cancel.set()
        block.wait(10)

    calm.override["run_seq"] = stuck
    began = time.monotonic()
    with pytest.raises(DeviceTimeout):
        console.play(scan(console), cancel)
    assert time.monotonic() - began < 5
    block.set()
    console.close()


def test_console_that_is_busy_before_a_run_is_halted_first(console, calm):
    console.open()
    states = [[0x03000000, 0, 0, 0, 0, 0xFFFFFF, 0]]
    calm.override["regstatus"] = lambda _: states.pop() if states else [0, 0, 0, 0, 0, 0xFFFFFF, 0]
    calm.run_rx = samples(4)
    calm.log.clear()
    console.play(scan(console), Event())
    assert "halt_and_reset" in calm.log[: calm.log.index("run_seq")]


@pytest.mark.parametrize(("version", "note"), [(0x010004, Severity.INFO), (0x010300, Severity.WARNING), (VERSION, None)])
def test_other_versions_are_noted_with_the_next_run(server, calm, version, note):
    calm.run_rx = samples(4)
    with ScriptedServer(
        handler=lambda r: calm(r).replace(b"\xce\x00\x01\x00\x05", b"\xce" + version.to_bytes(4, "big"))
    ) as other:
        console = console_for(other)
        assert console.open().version == ".".join(str(version >> s & 255) for s in (16, 8, 0))
        messages = console.play(scan(console), Event()).messages
        assert [m.severity for m in messages] == ([note] if note else [])
        console.close()


def test_what_the_server_says_to_every_request_is_told_once(console, calm):
    text = "Client version 1.0.5 different from server version 1.1.5"
    calm.messages.update({name: {"warnings": [text]} for name in ("direct", "regstatus", "read_rx", "run_seq")})
    calm.run_rx = samples(4)
    messages = console.play(scan(console), Event()).messages
    assert [(m.severity, m.original) for m in messages] == [(Severity.WARNING, text)]


def test_stop_while_a_run_is_prepared_sends_no_run(console, calm):
    console.open()
    cancel = Event()
    calm.override["read_rx"] = lambda _: cancel.set() or 0
    calm.log.clear()
    with pytest.raises(ScanAborted, match="every output is at zero"):
        console.play(scan(console), cancel)
    assert "run_seq" not in calm.log


def test_other_major_version_is_refused(calm):
    message = r"runs version 2\.0\.0; this program speaks version 1\.0\.5\.\n.*Install"
    with (
        ScriptedServer(handler=lambda r: calm(r).replace(b"\xce\x00\x01\x00\x05", b"\xce\x00\x02\x00\x00")) as other,
        pytest.raises(ConnectError, match=message),
    ):
        console_for(other).open()
    assert calm.directs == []


def test_unknown_kind_is_refused_before_anything_is_sent(console, calm):
    calm.kind = "prototype"
    with pytest.raises(ProtocolError, match="calls itself 'prototype'"):
        console.open()
    assert calm.directs == []


def _silent(client):
    client.recv(10_000)
    client.recv(1)


def _http(client):
    client.recv(10_000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def _closes(client):
    client.recv(10_000)


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (_silent, ConnectError, r"does not answer as a MaRCoS server.*\n.*one at a time"),
        (_http, ProtocolError, r"not that of a MaRCoS server: it begins with b'HTTP"),
        (_closes, ConnectError, r"closed the connection instead of replying"),
    ],
)
def test_ports_that_are_no_console_are_told_apart_in_time(raw, kind, message):
    with ScriptedServer(raw=raw) as server:
        began = time.monotonic()
        with pytest.raises(kind, match=message):
            console_for(server).open()
        assert time.monotonic() - began < 3


def test_another_thread_may_not_touch_it(console):
    console.open()
    caught = []

    def other():
        for call in (console.open, lambda: console.play(scan(console), Event())):
            try:
                call()
            except DeviceError as error:
                caught.append(error)
        caught.append(console.make_safe())
        console.close()

    thread = threading.Thread(target=other, name="window")
    thread.start()
    thread.join()
    assert [type(c) for c in caught[:2]] == [WrongState, WrongState]
    assert "belongs to thread 'MainThread'; 'window' may not" in caught[0].problem
    assert not caught[2].verified
    assert console.make_safe().verified, "the other thread's close did not cut the link"


def test_close_sets_the_console_free_for_another_thread(console):
    console.open()
    console.close()
    seen = []

    def other():
        seen.append(console.open())
        console.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen[0].kind == "hardware"


def test_close_zeroes_and_never_raises(server, calm):
    console = console_for(server)
    console.close()
    console.open()
    calm.directs.clear()
    console.close()
    assert set(calm.directs) >= ZEROED
    console.open()
    server.drop()
    console.close()


def test_failed_open_leaves_no_connection_behind(console, calm):
    calm.override["halt_and_reset"] = False
    with pytest.raises(DeviceFault, match="does not halt"):
        console.open()
    calm.override.clear()
    assert console.open().kind == "hardware"


def test_wrong_clock_or_divider_is_a_config_error():
    def make(clock_hz, divider):
        link = ConsoleLink(family="marcos", host="h", port=1, clock_hz=clock_hz, segment_gap_s=0.01)
        return MarcosConsole(link, gradients(GradientBoard.GPA_FHDO, divider))

    with pytest.raises(ConfigError, match=r"125 MHz; a MaRCoS console runs at 122\.88 MHz"):
        make(125e6, 4)
    with pytest.raises(ConfigError, match=r"SPI divider 1 of gpa-fhdo.*\n.*spi_divider"):
        make(122.88e6, 1)


def test_only_programs_of_this_driver_are_played(console):
    console.open()
    with pytest.raises(TypeError, match="what prepare"):
        console.play(object(), Event())
    with pytest.raises(ValueError, match="another gradient board or divider"):
        console.play(encode_segment(segment({}), 2e6, gradients(GradientBoard.OCRA1, 7)), Event())


def test_console_held_by_another_client_is_told_in_time(server):
    message = r"does not answer.*\n.*Close other programs"
    with socket.create_connection(("127.0.0.1", server.port)), pytest.raises(ConnectError, match=message):
        console_for(server).open()
