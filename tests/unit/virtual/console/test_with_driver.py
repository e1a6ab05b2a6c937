# SPDX-License-Identifier: MIT
"""The real driver on the virtual console: what the table says is at the pins, what the model says is what arrives."""

import importlib.util
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from isocenter.devices.marcos import MarcosConsole
from isocenter.domain.errors import CompileError, DeviceError, ScanIncomplete
from isocenter.domain.receiver import CIC_SETTLING, raw_sample_ticks
from isocenter.domain.scanner import ConsoleLink, GradientBoard
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.server import VirtualConsoleServer

_support = Path(__file__).parents[2] / "devices" / "support" / "marcos_tables.py"
_spec = importlib.util.spec_from_file_location("marcos_tables", _support)
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)

OFFSET = 20  # cycles from a tick of the table to the pin
LO_HZ = 2.0e6
PINS = ("tx0_i", "tx0_q", "tx_gate", "rx_gate", "trig_out", "leds", "grad_vx", "grad_vy", "grad_vz")


class Chirp:
    """A signal that tells the time: its phase is a known function of the tick."""

    def __init__(self):
        self.playbacks = []

    def play(self, playback):
        self.playbacks.append(playback)
        return [chirp(window.sample_ticks) for window in playback.windows]

    def reset(self):
        pass


def chirp(ticks):
    return (0.25 * np.exp(2j * np.pi * 1e-4 * np.asarray(ticks))).astype(np.complex64)


def console_on(server, system):
    host, port = server.address
    return MarcosConsole(ConsoleLink(family="marcos", host=host, port=port, clock_hz=122.88e6, segment_gap_s=0.02), system)


def changes(ticks, values):
    """Changes only, as a list of pairs; what starts at zero and stays there is empty."""
    kept = np.flatnonzero(np.diff(values, prepend=0))
    return list(zip(np.asarray(ticks)[kept].tolist(), np.asarray(values)[kept].tolist(), strict=True))


@pytest.mark.parametrize(("board", "divider"), [(GradientBoard.GPA_FHDO, 4), (GradientBoard.OCRA1, 7)])
def test_pins_do_what_the_table_says(board, divider):
    system, model, rng = tables.gradients(board, divider), Chirp(), np.random.default_rng(5)
    n_played = n_events = 0
    with VirtualConsoleServer(signal_model=model, board=board) as server:
        console = console_on(server, system)
        console.open()
        while n_played < 60:
            segment = tables.random_segment(rng, system)
            try:
                prepared = console.prepare(segment, LO_HZ)
            except CompileError:
                continue  # more than a console can do; the encoder's own tests look at those
            run = console.play(prepared, Event())
            assert run.messages == ()
            n_played += 1
            playback = model.playbacks[-1]
            for name in PINS:
                track = segment.tracks.get(name)
                expected = changes(track.ticks + OFFSET, track.values) if track is not None else []
                found = changes(playback.tracks[name].ticks, playback.tracks[name].values)
                assert found == expected, name
                n_events += len(found)
            assert [window.tick - OFFSET for window in playback.windows] == segment.readouts.window_tick.tolist()
            assert [len(window.sample_ticks) for window in playback.windows] == segment.readouts.n_raw.tolist()
            assert playback.lo_hz[-1] == pytest.approx(LO_HZ, abs=0.06)
        console.close()
    assert n_events > 500


def test_the_oscillator_is_set_back_in_the_first_segment_and_runs_on_through_the_others():
    system, model = tables.gradients(), Chirp()
    pulse = {"tx0_i": tables.track([4000, 8000], [16_384, 0]), "tx_gate": tables.track([3500, 8100], [1, 0])}
    segments = [tables.segment(pulse, [(9000, 100, 10)], index=index) for index in (0, 1, 2)]
    with VirtualConsoleServer(signal_model=model) as server:
        console = console_on(server, system)
        console.open()
        for segment in segments:
            console.play(console.prepare(segment, LO_HZ), Event())
        console.close()
    assert [len(playback.lo_reset_ticks) for playback in model.playbacks] == [1, 0, 0]
    assert model.playbacks[0].lo_hz[0] == 0.0, "nothing was written since power-up"
    for later in model.playbacks[1:]:
        assert later.lo_hz == pytest.approx(LO_HZ, abs=0.06), "from before the run to its end"


def test_samples_carry_the_time_of_the_domain():
    system, model = tables.gradients(), Chirp()
    windows = [(5000, 100, 40), (12_000, 123, 64), (30_000, 600, 32)]
    segment = tables.segment({}, windows)
    with VirtualConsoleServer(signal_model=model) as server:
        console = console_on(server, system)
        console.open()
        samples = console.play(console.prepare(segment, LO_HZ), Event()).samples
        console.close()
    parts = np.split(np.ravel(samples), np.cumsum([n for _, _, n in windows])[:-1])
    for (tick, rate, n), part in zip(windows, parts, strict=True):
        expected = chirp(raw_sample_ticks(tick + OFFSET, rate, n))
        ratio = (part / expected)[CIC_SETTLING:]
        assert np.abs(np.angle(ratio)).max() < 1e-4, "not a tick off"
        assert np.abs(ratio) == pytest.approx(np.sinc(1e-4 * rate) ** 6, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"drops_link": True}, DeviceError),
        ({"cuts_reply": True}, DeviceError),
        ({"garbage": b"\xc1\xc1\xc1"}, DeviceError),
        ({"error": "output buffers overflowed during sequence: 0x00000020"}, DeviceError),
        ({"n_missing_samples": 7}, (ScanIncomplete, DeviceError)),
    ],
)
def test_driver_reports_each_fault_and_comes_back(options, error):
    system = tables.gradients()
    with VirtualConsoleServer(signal_model=Chirp(), faults=Faults(at_run=1, **options)) as server:
        console = console_on(server, system)
        console.open()
        prepared = console.prepare(tables.segment({}, [(5000, 100, 40)]), LO_HZ)
        with pytest.raises(error) as caught:
            console.play(prepared, Event())
        assert caught.value.remedy
        assert len(np.ravel(console.play(prepared, Event()).samples)) == 40
        assert console.make_safe().verified
        console.close()
