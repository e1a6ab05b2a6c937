# SPDX-License-Identifier: MIT
"""A pipeline says what it did, refuses what it cannot do, and leaves an image when an optional step fails."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from recon_scans import make_scan, with_step

from isocenter.domain.errors import ReconError, SequenceError
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.parameters import parameters_of
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan
from isocenter.recon.cartesian import LiveReconstruction, reconstruct
from isocenter.recon.defaults import CARTESIAN, PIPELINES
from isocenter.recon.pipeline import check_pipeline, orders_of
from isocenter.recon.pipeline_file import pipeline_text, read_pipeline, steps_text
from isocenter.recon.steps import STEPS
from isocenter.recon.steps.base import Stage
from isocenter.sequences import catalogue
from isocenter.sequences.catalogue import list_sequences

SHIPPED = Path(__file__).parents[3] / "sequences"


@pytest.fixture
def raw() -> RawScan:
    return make_scan(place(Orientation.AXIAL), [(0.03, 0.02, 0.01), (-0.05, 0.0, 0.02)])


def names(orders):
    return [order.step for order in orders]


def test_every_step_and_every_parameter_is_recorded(raw):
    (volume,) = reconstruct(raw)
    said = dict(volume.provenance)
    assert list(said) == [*names(CARTESIAN), "display"]
    for order in CARTESIAN:
        for parameter in parameters_of(STEPS[order.step].parameters):
            assert f"{parameter.name} " in said[order.step]


def test_parameters_are_recorded_as_they_were_used(raw):
    orders = with_step(CARTESIAN, "filter", kind="tukey", fraction=0.3)
    (volume,) = reconstruct(raw, pipeline=orders)
    assert dict(volume.provenance)["filter"] == "kind tukey, fraction 30 %, along_read on"


def test_a_file_gives_the_same_images_again(raw, tmp_path):
    orders = with_step(with_step(CARTESIAN, "filter", kind="hann"), "zero_fill", factor=2.0)
    path = tmp_path / "a.toml"
    path.write_text(pipeline_text(orders), encoding="utf-8")
    (first,), (again,) = reconstruct(raw, pipeline=orders), reconstruct(raw, pipeline=read_pipeline(path))
    np.testing.assert_array_equal(first.data, again.data)
    assert first.provenance == again.provenance
    assert orders_of(check_pipeline(read_pipeline(path))) == orders_of(check_pipeline(orders))


def test_every_step_survives_a_file(tmp_path):
    by_stage = {stage: [step for step in STEPS.values() if step.takes is stage and step.gives is stage] for stage in Stage}
    orders = [StepOrder(step=step.name, is_required=True) for step in by_stage[Stage.READOUTS]]
    orders += [StepOrder(step="sort"), *(StepOrder(step=step.name) for step in by_stage[Stage.GRID])]
    orders += [StepOrder(step="transform"), *(StepOrder(step=step.name) for step in by_stage[Stage.IMAGE])]
    path = tmp_path / "all.toml"
    path.write_text(pipeline_text(orders), encoding="utf-8")
    assert orders_of(check_pipeline(read_pipeline(path))) == orders_of(check_pipeline(orders))
    for step in STEPS.values():
        assert step.title in steps_text()
        assert pickle.loads(pickle.dumps(step.parameters())) == step.parameters()


def test_text_in_a_file_is_in_display_units(tmp_path):
    path = tmp_path / "a.toml"
    text = (
        pipeline_text(CARTESIAN).replace("fraction = 0.0", 'fraction = "50 %"').replace("delay_s = 0.0", 'delay_s = "20 us"')
    )
    path.write_text(text, encoding="utf-8")
    found = {order.step: order.parameters for order in read_pipeline(path)}
    assert found["filter"]["fraction"] == pytest.approx(0.5)
    assert found["receive"]["delay_s"] == pytest.approx(20e-6)


HEAD = '[[step]]\nname = "sort"\n[[step]]\nname = "transform"\n[[step]]\nname = "output"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"a\.toml is no pipeline[\s\S]*--write-pipeline"),
        ("[[step]\n", r"a\.toml cannot be read[\s\S]*Correct the file"),
        ("step = 3\n", r"no list of tables 'step'"),
        ("step = [1, 2]\n", r"no list of tables 'step'"),
        ('title = "x"\n' + HEAD, r"'step' alone but title"),
        ("[[step]]\nkind = 'x'\n", r"step 1: there is no step None[\s\S]*one of: receive"),
        (HEAD + "[[step]]\nname = 'sharpen'\n", r"a\.toml, step 4: there is no step 'sharpen'[\s\S]*combine"),
        (HEAD + "knd = 'phase'\n", r"a\.toml, step 3 'output'.*no parameter 'knd'[\s\S]*kind, fraction"),
        (HEAD + "kind = 'nice'\n", r"step 3 'output'.*cannot be nice[\s\S]*magnitude, phase"),
        (HEAD + "fraction = 7\n", r"step 3 'output'.*cannot be 700 %[\s\S]*2 to 100 %"),
        (HEAD + "fraction = nan\n", r"step 3 'output'.*cannot be nan"),
        (HEAD + "fraction = 'wide'\n", r"step 3 'output'.*cannot be wide"),
        (HEAD + "fraction = true\n", r"step 3 'output'.*cannot be True"),
        (HEAD + "required = 'yes'\n", r"step 3 'output': required is 'yes'[\s\S]*true or false"),
        ('[[step]]\nname = "transform"\n', r"step 1 'transform' needs k-space, but there are readouts[\s\S]*after sort"),
        ('[[step]]\nname = "sort"\n', r"ends with k-space, not with images[\s\S]*transform"),
        (HEAD + "[[step]]\nname = 'whiten'\n", r"step 4 'whiten' needs readouts, but there are images"),
    ],
)
def test_a_wrong_file_is_refused_by_name_place_and_what_is_allowed(text, words, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReconError, match=words):
        read_pipeline(path)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(ReconError, match=r"no\.toml cannot be read: No such file"):
        read_pipeline(tmp_path / "no.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReconError, match=r"b\.toml cannot be read"):
        read_pipeline(tmp_path / "b.toml")


def failing(error):
    def run(work, _):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ReconError("The reference lines are missing.", "Measure them."), "skipped: The reference lines are missing."),
        (np.linalg.LinAlgError("Singular matrix"), "skipped: LinAlgError: Singular matrix"),
        (IndexError("index 3"), "skipped: IndexError: index 3"),
        (MemoryError("too big"), "skipped: MemoryError: too big"),
        (ImportError("no engine"), "skipped: ImportError: no engine"),
    ],
)
def test_an_optional_step_that_fails_leaves_the_image_without_it_and_says_so(raw, monkeypatch, error, words):
    (plain,) = reconstruct(raw)
    monkeypatch.setitem(STEPS, "filter", dataclasses.replace(STEPS["filter"], run=failing(error)))
    (volume,) = reconstruct(raw)
    np.testing.assert_array_equal(volume.data, plain.data)
    assert dict(volume.provenance)["filter"] == words
    assert volume.skipped == (("filter", words.removeprefix("skipped: ")),)
    assert plain.skipped == ()


def test_a_step_that_gives_nonsense_is_skipped_too(raw, monkeypatch):
    def nonsense(work, _):
        return dataclasses.replace(work, grids=tuple(dataclasses.replace(g, data=g.data * np.nan) for g in work.grids))

    (plain,) = reconstruct(raw)
    monkeypatch.setitem(STEPS, "filter", dataclasses.replace(STEPS["filter"], run=nonsense, takes_lines=False))
    (volume,) = reconstruct(raw)
    np.testing.assert_array_equal(volume.data, plain.data)
    assert volume.skipped[0][0] == "filter"
    assert "not numbers" in volume.skipped[0][1]


def test_a_required_step_that_fails_is_an_error(raw, monkeypatch):
    monkeypatch.setitem(
        STEPS, "filter", dataclasses.replace(STEPS["filter"], run=failing(ReconError("It is wrong.", "Right it.")))
    )
    orders = [dataclasses.replace(order, is_required=order.step == "filter") for order in CARTESIAN]
    with pytest.raises(ReconError, match=r"It is wrong\.[\s\S]*Right it"):
        reconstruct(raw, pipeline=orders)


def test_steps_change_nothing_of_what_was_measured(raw):
    raw.samples.flags.writeable = False
    before = raw.samples.copy()
    for order in CARTESIAN:
        assert order.step in STEPS
    reconstruct(raw, pipeline=with_step(CARTESIAN, "filter", kind="hann"))
    np.testing.assert_array_equal(raw.samples, before)


def test_live_pictures_use_the_declared_steps(raw):
    orders = with_step(CARTESIAN, "filter", kind="gauss", fraction=0.4)
    live = LiveReconstruction(raw.encoding, raw.placement, definitions=raw.definitions, pipeline=orders)
    live.add(raw.samples, raw.labels)
    (growing,), (whole,) = live.volumes(), reconstruct(raw, pipeline=orders)
    np.testing.assert_array_equal(growing.data, whole.data)
    assert dict(growing.provenance)["filter"].startswith("kind gauss, fraction 40 %")


def test_a_growing_picture_says_how_much_is_missing(raw):
    live = LiveReconstruction(raw.encoding, raw.placement, definitions=raw.definitions)
    live.add(raw.samples[:100], {name: value[:100] for name, value in raw.labels.items()})
    (volume,) = live.volumes(expected=len(raw.samples))
    assert f"{len(raw.samples) - 100} readouts of the scan missing" in dict(volume.provenance)["sort"]


def test_a_watcher_sees_what_every_step_leaves(raw):
    seen = {}

    def watch(name, work):
        items = work.pictures or work.grids
        seen[name] = [item.data.shape for item in items] or work.raw.samples.shape

    reconstruct(raw, watch=watch)
    assert list(seen) == names(CARTESIAN)
    assert seen["average"] == raw.samples.shape
    assert seen["sort"] == [(1, 1, 16, 20, 24)]
    assert seen["transform"] == [(1, 16, 20, 24)]
    assert seen["output"] == [(16, 20, 24)]


def test_the_usual_pipelines_are_sound():
    for name, orders in PIPELINES.items():
        assert check_pipeline(orders, name)


def test_the_pipelines_that_sequences_declare_are_sound():
    declared = {info.name: info.pipeline for info in list_sequences() if info.pipeline}
    assert "epi_2d" in declared
    for name, orders in declared.items():
        assert "ghost" in names(orders) or name != "epi_2d"
        assert check_pipeline(orders, name)


def test_a_sequence_file_with_a_strange_pipeline_is_refused(tmp_path, monkeypatch):
    text = (SHIPPED / "fid.py").read_text(encoding="utf-8")
    monkeypatch.setattr(catalogue, "search_dirs", lambda _: [tmp_path])
    for number, (value, right) in enumerate(
        (("('sort',)", True), ("[('sort', {})]", True), ("'sort'", False), ("(3,)", False))
    ):
        (tmp_path / f"own{number}.py").write_text(f"{text}\nPIPELINE = {value}\n", encoding="utf-8")
        if right:
            assert names(catalogue.get_sequence(f"own{number}").info.pipeline) == ["sort"]
        else:
            with pytest.raises(SequenceError, match=r"PIPELINE[\s\S]*sequences\.md"):
                catalogue.get_sequence(f"own{number}")
