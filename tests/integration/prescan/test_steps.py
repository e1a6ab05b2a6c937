# SPDX-License-Identifier: MIT
"""Each step of the prescan over the wire on a bad day: right, or refused in the right words, and then nothing changes."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.noise import thermal_rms_v
from isocenter.acquisition.prescan.step_frequency import CoarseFrequency, FineFrequency
from isocenter.acquisition.prescan.step_receive import GainStep, NoiseStep
from isocenter.acquisition.prescan.step_shim import ShimStep
from isocenter.acquisition.prescan.step_transmit import PowerStep, TuneStep
from isocenter.domain.calibration import Quantity
from isocenter.domain.scan import Protocol
from isocenter.domain.scenario import CoilFaults, Interference, InterferenceKind, MagnetFaults, ReceiverFaults

pytestmark = pytest.mark.timeout(300)

TRUE = {"magnet": MagnetFaults(), "coil": CoilFaults(b1_fall_db=0.3)}
ABSENT = {"magnet": MagnetFaults(), "coil": CoilFaults(is_disconnected=True)}


def run(step, bench):
    return step.run(bench, lambda _: None)


def refused(step, bench):
    before = bench.calibration
    result = run(step, bench)
    assert result.verdict is Verdict.FAIL, result.text
    assert result.values == ()
    assert result.remedy
    assert bench.calibration == before
    return result


def test_a_mains_comb_is_named_as_one_with_its_place(bench_of):
    comb = Interference(
        kind=InterferenceKind.MAINS_COMB, level=2e-3, frequency_hz=3000.0, width_hz=2000.0, modulation_hz=50.0
    )
    result = run(NoiseStep(), bench_of(interference=(comb,), **TRUE))
    assert result.verdict in {Verdict.WARN, Verdict.FAIL}
    assert "mains comb: lines every 50 Hz around 2.00" in result.text
    assert "ground pad" in result.remedy


def test_tones_are_named_by_their_frequencies_and_judged_by_where_they_are(bench_of):
    inside = Interference(kind=InterferenceKind.TONE, level=2e-4, frequency_hz=4321.0)
    outside = replace(inside, frequency_hz=-18_000.0)
    result = run(NoiseStep(), bench_of(interference=(inside, outside), **TRUE))
    assert result.verdict is Verdict.WARN
    assert "2.00432" in result.text
    assert "1.98200" in result.text
    assert run(NoiseStep(), bench_of(interference=(outside,), **TRUE)).verdict is Verdict.PASS


def test_noise_right_after_a_scan_is_that_of_a_scanner_at_rest(bench_of):
    bench = bench_of(**TRUE)
    at_rest = run(NoiseStep(), bench)
    excite = Protocol(name="One pulse", sequence="fid", parameters={"averages": 1, "tr_s": 0.03, "n_samples": 512})
    bench.measure(excite)
    plain = {"bandwidth_hz": 50e3, "n_samples": 2048, "windows": 2, "spoiler_s": 0.0, "wait_s": 0.0}
    raw, _ = bench.measure(Protocol(name="Just listen", sequence="noise", parameters=plain))
    left = np.abs(raw.samples[0]).std() * bench.scanner.receiver.volts_per_unit
    assert left > 3 * at_rest.values[0].value[0]  # what would be called noise
    bench.measure(excite)
    after = run(NoiseStep(), bench)
    assert after.verdict is Verdict.PASS
    assert after.values[0].value[0] == pytest.approx(at_rest.values[0].value[0], rel=0.1)


def test_noise_is_compared_with_thermal_noise_where_the_gain_is_known(bench_of):
    bench = bench_of(receiver=ReceiverFaults(noise=1.0), **TRUE)
    unknown = run(NoiseStep(), bench)
    assert "thermal level unknown" in unknown.text
    assert unknown.verdict is Verdict.PASS
    heard_v = unknown.values[0].value[0]
    for times, verdict in ((1.0, Verdict.PASS), (3.0, Verdict.WARN), (7.0, Verdict.FAIL)):
        gain_db = 20 * np.log10(heard_v / times / thermal_rms_v(50e3))
        receiver = replace(bench.scanner.receiver, gain_db=float(gain_db))
        bench.session.scanner = replace(bench.session.scanner, receiver=receiver)
        result = run(NoiseStep(), bench)
        assert result.verdict is verdict
        assert f"{times:.2g} times thermal" in result.text or times == 1.0


@pytest.mark.parametrize("step", [CoarseFrequency, FineFrequency, GainStep, PowerStep, ShimStep])
def test_an_absent_phantom_is_refused_by_every_step(bench_of, step):
    assert "coil" in refused(step(), bench_of(**ABSENT)).remedy


def test_a_spur_stronger_than_the_signal_does_not_become_the_frequency(bench_of):
    spur = Interference(kind=InterferenceKind.TONE, level=0.2, frequency_hz=5000.0)
    bench = bench_of(interference=(spur,), **TRUE)
    result = run(FineFrequency(), bench)
    assert result.verdict is Verdict.PASS, result.text
    assert result.values[0].value[0] == pytest.approx(2.0e6, abs=50.0)


def test_a_spur_without_any_signal_is_refused(bench_of):
    spur = Interference(kind=InterferenceKind.TONE, level=0.1, frequency_hz=700.0)
    bench = bench_of(interference=(spur,), **ABSENT)
    assert "interference" in refused(FineFrequency(), bench).text
    refused(PowerStep(), bench)
    refused(ShimStep(), bench)


@pytest.mark.parametrize("step", [CoarseFrequency, FineFrequency])
def test_a_mirrored_spectrum_is_named(bench_of, step):
    bench = bench_of(magnet=MagnetFaults(frequency_offset_hz=3000.0), coil=CoilFaults())
    bench.change = np.conj
    result = refused(step(), bench)
    assert "mirrored" in result.text
    assert "I and Q" in result.remedy


@pytest.mark.parametrize("step", [FineFrequency, GainStep, PowerStep, ShimStep])
def test_a_clipped_receiver_is_refused_with_what_to_do(bench_of, step):
    bench = bench_of(receiver=ReceiverFaults(noise=1.0, gain_db=40.0, adc_bits=16), **TRUE)
    result = refused(step(), bench)
    assert "clipped" in result.text
    assert "gain" in result.remedy


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.3, 1.9])
def test_the_transmitter_s_strength_is_found_within_three_per_cent(bench_of, scale):
    bench = bench_of(magnet=MagnetFaults(spread_hz=300.0), coil=CoilFaults(transmit_scale=scale, b1_fall_db=0.3))
    result = run(PowerStep(), bench)
    assert result.verdict in {Verdict.PASS, Verdict.WARN}, result.text
    assert result.values[0].value[0] == pytest.approx(scale, rel=0.03)
    assert result.values[0].subject == "exam-1"


def test_a_compressing_amplifier_is_named(bench_of):
    bench = bench_of(magnet=MagnetFaults(), coil=CoilFaults(transmit_scale=0.6, compression=0.3))
    assert "compressing" in refused(PowerStep(), bench).text


def test_an_amplifier_that_is_off_gives_a_flat_series(bench_of):
    bench = bench_of(magnet=MagnetFaults(), coil=CoilFaults(transmit_scale=1e-6))
    result = refused(PowerStep(), bench)
    assert "RF amplifier is on" in result.remedy


def test_a_shim_that_is_good_is_left_alone(bench_of):
    bench = bench_of(**TRUE)
    result = run(ShimStep(), bench)
    assert result.verdict is Verdict.PASS
    assert result.values[0].value == (0.0, 0.0, 0.0)
    assert "good already" in result.text


def test_a_field_of_second_order_is_not_blamed_on_the_gradients(bench_of):
    bench = bench_of(magnet=MagnetFaults(harmonics_hz={"z2": 3000.0, "xy": 1500.0}), coil=CoilFaults())
    result = run(ShimStep(), bench)
    assert "higher order" in result.text


class Attenuator:
    """In front of a receiver whose samples it scales; the virtual one sits on a line of its own."""

    gains_db = (-20.0, -10.0, 0.0, 10.0, 20.0, 30.0)

    def __init__(self):
        self.gain_db = 30.0

    def set_gain(self, gain_db):
        self.gain_db = gain_db

    def hear(self, samples):
        scaled = samples * 10 ** (self.gain_db / 20)
        return (scaled / np.maximum(np.abs(scaled), 1)).astype(np.complex64)


def test_the_attenuator_is_set_so_that_the_peak_fits(bench_of):
    bench = bench_of(**TRUE)
    bench.attenuator = Attenuator()
    bench.change = bench.attenuator.hear
    result = run(GainStep(), bench)
    peak = float(result.text.split("uses ")[1].split(" %")[0])
    assert result.values[0].quantity is Quantity.RECEIVE_GAIN
    assert result.values[0].value[0] == bench.attenuator.gain_db
    assert peak <= 90
    assert (result.verdict is Verdict.PASS) == (peak >= 50)


def test_a_scanner_without_a_tuner_skips_tuning_and_says_why(bench_of):
    assert "no tuner" in TuneStep().why_skip(bench_of(**TRUE))


def test_what_holds_is_not_measured_again(bench_of):
    bench = bench_of(**TRUE)
    bench.take(run(FineFrequency(), bench))
    assert "still holds" in FineFrequency().why_skip(bench)
    assert "shim was not changed" in FineFrequency(is_final=True).why_skip(bench)
    bench.played_s += 16 * 60
    assert FineFrequency().why_skip(bench) == ""
    bench.played_s -= 16 * 60
    bench.temperature_c += 0.2
    assert CoarseFrequency().why_skip(bench) == ""


def test_a_receiver_without_any_noise_is_looked_at_and_the_prescan_goes_on(bench_of):
    bench = bench_of("uniform", phantom="sphere")
    result = run(NoiseStep(), bench)
    assert result.verdict is Verdict.WARN
    assert "nothing but zeros" in result.text
    assert result.values == ()


def test_a_raw_magnet_keeps_its_shim_and_says_that_linear_ones_are_not_the_limit(bench_of):
    bench = bench_of("osii-mini-raw-magnet", hardware="osii-mini")
    result = run(ShimStep(), bench)
    assert result.verdict is Verdict.PASS, result.text
    assert result.values[0].value == (0.0, 0.0, 0.0)
    assert "linear ones are not the limit" in result.text
