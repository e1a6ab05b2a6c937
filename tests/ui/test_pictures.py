# SPDX-License-Identifier: MIT
"""Whose picture it is, which way round, and how bright."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.app.exams import new_exam
from isocenter.app.service import ImageChanged
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.patient import Patient
from isocenter.domain.volume import PLACE_UNKNOWN, ImageGeometry, Volume
from isocenter.ui.viewmodels.images import ExamImages, plane_of
from isocenter.ui.viewmodels.pane import PaneViewModel, Title
from isocenter.ui.widgets.image import ImagePane


def volume(
    orientation=Orientation.AXIAL, position=PatientPosition.HFS, tilt=(0.0, 0.0), shape=(4, 8, 6), **changes
) -> Volume:
    axes = place(orientation, position, tilt_rad=tilt).lps_from_logical
    geometry = ImageGeometry(
        first_voxel_m=np.zeros(3),
        row_direction=axes[:, 0],
        column_direction=axes[:, 1],
        slice_direction=axes[:, 2],
        spacing_m=(0.005, 0.002, 0.001),
        slice_thickness_m=0.005,
        position=position,
    )
    return replace(Volume(data=np.ones(shape, np.float32), geometry=geometry), **changes)


def exam(family: str):
    return new_exam(Patient(patient_id=family, family_name=family), PatientPosition.HFS, "HEAD")


def changed(of, item="1", fraction=1.0, volumes=None) -> ImageChanged:
    volumes = (volume(),) if volumes is None else volumes
    return ImageChanged(exam_id=of.exam_id, item_id=item, title="T2", volumes=volumes, fraction=fraction)


@pytest.fixture
def pane() -> PaneViewModel:
    return PaneViewModel("nothing yet")


def show(pane, *volumes, item="1", fraction=1.0, is_live=False):
    images, who = ExamImages(), exam("A")
    images.begin(who)
    pane.show(images.take(changed(who, item, fraction, volumes), is_live=is_live))


# --- whose ------------------------------------------------------------------------------------------------------------


def test_a_picture_of_the_exam_before_that_comes_late_is_dropped():
    images, first, second = ExamImages(), exam("First"), exam("Second")
    images.begin(first)
    assert images.take(changed(first), is_live=True).patient_name == "FIRST"
    images.begin(second)
    assert images.of("1") is None
    assert images.take(changed(first), is_live=True) is None
    assert images.newest is None
    assert images.take(changed(second), is_live=True).patient_name == "SECOND"


def test_no_picture_is_taken_with_nobody_on_the_table():
    images = ExamImages()
    images.begin(None)
    assert images.take(changed(exam("A")), is_live=False) is None


def test_what_was_live_is_settled_once():
    images, who = ExamImages(), exam("A")
    images.begin(who)
    images.take(changed(who, "1"), is_live=True)
    images.take(changed(who, "2"), is_live=True)
    assert images.settle("2") == ("1",)
    assert images.settle("2") == ()
    assert not images.of("1").is_live
    assert images.of("2").is_live


# --- which way round -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", list(PatientPosition))
@pytest.mark.parametrize(
    ("orientation", "left", "right", "top", "bottom"),
    [
        (Orientation.AXIAL, "R", "L", "A", "P"),
        (Orientation.CORONAL, "R", "L", "H", "F"),
        (Orientation.SAGITTAL, "A", "P", "H", "F"),
    ],
)
def test_letters_of_standard_planes_in_every_position(pane, position, orientation, left, right, top, bottom):
    show(pane, volume(orientation, position))
    letters = pane.letters()
    assert (letters.left, letters.right, letters.top, letters.bottom) == (left, right, top, bottom)
    assert plane_of(pane.volumes[0]) is orientation


def test_letters_of_a_tilted_slice_name_both_sides_strongest_first(pane):
    show(pane, volume(tilt=(np.radians(30), 0.0)))
    assert (pane.letters().top, pane.letters().bottom) == ("AF", "PH")


def test_letters_follow_a_picture_that_is_stored_mirrored(pane):
    plain = volume()
    geometry = replace(plain.geometry, row_direction=-plain.geometry.row_direction)
    show(pane, replace(plain, geometry=geometry))
    assert (pane.letters().left, pane.letters().right) == ("L", "R")


def test_no_letters_where_nobody_knows(pane):
    show(pane, volume(provenance=(PLACE_UNKNOWN,)))
    assert pane.letters() == type(pane.letters())()
    assert "orientation not known" in pane.slice_text()
    assert plane_of(pane.volumes[0]) is None


def test_slice_text_says_where_the_slice_is(pane):
    show(pane, volume())
    pane.scroll(1)
    assert pane.slice_text() == "4/4 · H 15.0 mm"
    pane.scroll(-9)
    assert pane.slice_text() == "1/4 · 0.0 mm"


# --- what is seen ------------------------------------------------------------------------------------------------------


def test_frame_is_the_slice_scaled_to_grey(pane):
    data = np.zeros((2, 2, 2), np.float32)
    data[1] = [[0, 50], [100, 200]]
    show(pane, replace(volume(), data=data))
    pane.drag_window(0.0, 0.0)  # by hand from here on
    low, high = pane.window
    expected = np.clip((data[1] - low) * 255 / (high - low), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(pane.frame(), expected)
    assert pane.frame()[0, 0] == 0


def test_dragging_to_the_right_widens_the_window_and_down_darkens(pane):
    show(pane, volume())
    before = np.diff(pane.window)[0]
    pane.drag_window(0.1, 0.0)
    assert np.diff(pane.window)[0] > before
    level = sum(pane.window)
    grey = pane.frame().mean()
    pane.drag_window(0.0, 0.2)
    assert sum(pane.window) > level
    assert pane.frame().mean() < grey


def test_news_of_the_same_series_keep_slice_window_and_zoom(pane):
    show(pane, volume(), fraction=0.2, is_live=True)
    pane.scroll(-2)
    pane.zoom_by(2.0)
    pane.drag_window(0.3, 0.1)
    seen = (pane.position, pane.zoom, pane.window)
    show(pane, volume(), fraction=0.4, is_live=True)
    assert (pane.position, pane.zoom, pane.window) == seen
    show(pane, volume(), item="2")
    assert pane.zoom == 1.0


@pytest.mark.parametrize(
    ("fraction", "is_live", "expected"),
    [(0.46, True, "LIVE · T2 · 46 % of k-space"), (0.46, False, "INCOMPLETE · T2 · 46 % of k-space"), (1.0, False, "T2")],
)
def test_title_tells_live_incomplete_and_complete_apart(pane, fraction, is_live, expected):
    show(pane, volume(), fraction=fraction, is_live=is_live)
    assert pane.title_text() == expected


def test_a_second_series_is_never_shown_without_its_label(pane):
    show(pane, volume(), volume(label="denoised"))
    pane.position = 3
    assert pane.title_text() == "T2 · original"
    pane.position = 4
    assert pane.title_text() == "T2 · denoised"
    show(pane, volume(label="denoised"), fraction=0.5)
    assert pane.title_text().startswith("INCOMPLETE · T2 · denoised · 50 %")


def test_stacks_follow_each_other(pane):
    show(pane, volume(Orientation.AXIAL), volume(Orientation.CORONAL, shape=(3, 5, 5)))
    assert pane.n_slices == 7
    pane.scroll(99)
    assert pane.letters().top == "H"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_picture_with_no_numbers_is_black_not_a_crash(pane, bad):
    show(pane, replace(volume(), data=np.full((2, 3, 3), bad, np.float32)))
    assert pane.frame() is not None
    assert pane.frame().shape == (3, 3)


def test_picture_keeps_true_proportions_in_millimetres(qtbot, pane):
    widget = ImagePane(pane)
    qtbot.addWidget(widget)
    widget.resize(400, 400)
    show(pane, volume(shape=(4, 10, 10)))  # pixels 2 mm high, 1 mm wide
    rect = widget.picture_rect()
    assert rect.height() == pytest.approx(400)
    assert rect.width() == pytest.approx(200)


def test_pane_paints_the_letter_at_the_left_edge(qtbot, pane):
    widget = ImagePane(pane)
    qtbot.addWidget(widget)
    widget.resize(400, 400)
    dark = replace(volume(), data=np.zeros((2, 4, 4), np.float32))
    show(pane, dark)
    with_letters = widget.grab().toImage()
    show(pane, replace(dark, provenance=(PLACE_UNKNOWN,)))
    without = widget.grab().toImage()
    box = [(x, y) for x in range(8, 30) for y in range(185, 215)]
    assert max(with_letters.pixelColor(*at).value() for at in box) > 200
    assert max(without.pixelColor(*at).value() for at in box) < 50


# --- original and derived ------------------------------------------------------------------------------------------------


LONG = Title(state="INCOMPLETE", name="T2 TSE axial with a name that is long", label="denoised", progress="46 % of k-space")


def test_a_title_that_fits_is_whole():
    assert LONG.fitted(1e9, len) == str(LONG)


@pytest.mark.parametrize("width", range(25, 79))
def test_a_title_is_cut_in_the_name_and_never_in_what_warns(width):
    text = LONG.fitted(width, len)
    assert len(text) <= width
    assert text.startswith("INCOMPLETE · ")
    assert " · denoised" in text
    assert "…" in text


def test_progress_goes_before_the_label_does():
    assert LONG.fitted(30, len) == "INCOMPLETE · T2 TS… · denoised"


def test_panes_that_mirror_show_the_same_slice_size_and_brightness():
    one, other = PaneViewModel(""), PaneViewModel("")
    show(one, replace(volume(), data=np.full((4, 8, 6), 7.0, np.float32)))
    show(other, volume(label="denoised"))
    one.scroll(1)
    one.zoom_by(2.0)
    one.pan_by(3.0, 4.0)
    one.drag_window(0.2, 0.1)
    other.mirror(one)
    assert (other.position, other.zoom, other.pan_px) == (3, 2.0, (3.0, 4.0))
    assert other.window == one.window
    heard = []
    other.changed.connect(lambda: heard.append(1))
    other.mirror(one)
    assert heard == []  # or two panes would never come to rest


def test_what_was_done_belongs_to_the_stack_that_is_shown(pane):
    show(
        pane,
        volume(provenance=(("denoise", "this is the original"),)),
        volume(label="denoised", provenance=(("denoise", "noise: 2 before, 1 after"),)),
    )
    assert pane.done_to_it() == (("denoise", "this is the original"),)
    pane.position = 4
    assert pane.done_to_it() == (("denoise", "noise: 2 before, 1 after"),)
    pane.show(None)
    assert pane.done_to_it() == ()
