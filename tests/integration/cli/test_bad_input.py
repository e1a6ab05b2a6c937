# SPDX-License-Identifier: MIT
"""Whatever is typed, a person reads what is wrong and what to do, and finds nothing half-written."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

GOLDEN = Path(__file__).parents[2] / "golden"
COMMANDS = ["demo", "doctor", "scan", "compile", "reconstruct", "export", "virtual-scanner", "sequences"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_every_command_teaches(command, isocenter) -> None:
    result = isocenter(*command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Usage: isocenter" in result.out
    assert "\\b" not in result.out
    if "Examples" in result.out:
        assert re.search(r"^ *Examples?:\n +isocenter ", result.out, re.MULTILINE), "one example a line"
    for line in re.findall(r"^  (--[a-z-]+)(.*)$", result.out, re.MULTILINE):
        assert len(line[1].strip()) > 0, line


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--bad"],
        ["compile"],
        ["compile", "fid", "--out", ""],
        ["compile", "fid", "--out", "o", "--orientation", "oblique"],
        ["compile", "fid", "--out", "o", "--centre", "nan,0,0"],
        ["compile", "fid", "--out", "o", "--centre", "1,2"],
        ["compile", "fid", "--out", "o", "--tilt", "inf,0"],
        ["scan", "fid", "--virtual", "--out", "o", "--spins", "-4"],
        ["scan", "fid", "--virtual", "--out", "o", "--spins", "1000000000000"],
        ["scan", "fid", "--virtual", "--out", "o", "--seed", "-1"],
        ["scan", "fid", "--port", "99999", "--out", "o"],
        ["virtual-scanner", "--port", "-1"],
        ["virtual-scanner", "--time-scale", "nan"],
    ],
)
def test_mistyped_commands_exit_with_2(arguments, isocenter, tmp_path: Path) -> None:
    assert "--help" in isocenter(*arguments).refused(2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "no sequence.*'nosuch'.*tse_3d"),
        (["missing.seq"], "no file 'missing.seq'"),
        (["fid", "--scanner", "nosuch"], "no scanner 'nosuch'.*osii-one"),
        (["fid", "-p", "x=1"], "no parameter 'x'.*tr_s"),
        (["fid", "-p", "tr_s"], "does not set a parameter.*tr_s=500ms"),
        (["fid", "-p", "tr_s=abc"], "cannot be abc.*10 to 20000 ms"),
        (["fid", "-p", "tr_s=-1"], "cannot be -1000 ms.*10 to 20000 ms"),
        (["fid", "-p", "tr_s=nan"], "cannot be nan ms.*10 to 20000 ms"),
        (["fid", "-p", "tr_s=1e400"], "cannot be inf ms.*10 to 20000 ms"),
        (["fid", "-p", "tr_s=500"], "cannot be 500000 ms.*tr_s=10ms"),
        (["fid", "-p", "tr_s=1kg"], "not measured in 'kg'.*s or ms or us"),
        (["fid", "-p", "tr_s=1Hz"], "not measured in 'Hz'"),
        (["tse_3d", "-p", "n_read=3.5"], "cannot be 3.5.*whole number"),
        (["tse_3d", "-p", "order=spiral"], "cannot be spiral.*centre-out"),
        (["tse_3d", "-p", "tr_s=10ms"], "too short.*Set TR to"),
        (["tse_3d", "--centre", "1e9,0,0"], "1e\\+09 mm from isocenter.*within 150 mm"),
        (["tse_3d", "--centre", "1e308,1e308,0"], "from isocenter"),
        (["tse_3d", "--tilt", "1e9,0"], "tilt of 1e\\+09°.*at most 90°"),
    ],
)
def test_wrong_names_values_and_units(arguments, words, isocenter, tmp_path: Path) -> None:
    said = isocenter("compile", *arguments, "--out", "o").refused()
    assert re.search(words, said, re.DOTALL), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a Pulseq file"),
        (bytes(range(256)) * 9, "not a text file"),
        (b"[VERSION]\nmajor 3\nminor 0\nrevision 0\n", "version 3.0.0.*1.2 to 1.5"),
        ((GOLDEN / "pulseq/pypulseq/seq6.seq").read_bytes()[:400], "line 22, section .BLOCKS."),
    ],
)
def test_wrong_sequence_files(content, words, isocenter, tmp_path: Path) -> None:
    path = tmp_path / "größe 1.seq"
    path.write_bytes(content)
    assert re.search(words, isocenter("compile", path, "--out", tmp_path / "o").refused())
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[magnet]", "[magnet", "not valid TOML"),
        ("larmor_hz", "larmor", "magnet.larmor"),
        ("bore_m = {", "bore_m = { x = 1, ", "bore_m"),
        ("clock_hz = { value = 122.88e6", "clock_hz = { value = -1", "clock_hz"),
    ],
)
def test_wrong_hardware_files(old, new, words, isocenter, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "hardware_configs/osii-one.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    said = isocenter("compile", "fid", "--scanner", path, "--out", tmp_path / "o").refused()
    assert "mine.toml" in said
    assert words in said
    assert not (tmp_path / "o").exists()


def _http(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\noops")
    client.close()


def _silent(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def _hangs_up(client: socket.socket) -> None:
    client.close()


def _garbage(client: socket.socket) -> None:
    client.recv(10)
    client.sendall(bytes(range(255, -1, -1)) * 100)
    client.close()


@contextmanager
def _listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def loop() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                try:
                    with client:
                        answer(client)
                except OSError:
                    pass

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_http, "not that of a MaRCoS server.*HTTP"),
        (_silent, "does not answer as a MaRCoS server"),
        (_hangs_up, "link to the console.*broke|closed the connection"),
        (_garbage, "not that of a MaRCoS server"),
    ],
)
def test_wrong_answers_at_the_port(answer, words, isocenter, tmp_path: Path) -> None:
    with _listening(answer) as port:
        said = isocenter("scan", "fid", "--host", "127.0.0.1", "--port", port, "--out", "o").refused()
    assert re.search(words, said), said
    assert list(tmp_path.iterdir()) == []


def test_a_closed_port_and_an_unknown_host(isocenter, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    closed = isocenter("scan", "fid", "--host", "127.0.0.1", "--port", port, "--out", "o").refused()
    assert f"No console answers at 127.0.0.1:{port}" in closed
    assert "switched on" in closed
    assert "No console answers" in isocenter("scan", "fid", "--host", "nosuch.invalid", "--out", "o").refused()
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told_by_the_virtual_scanner(isocenter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = isocenter("virtual-scanner", "--port", server.getsockname()[1]).refused()
    assert re.search(r"already in use\).*--port", said, re.DOTALL), said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "nosuch"], "no scenario called 'nosuch'.*osii-one-brain"),
        (["--phantom", "nosuch"], "no phantom called 'nosuch'.*head"),
        (["--frequency", "nan"], "nan MHz is no frequency"),
        (["--frequency", "2.5"], "500 kHz from the magnet"),
        (["--patient-id", "x" * 100, "--patient-name", "A^B"], "100 characters; 64 fit"),
        (["--patient-id", "a\\b", "--patient-name", "A^B"], "does not allow"),
        (["--patient-id", "a"], "family name is missing"),
        (["--patient-id", "a", "--patient-name", "A=B"], "'='"),
        (["--patient-id", "a", "--patient-name", "A\x7fB"], "family name|patient's name"),
        (["--body-part", "head$$"], "not a body part"),
    ],
)
def test_wrong_orders_are_refused_before_anything_is_measured(arguments, words, isocenter, tmp_path: Path) -> None:
    said = isocenter("scan", "fid", "--virtual", *arguments, "--out", "o").refused()
    assert re.search(words, said, re.DOTALL), said
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written(isocenter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in isocenter("compile", "fid", "--out", "file").refused(2)
    assert "cannot be written" in isocenter("compile", "fid", "--out", "file/under").refused()
    assert "cannot be written" in isocenter("compile", "fid", "--out", "/proc/isocenter").refused()
    assert (tmp_path / "file").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_json_is_all_there_is_on_standard_output(isocenter, tmp_path: Path) -> None:
    names = [entry["name"] for entry in json.loads(isocenter("sequences", "--json").out)]
    assert {"noise", "fid", "spin_echo_2d", "gre_3d", "tse_3d"} <= set(names)
    assert json.loads(isocenter("sequences", "tse_3d", "--json").out)["parameters"]
    compiled = isocenter("compile", "fid", "--out", "o ö", "--json")
    summary = json.loads(compiled.out)
    for item in summary["segments"]:
        assert (tmp_path / "o ö" / item["file"]).stat().st_size == 4 * item["words"]
    assert os.environ.get("ISOCENTER_DATA") is None or json.loads(isocenter("doctor", "--json").out)
