# SPDX-License-Identifier: MIT
"""What every ``Console`` does, whatever answers at the other end. Public methods only.

The far ends: the virtual console; and the original server with simulated hardware when ISOCENTER_MARCOS_ADDRESS
(host:port) names one. That one is opt-in: it cannot be installed by a package manager.
"""

import os
import threading
from threading import Event

import numpy as np
import pytest
from marcos_tables import gradients, random_segment, segment, track

from isocenter.devices.marcos import MarcosConsole
from isocenter.devices.protocols import Console, ConsoleIdentity
from isocenter.domain.errors import CompileError, ScanAborted, WrongState
from isocenter.domain.scanner import ConsoleLink, GradientBoard
from isocenter.virtual.console.server import VirtualConsoleServer

ADDRESS = os.environ.get("ISOCENTER_MARCOS_ADDRESS", "")
LO_HZ = 2.0e6


@pytest.fixture(params=["virtual", *(["marcos-server"] if ADDRESS else [])])
def address(request):
    if request.param == "marcos-server":
        host, port = ADDRESS.rsplit(":", 1)
        yield host, int(port)
    else:
        server = VirtualConsoleServer()
        server.start()
        yield server.address
        server.stop()


@pytest.fixture(params=[(GradientBoard.GPA_FHDO, 4), (GradientBoard.OCRA1, 7)], ids=["gpa-fhdo", "ocra1"])
def system(request):
    return gradients(*request.param)


@pytest.fixture
def console(address, system):
    link = ConsoleLink(family="marcos", host=address[0], port=address[1], clock_hz=122.88e6, segment_gap_s=0.01)
    made: Console = MarcosConsole(link, system)
    yield made
    made.close()


def shot(windows=((5000, 100, 10), (8000, 123, 20), (12_000, 33, 7), (13_000, 100, 50)), amplitude=16_384):
    tracks = {
        "tx0_i": track([4000, 30_000], [amplitude, 0]),
        "tx_gate": track([2500, 31_000], [1, 0]),
        "grad_vx": track([3000, 6000], [1000, 0]),
    }
    return segment(tracks, windows)


def test_identity_names_family_version_and_kind(console):
    identity = console.open()
    assert isinstance(identity, ConsoleIdentity)
    assert identity.family
    assert identity.version
    assert identity.kind in {"virtual", "simulation"}
    assert not identity.is_real


def test_segment_delivers_its_samples_for_several_decimations(console):
    console.open()
    prepared = console.prepare(shot(), LO_HZ)
    run = console.play(prepared, Event())
    assert prepared.n_raw == 87
    assert run.samples.shape == (87,)
    assert run.samples.dtype == np.complex64
    assert run.messages == ()


def test_loopback_returns_the_transmitted_amplitude(console):
    console.open()
    full = console.play(console.prepare(shot(((6000, 64, 5),), 32_767), LO_HZ), Event()).samples
    half = console.play(console.prepare(shot(((6000, 64, 5),), -16_384), LO_HZ), Event()).samples
    np.testing.assert_allclose(full, 1.0, atol=1e-3)
    np.testing.assert_allclose(half, -0.5, atol=1e-3)


def test_runs_repeat_without_complaint(console):
    console.open()
    prepared = console.prepare(shot(), LO_HZ)
    runs = [console.play(prepared, Event()) for _ in range(4)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.samples, runs[0].samples)
        assert run.messages == ()


def test_play_opens_by_itself(console):
    assert len(console.play(console.prepare(shot(), LO_HZ), Event()).samples) == 87


def test_segment_without_readouts_is_played(console):
    console.open()
    run = console.play(console.prepare(segment({"leds": track([3000, 4000], [255, 0])}), LO_HZ), Event())
    assert len(run.samples) == 0
    assert run.messages == ()


def test_random_tables_play_without_a_complaint(console, system):
    console.open()
    n_played = 0
    for seed in range(25):
        seg = random_segment(np.random.default_rng(seed), system)
        try:
            prepared = console.prepare(seg, LO_HZ)
        except CompileError:
            continue
        run = console.play(prepared, Event())
        assert len(run.samples) == prepared.n_raw
        assert run.messages == ()
        n_played += 1
    assert n_played > 20


def test_long_program_is_refilled_while_it_runs(console):
    console.open()
    n, step = 40_000, 60
    values = np.resize([5000, -5000], n)
    values[-1] = 0
    ticks = 3000 + step * np.arange(n)
    seg = segment({"tx0_i": track(ticks, values), "tx0_q": track(ticks, values)}, ((3000 + step * n + 100, 100, 10),))
    prepared = console.prepare(seg, LO_HZ)
    assert len(prepared.words) > 65_536
    assert len(console.play(prepared, Event()).samples) == 10


def test_many_samples_all_arrive(console):
    console.open()
    windows = tuple((3000 + k * 60_000, 40, 1000) for k in range(20))
    assert len(console.play(console.prepare(segment({}, windows), LO_HZ), Event()).samples) == 20_000


def test_stop_before_a_segment_plays_nothing_and_leaves_zero(console):
    console.open()
    cancel = Event()
    cancel.set()
    with pytest.raises(ScanAborted, match="every output is at zero"):
        console.play(console.prepare(shot(), LO_HZ), cancel)
    assert len(console.play(console.prepare(shot(), LO_HZ), Event()).samples) == 87


def test_stop_during_a_segment_ends_with_verified_zeros(console):
    console.open()
    prepared = console.prepare(shot(((5000, 4000, 60),)), LO_HZ)
    cancel = Event()
    presser = threading.Timer(0.005, cancel.set)  # before, while or after a run: the outcome must hold for all

    def play_until_stopped():
        for _ in range(1000):
            console.play(prepared, cancel)

    presser.start()
    with pytest.raises(ScanAborted, match="every output is at zero"):
        play_until_stopped()
    presser.join()
    assert console.make_safe().verified


def test_make_safe_is_verified_at_any_time(console):
    assert console.make_safe().verified, "even before open"
    console.open()
    assert console.make_safe().verified
    console.play(console.prepare(shot(), LO_HZ), Event())
    assert console.make_safe().verified


def test_close_and_open_again(console):
    for _ in range(3):
        console.open()
        assert len(console.play(console.prepare(shot(), LO_HZ), Event()).samples) == 87
        console.close()


def test_other_threads_are_refused(console):
    console.open()
    caught = []

    def other():
        try:
            console.play(console.prepare(shot(), LO_HZ), Event())
        except WrongState as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_unplayable_segment_is_refused_before_anything_is_sent(console):
    with pytest.raises(CompileError, match="still 3 when the segment ends"):
        console.prepare(segment({"grad_vx": track([3000], [3])}), LO_HZ)
