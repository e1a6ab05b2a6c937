# SPDX-License-Identifier: MIT
"""Images of a virtual scanner say so, also under the name of a person."""

import pytest

from isocenter.app.simulated import LONGEST_DESCRIPTION, series_description, simulated_comment
from isocenter.domain.patient import Patient

PERSON = Patient(patient_id="1", family_name="Sample")
PHANTOM = Patient(patient_id="PHANTOM", family_name="Phantom", given_name="Virtual", is_phantom=True)


@pytest.mark.parametrize("kind", ["virtual", "software", "simulation"])
def test_whatever_is_not_hardware_is_simulated(kind):
    assert "shows nobody" in simulated_comment(f"MaRCoS 1.0.5 ({kind})")
    assert series_description("T2", "", f"MaRCoS 1.0.5 ({kind})", PERSON) == "T2 (simulated)"


@pytest.mark.parametrize("console", ["MaRCoS 1.0.5 (hardware)", ""])
def test_a_real_console_and_one_that_nobody_knows_are_not(console):
    assert simulated_comment(console) == ""
    assert series_description("T2", "-denoised", console, PERSON) == "T2-denoised"


def test_a_phantom_says_it_in_its_name():
    assert series_description("T2", "", "MaRCoS 1.0.5 (virtual)", PHANTOM) == "T2"


def test_a_long_name_is_cut_before_what_sets_the_series_apart():
    text = series_description("x" * 200, "-denoised", "MaRCoS 1.0.5 (virtual)", PERSON)
    assert len(text) == LONGEST_DESCRIPTION
    assert text.endswith("x-denoised (simulated)")
