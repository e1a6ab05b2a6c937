# SPDX-License-Identifier: MIT
"""Head and knee hold what they say, on the side where they say it; tissues are physical and say where they come from."""

import itertools

import numpy as np
import pytest

from isocenter.virtual.phantoms import tissue
from isocenter.virtual.phantoms.catalogue import PHANTOMS
from isocenter.virtual.phantoms.head import LESIONS_LPS_M
from isocenter.virtual.phantoms.knee import BRUISE_LPS_M, CONDYLES_LPS_M, PLATEAU_M, TEAR_LPS_M


def sampled(name, n=90):
    """Places on a grid through a phantom, and their tissues' names; air is an empty name."""
    phantom = PHANTOMS[name]
    axes = [np.linspace(low, high, n) for low, high in zip(phantom.low_m, phantom.high_m, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return places, np.array(["", *(t.name for t in phantom.tissues)])[phantom.label(places)]


def at(name, place):
    phantom = PHANTOMS[name]
    label = phantom.label(np.array([place], dtype=float))[0]
    return phantom.tissues[label - 1].name if label else ""


@pytest.mark.parametrize("name", ["head", "knee"])
def test_every_tissue_is_there(name):
    _, names = sampled(name)
    assert {t.name for t in PHANTOMS[name].tissues} <= set(names)


@pytest.mark.parametrize("name", list(PHANTOMS))
def test_nothing_lies_outside_the_box_around_it(name):
    phantom = PHANTOMS[name]
    low, high = np.array(phantom.low_m), np.array(phantom.high_m)
    places = np.random.default_rng(2).uniform(low - 0.05, high + 0.05, (40000, 3))
    outside = ((places < low) | (places > high)).any(axis=1)
    assert not phantom.label(places[outside]).any()


def test_the_head_has_its_ear_and_large_lesion_on_the_left():
    places, names = sampled("head")
    assert (names[places[:, 0] > 0.0765] != "").any()
    assert not (names[places[:, 0] < -0.0765] != "").any()
    (centre, radius), *_ = LESIONS_LPS_M
    assert centre[0] > 0
    assert at("head", centre) == "lesion"
    assert at("head", np.array(centre) * [-1, 1, 1]) in {"white matter", "grey matter", "csf"}
    assert radius == max(r for _, r in LESIONS_LPS_M)
    for place, _ in LESIONS_LPS_M:
        assert at("head", place) == "lesion"


def test_the_brain_has_the_size_of_a_brain():
    _, names = sampled("head", 110)
    voxel_m3 = np.prod(np.subtract(PHANTOMS["head"].high_m, PHANTOMS["head"].low_m)) / 110**3
    volume_ml = {name: 1e6 * voxel_m3 * np.sum(names == name) for name in ("grey matter", "white matter", "csf")}
    assert 1000 < volume_ml["grey matter"] + volume_ml["white matter"] < 1600
    assert 0.4 < volume_ml["grey matter"] / volume_ml["white matter"] < 2.0
    assert 80 < volume_ml["csf"] < 500


def test_the_eyes_look_forward_and_the_ventricles_lie_inside():
    places, names = sampled("head")
    eyes = places[names == "vitreous"]
    assert eyes[:, 1].max() < -0.05
    assert abs(eyes[:, 0].mean()) < 0.002
    assert at("head", (0.009, 0.0, 0.014)) == at("head", (-0.009, 0.0, 0.014)) == "csf"


def test_it_is_a_left_knee():
    places, names = sampled("knee")
    low = places[:, 2] < -0.055
    bones = places[low & (names == "marrow fat")]
    assert (bones[:, 0] > 0.028).any()  # the fibula
    assert not (bones[:, 0] < -0.028).any()
    assert at("knee", (0.002, -0.045, 0.024)) == "marrow fat"  # the patella lies in front
    assert at("knee", CONDYLES_LPS_M[0]) == at("knee", CONDYLES_LPS_M[1]) == "marrow fat"


def test_going_down_through_the_joint_one_meets_its_layers_in_order():
    inner = CONDYLES_LPS_M[0]
    column = np.array([inner[0], inner[1], 0.0]) + np.outer(np.linspace(0.02, -0.03, 2000), [0, 0, 1])
    phantom = PHANTOMS["knee"]
    names = [phantom.tissues[label - 1].name for label in phantom.label(column)]
    order = [names[0], *(b for a, b in itertools.pairwise(names) if a != b)]
    expected = ["marrow fat", "cortical bone", "cartilage", "synovial fluid", "cartilage", "cortical bone", "marrow fat"]
    assert order == expected
    assert column[names.index("synovial fluid"), 2] > PLATEAU_M


def test_the_inner_meniscus_is_torn_and_the_outer_condyle_bruised():
    assert at("knee", TEAR_LPS_M) == "synovial fluid"
    assert at("knee", np.add(TEAR_LPS_M, (0.004, 0, 0))) == "meniscus"
    assert at("knee", BRUISE_LPS_M) == "lesion"


def test_tissues_are_physical_and_say_where_they_come_from():
    everything = {t.name: t for phantom in PHANTOMS.values() for t in phantom.tissues}
    for found in everything.values():
        assert 0 < found.t2_s <= found.t1_s
        assert found.t2_star_s < min(found.t2_s, found.t2_prime_s)
        assert 1 / found.t2_star_s == pytest.approx(1 / found.t2_s + 1 / found.t2_prime_s)
        assert 0 <= found.density <= 1.05
        assert 0 <= found.diffusion_m2_per_s < 3.5e-9
        assert found.source
    measured = {name for name, found in everything.items() if found.source == tissue.OREILLY}
    assert measured == {"fat", "csf", "grey matter", "white matter", "muscle"}
    assert all(found.source.startswith(("assumed", "chosen")) or name in measured for name, found in everything.items())
