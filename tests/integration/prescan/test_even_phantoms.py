# SPDX-License-Identifier: MIT
"""Objects whose echo hardly decays, without noise, on every scanner: it follows the pulses, so it is no interference."""

from threading import Event

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.recentre import Recentre
from isocenter.acquisition.prescan.step_frequency import CoarseFrequency, FineFrequency
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prescan import find_frequency
from isocenter.domain.geometry import PatientPosition

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("hardware", ["physio-72mT", "osii-one", "osii-mini"])
def test_a_block_without_noise_is_found_by_every_way_to_a_frequency(bench_of, hardware):
    bench = bench_of("ideal-block", hardware)
    true_hz = bench.scanner.magnet.larmor_hz
    exam = new_exam(phantom_patient(), PatientPosition.HFS, bench.scanner.body_parts[0])
    assert find_frequency(bench.session, exam, bench.folder, cancel=Event()).larmor_hz == pytest.approx(true_hz, abs=5.0)
    results = bench.run(CoarseFrequency(), FineFrequency())
    results |= bench.run(Recentre(10.0, slope_hz_per_c=0.0))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    for result in results.values():
        assert result.values[0].value[0] == pytest.approx(true_hz, abs=30.0), result.text
