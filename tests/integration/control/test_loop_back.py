# SPDX-License-Identifier: MIT
"""A cable from the console's output to its input: which way the phase turns is told, kept, and mended by one named key."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from isocenter.acquisition.control.guard import ScanGuard
from isocenter.app.loop_back import PULSES, attenuator_db, play_loop_back
from isocenter.app.loop_back_report import (
    SEEN,
    direction_of,
    judge_loop_back,
    keep_direction,
)
from isocenter.app.self_test import self_test
from isocenter.app.service import Health
from isocenter.app.session import ScannerSession
from isocenter.app.transmit_phase import DIRECTION, confirmation
from isocenter.cli.doctor import command
from isocenter.config.hardware import load_scanner
from isocenter.config.paths import shipped_dir
from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import WrongState
from isocenter.storage.calibrations import CalibrationStore
from isocenter.virtual.console.cable import CableModel
from isocenter.virtual.console.server import VirtualConsoleServer

MIRRORED = 1  # what the mixer of such a bitstream makes of the phase of the words; the public one makes -1
RIGHT = -1


@contextmanager
def board(model, mixer_sign=RIGHT, name="osii-one", kind="virtual"):
    scanner = load_scanner(name)
    with VirtualConsoleServer(signal_model=model, board=scanner.gradients.board, kind=kind) as server:
        server.machine.mixer_sign = mixer_sign
        host, port = server.address
        yield server, replace(scanner, console=replace(scanner.console, host=host, port=port))


def heard(model, mixer_sign=RIGHT, name="osii-one", tx_phase_sign=1):
    with board(model, mixer_sign, name) as (_, there):
        scanner = replace(there, console=replace(there.console, tx_phase_sign=tx_phase_sign))
        console = MarcosConsole(scanner.console, scanner.gradients)
        console.open()
        try:
            return scanner, play_loop_back(scanner, console)
        finally:
            console.close()


def judged(scanner, arrivals):
    return {finding.what: finding for finding in judge_loop_back(arrivals, scanner)}


def doctor(server, folder, hardware, *options):
    host, port = server.address
    where = ["--scanner", str(hardware), "--host", host, "--port", str(port), "--json"]
    environment = {"ISOCENTER_DATA": str(folder), "QT_QPA_PLATFORM": "offscreen"}
    done = CliRunner().invoke(command, [*where, *options], env=environment)
    return done.exit_code, {item["what"]: item for item in json.loads(done.stdout)}


@pytest.fixture
def hardware(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((shipped_dir("hardware_configs") / "osii-one.toml").read_text(encoding="utf-8"))
    return path


LOOP = ("--loop-back", "--nobody-inside", "--cable-connected", "--person", "A. Service")


def test_a_board_like_the_public_design_is_confirmed_and_stays_so(tmp_path, hardware):
    with board(CableModel(noise=1e-4)) as (server, _):
        code, before = doctor(server, tmp_path / "data", hardware, "--console")
        assert (code, before[DIRECTION]["health"]) == (0, "unknown")
        assert "not confirmed" in before[DIRECTION]["text"]
        code, found = doctor(server, tmp_path / "data", hardware, *LOOP)
        assert code == 0
        assert [item["health"] for what, item in found.items() if what.startswith("Loop-back")] == ["good"] * 4
        assert found[SEEN]["text"].startswith("right: +20 kHz came back at +20.0 kHz")
        _, after = doctor(server, tmp_path / "data", hardware, "--console")
        assert after[DIRECTION]["health"] == "good"
        assert "by A. Service" in after[DIRECTION]["text"]
        assert not any(server.machine.cores.codes), "every gradient is at zero afterwards"
        assert server.machine.buffers[15] & 1 == 0, "the amplifier was never unblanked and is not now"
    real = confirmation(load_scanner(hardware), tmp_path / "data", is_real=True)
    assert real.health is Health.UNKNOWN, "what a simulated console says is nothing to the real one of the same name"


def test_a_mirrored_bitstream_is_named_and_one_key_of_the_hardware_file_mends_it(tmp_path, hardware):
    with board(CableModel(noise=1e-4), MIRRORED) as (server, _):
        code, found = doctor(server, tmp_path / "data", hardware, *LOOP)
        assert (code, found[SEEN]["health"]) == (1, "bad")
        assert "+20 kHz came back at -20.0 kHz" in found[SEEN]["text"]
        assert "+90° at -90.0°" in found[SEEN]["text"]
        assert found[DIRECTION]["health"] == "bad"
        code, later = doctor(server, tmp_path / "data", hardware, "--console")
        assert (code, later[DIRECTION]["health"]) == (1, "bad"), "it is not forgotten while the file is wrong"
        entry = found[SEEN]["remedy"].partition("Write ")[2].partition(" under [console]")[0]
        hardware.write_text(hardware.read_text().replace("[console]\n", f"[console]\n{entry}\n"))
        code, later = doctor(server, tmp_path / "data", hardware, "--console")
        assert (code, later[DIRECTION]["health"]) == (0, "good")
        code, found = doctor(server, tmp_path / "data", hardware, *LOOP)
        assert (code, found[SEEN]["health"], found[DIRECTION]["health"]) == (0, "good", "good")
        assert "tx_phase_sign -1" in found[DIRECTION]["text"]


@pytest.mark.parametrize("mixer_sign", [RIGHT, MIRRORED])
@pytest.mark.parametrize("tx_phase_sign", [1, -1])
def test_a_console_that_hears_its_own_words_tells_the_direction_too(mixer_sign, tx_phase_sign):
    scanner, arrivals = heard(None, mixer_sign, tx_phase_sign=tx_phase_sign)
    assert direction_of(arrivals) == -mixer_sign * tx_phase_sign
    assert judged(scanner, arrivals)["Loop-back: delay of reception"].health is Health.BAD, "there is no filter in that way"


@pytest.mark.parametrize("name", ["osii-mini", "physio-72mT"])
def test_every_shipped_scanner_can_be_looped_back(name):
    scanner, arrivals = heard(CableModel(noise=3e-5), name=name)
    assert {finding.health for finding in judge_loop_back(arrivals, scanner)} == {Health.GOOD}
    shares = [arrival.share for arrival in arrivals]
    assert shares == pytest.approx([pulse.share for pulse in PULSES], rel=2e-3)
    assert max(shares) < 0.11, "never more than -19 dB"


@pytest.mark.parametrize(
    ("model", "what", "health", "says"),
    [
        (CableModel(compression=3.0), "gain", Health.WARNING, "within 2"),
        (CableModel(compression=20.0), "gain", Health.BAD, "within 1"),
        (CableModel(delay_ticks=307), "delay of reception", Health.WARNING, "4.00"),
        (CableModel(delay_ticks=920), "delay of reception", Health.BAD, "6.0"),
        (CableModel(image=0.03j), "mirror image", Health.WARNING, "-30 dB"),
        (CableModel(image=0.1), "mirror image", Health.BAD, "-20 dB"),
        (CableModel(noise=3e-3), "mirror image", Health.UNKNOWN, "where the noise begins"),
        (CableModel(image=1.0), "direction of the phase", Health.BAD, "neither right nor mirrored"),
        (CableModel(image=-1.0), "gain", Health.UNKNOWN, "not judged"),
        (CableModel(gain=1e-6, noise=1e-4), "direction of the phase", Health.UNKNOWN, "times the noise"),
        (CableModel(gain=20.0), "direction of the phase", Health.WARNING, "clip"),
    ],
)
def test_what_is_wrong_with_the_way_is_named(model, what, health, says):
    finding = judged(*heard(model))[f"Loop-back: {what}"]
    assert (finding.health, finding.remedy != "") == (health, True), finding
    assert says in finding.text


def test_an_image_or_a_delay_does_not_hide_the_direction():
    assert direction_of(heard(CableModel(image=0.2, delay_ticks=700, noise=1e-3))[1]) == 1
    assert direction_of(heard(CableModel(image=0.2, delay_ticks=700, noise=1e-3), MIRRORED)[1]) == -1


def test_a_loop_back_that_contradicts_itself_takes_the_confirmation_away_and_silence_does_not(tmp_path):
    scanner, right = heard(CableModel())
    keep_direction(scanner, tmp_path, right, "A. Service", is_real=True)
    assert confirmation(scanner, tmp_path, is_real=True).health is Health.GOOD
    _, silent = heard(CableModel(gain=0.0, noise=1e-4))
    keep_direction(scanner, tmp_path, silent, "B. Service", is_real=True)
    assert confirmation(scanner, tmp_path, is_real=True).health is Health.GOOD
    _, both = heard(CableModel(image=1.0))
    keep_direction(scanner, tmp_path, both, "B. Service", is_real=True)
    found = confirmation(scanner, tmp_path, is_real=True)
    assert (found.health, "not confirmed" in found.text) == (Health.UNKNOWN, True)
    assert len(CalibrationStore(tmp_path, scanner.name).values(Quantity.TX_PHASE_SIGN)) == 1


def test_simulated_hardware_without_mixers_says_nothing(tmp_path):
    with board(None, kind="simulation") as (_, scanner):
        found = {finding.what: finding for finding in self_test(scanner, tmp_path, cable_by="A. Service")}
    assert found[SEEN].health is Health.UNKNOWN
    assert "around its mixers" in found[SEEN].text
    assert confirmation(scanner, tmp_path, is_real=False).health is Health.UNKNOWN


def test_a_weak_pulse_that_clips_keeps_the_stronger_ones_back(tmp_path):
    with board(CableModel(gain=200.0)) as (server, scanner):
        found = {finding.what: finding for finding in self_test(scanner, tmp_path, cable_by="A. Service")}
        assert server.n_runs == 1
    assert found[SEEN].health is Health.UNKNOWN
    assert "40 dB" in found[SEEN].remedy


def test_nothing_is_played_before_a_person_has_said_that_the_cable_is_there(tmp_path):
    with board(CableModel()) as (server, _):
        host, port = server.address
        where = ["--host", host, "--port", str(port), "--loop-back", "--nobody-inside"]
        asked = CliRunner().invoke(command, where, input="n\n", env={"ISOCENTER_DATA": str(tmp_path)})
        assert (asked.exit_code, server.n_runs) == (1, 0)
    assert "through an attenuator of 40 dB" in asked.output
    assert "RF amplifier and the receive coil off" in asked.output


@pytest.mark.parametrize(("volts", "db"), [(float("nan"), 40), (13.788e-3, 40), (0.25, 20), (1e-3, 60), (2.0, 20)])
def test_the_attenuator_follows_from_the_receivers_full_scale(volts, db):
    scanner = load_scanner("osii-one")
    assert attenuator_db(replace(scanner, receiver=replace(scanner.receiver, volts_per_unit=volts))) == db


def test_nobody_is_scanned_while_the_file_contradicts_the_loop_back_and_the_prescan_still_is(tmp_path):
    scanner, mirrored = heard(CableModel(), MIRRORED)
    keep_direction(scanner, tmp_path, mirrored, "A. Service", is_real=False)
    with board(None, MIRRORED) as (_, there):
        session = ScannerSession(there, is_virtual=True, pace="none")
        session.control.begin(tmp_path)
        try:
            session.connect()
            guard = ScanGuard(session.supervisor, None, lambda: None)
            with pytest.raises(WrongState, match=r"opposite place.*blocked.*asks for tx_phase_sign -1[^$]*hardware file"):
                guard.require()
            ScanGuard(session.supervisor, None, lambda: None, is_clinical=False).require()
            session.stop()
            session.make_ready("A. Person")
            with pytest.raises(WrongState, match="opposite place"):
                guard.require()
        finally:
            session.close()
        keep_direction(
            replace(scanner, console=there.console), tmp_path, heard(CableModel())[1], "A. Service", is_real=False
        )
        session = ScannerSession(there, is_virtual=True, pace="none")
        session.control.begin(tmp_path)
        try:
            session.connect()
            ScanGuard(session.supervisor, None, lambda: None).require()
        finally:
            session.close()
