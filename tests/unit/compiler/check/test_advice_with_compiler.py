# SPDX-License-Identifier: MIT
"""Advice is followed with the shipped sequences: built and compiled again as it says, the scan passes."""

import dataclasses

import pytest

from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Placement
from isocenter.domain.limits import Subject
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build

PERSON = Subject(body_part="HEAD", weight_kg=60.0)
CASES = {
    "gre_3d": {"n_phase": 40, "n_slab": 10},
    "tse_3d": {"n_phase": 48, "n_slab": 8},
    "spin_echo_2d": {"n_phase": 48},
}


class Site:
    """A scanner whose amplifier is so strong that a sequence reaches a given share of the head's limit."""

    def __init__(self, name, parameters, share):
        self.name, self.parameters = name, parameters
        self.scanner = load_scanner("osii-one")
        found = {one.title: one for one in self.report().exposures}["head SAR in 10 s"].fraction
        power_w = self.scanner.safety.forward_power_w * share / found
        safety = dataclasses.replace(self.scanner.safety, forward_power_w=power_w)
        self.scanner = dataclasses.replace(self.scanner, safety=safety)

    def report(self, **changes):
        calibration = nominal_calibration(self.scanner)
        built = build(self.name, {**self.parameters, **changes}, self.scanner)
        scan = compile_scan(read_pulseq(built.seq), self.scanner, calibration, Placement())
        return check_scan(scan, self.scanner, calibration, subject=PERSON)

    def fails(self, **changes):
        return [finding.limit for finding in self.report(**changes).findings]


def advice(report, kind):
    return next(one.advised for finding in report.findings for one in finding.advice if one.kind == kind)


@pytest.mark.parametrize("name", CASES)
def test_tr_as_advised_passes_and_a_tenth_less_does_not(name):
    site = Site(name, CASES[name], 1.6)
    report = site.report()
    assert "head SAR in 10 s" in [finding.limit for finding in report.findings]
    tr_s = advice(report, "tr")
    assert site.fails(tr_s=tr_s) == []
    assert "head SAR in 10 s" in site.fails(tr_s=tr_s * 0.9)


def test_flip_angle_as_advised_passes_and_a_little_more_does_not():
    site = Site("gre_3d", CASES["gre_3d"], 1.6)
    report = site.report()
    factor = advice(report, "flip")
    assert "(30° to 23°)" in report.findings[0].remedy
    flip_rad = 30 * 3.14159265 / 180
    assert site.fails(flip_rad=flip_rad * factor) == []
    assert site.fails(flip_rad=flip_rad * (factor + 0.02)) != []


def test_slices_as_advised_pass_and_one_more_does_not():
    site = Site("spin_echo_2d", CASES["spin_echo_2d"], 1.6)
    n_slices = int(advice(site.report(), "slices"))
    assert n_slices == 3
    assert site.fails(slices=n_slices) == []
    assert site.fails(slices=n_slices + 1) != []
