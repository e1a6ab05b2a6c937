# SPDX-License-Identifier: MIT
"""What the encoder's words do at the pins of a model of the hardware, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import loop_encoder
import marga_model
import numpy as np
import pytest
from marcos_tables import expected_pins, gradients, random_segment, segment, track, with_sensor

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.disassemble import disassemble
from isocenter.devices.marcos.encode import encode_segment
from isocenter.devices.marcos.receive import sample_gains
from isocenter.domain.errors import CompileError
from isocenter.domain.scanner import GradientBoard

FHDO, OCRA1 = gradients(), gradients(GradientBoard.OCRA1, 7)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "marcos" / "marcos.json").read_text())
LO_HZ = 2.004e6


def encode(seg, system=FHDO):
    return encode_segment(seg, LO_HZ, system)


def pins_of(program):
    return sorted(p for p in marga_model.play(program.words).pins if not p[1].startswith("lo0"))


def test_the_oscillator_starts_at_phase_zero_in_the_first_segment_and_then_runs_on():
    """What is left of the magnetisation after the pause meets the next pulse with the phase it had."""
    tracks, step = {"tx0_i": track([4000, 30_000], [16_384, 0])}, isa.lo_step(LO_HZ)
    first, later = (marga_model.play(encode(replace(segment(tracks), index=index)).words).pins for index in (0, 7))
    assert [pin[2] for pin in sorted(first) if pin[1] == "lo0_msb"] == [step >> 16 | isa.LO_HOLD_BIT, step >> 16]
    for name, value in (("lo0_msb", step >> 16), ("lo0_lsb", step & 0xFFFF)):
        assert {pin[2] for pin in later if pin[1] == name} == {value}, "it never stops, and is never held"


@pytest.mark.parametrize("degrees", [30.0, 90.0, -160.0])
@pytest.mark.parametrize("offset_hz", [0.0, 20e3, -7e3])
def test_a_pulse_is_heard_with_the_phase_and_frequency_that_the_table_gives_it(degrees, offset_hz):
    """Transmitter and receiver of the console multiply by the same (cos, -sin); a wrong sign takes the slice opposite."""
    ticks = np.arange(3000, 15_289, 8)
    wanted = 20_000 * np.exp(1j * (np.radians(degrees) + 2 * np.pi * offset_hz / isa.CLOCK_HZ * (ticks - 3000)))
    wanted[-1] = 0
    parts = {"tx0_i": np.rint(wanted.real), "tx0_q": np.rint(wanted.imag)}
    pins = marga_model.play(encode(segment({n: track(ticks, v.astype(int)) for n, v in parts.items()})).words).pins
    at = np.arange(3000, 15_280) + isa.PIN_CYCLE_OFFSET
    codes = []
    for name in parts:
        cycles, values = np.array([(0, 0), *((c, v) for c, n, v in sorted(pins) if n == name)]).T
        codes.append(values[np.searchsorted(cycles, at, side="right") - 1].astype(np.uint16).view(np.int16))
    mixer = np.exp(-2j * np.pi * LO_HZ / isa.CLOCK_HZ * at)
    at_the_dac = ((codes[0] + 1j * codes[1]) * mixer).real
    heard = (at_the_dac * mixer).reshape(-1, 1228).mean(axis=1)
    steps = np.arange(len(heard))
    turn = np.exp(2j * np.pi * offset_hz / isa.CLOCK_HZ * (1228 * steps + 613.5 - 3.5) + 1j * np.radians(degrees))
    assert np.abs(np.angle(heard / turn)).max() < 0.03
    assert np.abs(heard) == pytest.approx(np.full(len(heard), 10_000 * np.sinc(offset_hz * 1228 / isa.CLOCK_HZ)), rel=0.02)


def test_a_board_whose_mixer_turns_the_other_way_gets_the_conjugate_and_nothing_else():
    tracks = {"tx0_i": track([3000, 4000], [900, 0]), "tx0_q": track([3000, 4000], [-32_767, 0])}
    tracks["grad_vx"] = track([3500, 6000], [1000, 0])
    pins = [
        sorted(marga_model.play(encode_segment(segment(tracks), LO_HZ, FHDO, tx_phase_sign=sign).words).pins)
        for sign in (1, -1)
    ]
    assert [pin for pin in pins[0] if pin[1] != "tx0_q"] == [pin for pin in pins[1] if pin[1] != "tx0_q"]
    assert [value for _, name, value in pins[0] if name == "tx0_q"][-2:] == [0x7FFF, 0]
    assert [value for _, name, value in pins[1] if name == "tx0_q"][-2:] == [0x8001, 0]


@pytest.mark.parametrize("board", GradientBoard)
@pytest.mark.parametrize("seeds", [range(600), pytest.param(range(600, 10_000), marks=pytest.mark.slow, id="soak")])
def test_random_tables_reach_every_pin_in_their_tick(board, seeds):
    played = refused = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, board is OCRA1])
        divider = int(rng.choice([2, 4, 7, 10, 19, 63]))
        system = gradients(board, divider)
        seg = random_segment(rng, system)
        try:
            program = encode(seg, system)
        except CompileError:
            with pytest.raises(OverflowError):
                loop_encoder.encode(seg, LO_HZ, board is GradientBoard.GPA_FHDO, divider)
            refused += 1
            continue
        trace = marga_model.play(program.words)
        assert pins_of(program) == expected_pins(seg, system, isa.PIN_CYCLE_OFFSET), f"seed {seed}"
        assert max(trace.occupancy.values()) <= 3
        assert trace.max_delay <= 127
        assert trace.longest_nop_run <= 2
        assert not trace.errors
        last = max(c for c, *_ in trace.writes)
        assert trace.finish_cycle >= last + isa.TAIL_TICKS - 1
        assert trace.finish_cycle + 1 == round(program.duration_s * isa.CLOCK_HZ)
        assert program.words.tolist() == loop_encoder.encode(seg, LO_HZ, board is GradientBoard.GPA_FHDO, divider)
        played += 1
    assert played > 0.7 * len(seeds)
    assert refused > 0.01 * len(seeds)


@pytest.mark.parametrize("cic_shift", [False, True])
def test_a_second_receiver_does_what_the_first_does_and_changes_nothing_else(cic_shift):
    n_windows = 0
    for seed in range(150):
        plain = random_segment(np.random.default_rng([seed, 7]), FHDO)
        if not len(plain.readouts):
            continue
        try:
            alone = encode_segment(plain, LO_HZ, FHDO, cic_shift=cic_shift)
            program = encode_segment(with_sensor(plain), LO_HZ, FHDO, cic_shift=cic_shift)
        except CompileError:
            continue
        assert (alone.n_channels, program.n_channels) == (1, 2)
        trace = marga_model.play(program.words)
        assert not trace.errors
        assert max(trace.occupancy.values()) <= 3
        pins = pins_of(program)
        assert [p for p in pins if not p[1].startswith("rx1")] == pins_of(alone), f"seed {seed}"
        second = [(cycle, name.replace("rx1", "rx0"), value) for cycle, name, value in pins if name.startswith("rx1")]
        assert second == [p for p in pins if p[1].startswith("rx0")]
        if not cic_shift:
            assert pins == expected_pins(with_sensor(plain), FHDO, isa.PIN_CYCLE_OFFSET)
        n_windows += len(plain.readouts)
    assert n_windows > 100


def test_a_second_receiver_that_does_something_else_is_refused():
    seg = with_sensor(segment({}, [(3000, 100, 10)]))
    for name, other in (("rx1_en", track([3001, 4001], [1, 0])), ("rx1_rate", track([2900], [101]))):
        with pytest.raises(CompileError, match=rf"{name} differs from rx0_"):
            encode(replace(seg, tracks={**seg.tracks, name: other}))
    without = {name: values for name, values in seg.tracks.items() if name != "rx1_rate"}
    with pytest.raises(CompileError, match="rx1_rate differs from rx0_rate"):
        encode(replace(seg, tracks=without))


def test_two_receivers_fill_their_buffers_in_half_the_time():
    encode(segment({}, [(3000, 4, 9000)]))
    with pytest.raises(CompileError, match=r"more than the 4750 it may hold"):
        encode(with_sensor(segment({}, [(3000, 4, 9000)])))


def test_oscillator_starts_at_its_frequency_with_phase_zero():
    trace = marga_model.play(encode(segment({})).words)
    step = round(LO_HZ / 122.88e6 * 2**31)
    low = [(c, v) for c, b, v in trace.writes if b == 9]
    high = [(c, v) for c, b, v in trace.writes if b == 10]
    assert low[-1] == (70, step & 0xFFFF)
    assert high[-2:] == [(70, step >> 16 | 0x8000), (71, step >> 16)]


def test_initial_writes_equal_those_of_the_reference_compiler():
    captured = next(v for v in GOLDEN["vectors"] if v["id"] == "E01_tx_only")
    assert [f"{w:08x}" for w in encode(segment({})).words[:17]] == captured["words_hex"][:17]


@pytest.mark.parametrize(("board", "name"), [(GradientBoard.OCRA1, "ocra1"), (GradientBoard.GPA_FHDO, "gpa_fhdo")])
def test_latency_of_the_serial_line_is_the_measured_one(board, name):
    for divider, latency in GOLDEN["gradient_timing"][name]:
        assert isa.gradient_latency_ticks(board, divider) == latency


@pytest.mark.parametrize("gap", [1, 2, 3, 4, 16_777_218, 16_777_219, 16_777_220, 16_777_221, 3 * 16_777_218 + 2])
def test_waits_of_any_length_split_exactly(gap):
    seg = segment({"leds": track([3000, 3000 + gap + 1], [7, 0])})
    program = encode(seg)
    assert [p for p in pins_of(program) if p[1] == "leds"] == [(3020, "leds", 7), (3021 + gap, "leds", 0)]
    assert len(program.words) < 40


def test_ocra1_channels_of_one_tick_arrive_together():
    seg = segment({n: track([5000, 9000], [k + 1, 0]) for k, n in enumerate(("grad_vx", "grad_vy", "grad_vz"))})
    got = [p for p in pins_of(encode(seg, OCRA1)) if p[0] == 5020]
    assert got == [(5020, "ocra1_vx", 1), (5020, "ocra1_vy", 2), (5020, "ocra1_vz", 3)]


@pytest.mark.parametrize(("system", "spacing"), [(FHDO, 132), (OCRA1, 197)])
def test_gradient_updates_too_close_are_refused(system, spacing):
    fine = segment({"grad_vx": track([3000, 3000 + spacing], [5, 0])})
    encode(fine, system)
    close = segment({"grad_vx": track([3000, 3000 + spacing - 1], [5, 0])})
    with pytest.raises(
        CompileError, match=rf"grad_vx at .*tick {3000 + spacing - 1}.*needs {spacing} .*\n.*update_interval_s"
    ):
        encode(close, system)


def test_fhdo_refuses_two_channels_at_once():
    seg = segment({"grad_vx": track([3000, 4000], [5, 0]), "grad_vz": track([3000, 5000], [5, 0])})
    with pytest.raises(CompileError, match=r"grad_vx and grad_vz change at once at .*tick 3000"):
        encode(seg)


def test_too_many_changes_name_time_and_channel():
    ticks = np.arange(3000, 3040)
    values = np.arange(1, 41)
    values[-1] = 0
    tracks = {n: track(ticks, np.where(ticks == 3039, 0, values)) for n in ("tx0_i", "tx0_q", "leds")}
    with pytest.raises(CompileError, match=r"within a few ticks of 0\.02\d+ ms \(tick 30\d\d\): .*delivered in time"):
        encode(segment(tracks))


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ({"tx0_i": track([3000, 3100], [32768, 0])}, r"tx0_i is 32768 at .*takes -32767 \.\.\. 32767"),
        ({"grad_vy": track([3000, 3200], [-32769, 0])}, r"grad_vy is -32769 at .*takes -32768 \.\.\. 32767"),
        ({"tx_gate": track([3000, 3100], [2, 0])}, r"tx_gate is 2"),
        ({"leds": track([3000, 3100], [256, 0])}, r"leds is 256"),
        ({"tx_gate": track([3000], [1])}, r"tx_gate is still 1 when the segment ends"),
        ({"grad_vx": track([3000], [-4])}, r"grad_vx is still -4 when the segment ends"),
        ({"leds": track([3000, 3000], [1, 0])}, r"leds has two values"),
        ({"tx1_i": track([3000, 3001], [1, 0])}, r"no channel 'tx1_i'"),
        ({"tx0_q": track([30, 3001], [1, 0])}, r"first event on TX0_Q must leave .* before"),
        ({"grad_vx": track([100, 3001], [1, 0])}, r"first event on GRAD_LSB"),
    ],
)
def test_broken_tables_are_refused(tracks, message):
    with pytest.raises(CompileError, match=message):
        encode(segment(tracks))


def test_event_behind_the_end_is_refused():
    with pytest.raises(CompileError, match=r"leds changes at .*tick 5000\), at or behind the segment's end"):
        encode(segment({"leds": track([4000, 5000], [1, 0])}, end_tick=5000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_raw": np.array([11], dtype=np.int32)}, "not as long as its raw samples"),
        ({"window_tick": np.array([2999])}, "opens at another tick"),
        ({"decimation": np.array([50], dtype=np.int32), "n_raw": np.array([20], dtype=np.int32)}, "another decimation"),
    ],
)
def test_windows_that_disagree_with_readouts_are_refused(change, message):
    seg = segment({}, [(3000, 100, 10)])
    with pytest.raises(CompileError, match=message):
        encode(replace(seg, readouts=replace(seg.readouts, **change)))


def test_window_without_readout_is_refused():
    seg = segment({"rx0_en": track([3000, 4000], [1, 0]), "rx0_rate": track([2500], [100])})
    with pytest.raises(CompileError, match="opens 1 receive windows for 0 readouts"):
        encode(seg)


def test_receive_buffer_that_would_overflow_is_refused():
    encode(segment({}, [(3000, 4, 9000)]))
    with pytest.raises(CompileError, match=r"samples wait in the receive buffer.*\n.*longer dwell"):
        encode(segment({}, [(3000, 4, 12_000)]))


def test_program_that_outruns_the_server_is_refused():
    n = 60_000
    values = np.resize([1, 2], n)
    values[-1] = 0

    def seg(step):
        ticks = 3000 + step * np.arange(n)
        return segment({"tx0_i": track(ticks, values), "tx0_q": track(ticks, values)})

    assert len(encode(seg(80)).words) > isa.PROGRAM_MEMORY_WORDS
    with pytest.raises(CompileError, match="faster than the console can load"):
        encode(seg(20))


def test_frequency_out_of_reach_is_refused():
    with pytest.raises(CompileError, match="cannot make 70 MHz"):
        encode_segment(segment({}), 70e6, FHDO)


def test_gain_of_the_decimator_is_undone():
    gains = sample_gains(np.array([4, 2048, 123, 600], dtype=np.int32), np.array([1, 1, 2, 1], dtype=np.int32))
    np.testing.assert_allclose(gains, [1.0, 1.0, 1.270, 1.270, 1.544], atol=5e-4)


def test_disassembly_reads_as_the_reference_has_it():
    words = np.array([0x8F015A03, 0x0200005F, 0x01000000, 0], dtype=np.uint32)
    assert disassemble(words) == [
        "DATA  buf=15 (GATES_LEDS) delay=1 data=0x5a03",
        "WAIT  n=95 (takes 98 cycles)",
        "FINISH",
        "NOP",
    ]


def test_cic_shift_word_comes_before_the_rate():
    program = encode_segment(segment({}, [(3000, 123, 10)]), LO_HZ, FHDO, cic_shift=True)
    got = [p for p in pins_of(program) if p[1] in {"rx0_rate", "rx0_rate_valid"}]
    assert got == [
        (3012, "rx0_rate", 0x101E),
        (3012, "rx0_rate_valid", 1),
        (3013, "rx0_rate", 123),
        (3014, "rx0_rate_valid", 0),
    ]
