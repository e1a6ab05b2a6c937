# SPDX-License-Identifier: MIT
"""What is compiled ahead is what the gate then uses."""

import dataclasses

from isocenter.compiler.check import check_scan
from isocenter.compiler.check.dose_loops import binned
from isocenter.compiler.check.pns_loops import largest_stimulation, slopes_of
from isocenter.compiler.check.warm_up import warm_up
from isocenter.domain.limits import NerveModel


def test_nothing_is_compiled_again_after_it(bench):
    warm_up()
    loops = (binned, slopes_of, largest_stimulation)
    before = [set(loop.signatures) for loop in loops]
    assert all(before)
    model = NerveModel(
        tau1_s=2e-4, tau2_s=3e-5, tau3_s=3e-3, a1=0.4, a2=0.1, a3=0.5, stimulation_limit_t_per_m_s=30.0, g_scale=0.35
    )
    scanner = bench.scanner()
    axes = tuple(dataclasses.replace(axis, nerve=model) for axis in scanner.gradients.axes)
    scanner = dataclasses.replace(scanner, gradients=dataclasses.replace(scanner.gradients, axes=axes))
    assert check_scan(bench.build(bench.drafts()), scanner, bench.calibration()).is_allowed
    assert [set(loop.signatures) for loop in loops] == before
