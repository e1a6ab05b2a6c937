# SPDX-License-Identifier: MIT
"""A picture of all slices, to look at without any program for medical images."""

import contextlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import orientation_letters
from isocenter.domain.volume import Volume

_TILE_PX: Final = 160
_GAP_PX: Final = 6
_MARGIN_PX: Final = 16
_TITLE_PX: Final = 30
_WIDEST: Final = 10
_MAX_TILES: Final = 400
_BACKGROUND, _TEXT, _LETTER = (18, 20, 24), (230, 232, 236), (255, 205, 90)
_FONTS: Final = (
    "",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
)
"""Tried in order; the first is the one that comes with Pillow."""
_STATUS: Final = "Research software, not approved for diagnosis"


def contact_sheet(volumes: Sequence[Volume], path: Path, labels: Sequence[str] = (), *, title: str = "") -> Path:
    """Draw every slice of every volume, one below the other, with its number and orientation letters.

    Gray runs from the 1st to the 99.5th percentile of each volume. Pixels keep their true proportions.

    Parameters
    ----------
    volumes
        Magnitude or complex.
    path
        Ends in ``.png``.
    labels
        One line of text above each volume.
    title
        Heading; the program's status stands under it.

    Raises
    ------
    StorageError
        Nothing to draw, too much of it, or the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    n_tiles = sum(len(volume.data) for volume in volumes)
    if not 0 < n_tiles <= _MAX_TILES:
        raise StorageError(f"A contact sheet of {n_tiles} slices cannot be drawn.", f"Choose 1 to {_MAX_TILES} slices.")
    sheets = [_volume_sheet(volume) for volume in volumes]
    width = max(*(sheet.width for sheet in sheets), 560) + 2 * _MARGIN_PX
    heights = [sheet.height + (_TITLE_PX if index < len(labels) else 0) + _MARGIN_PX for index, sheet in enumerate(sheets)]
    page = Image.new("RGB", (width, sum(heights) + 2 * _TITLE_PX + _MARGIN_PX), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    _write(draw, (_MARGIN_PX, 10), title, 18)
    draw.text((_MARGIN_PX, 36), _STATUS, fill=_LETTER, font=ImageFont.load_default(12))
    top = 2 * _TITLE_PX
    for index, sheet in enumerate(sheets):
        if index < len(labels):
            _write(draw, (_MARGIN_PX, top + 6), labels[index], 14)
            top += _TITLE_PX
        page.paste(sheet, (_MARGIN_PX, top))
        top += sheet.height + _MARGIN_PX
    _save(page, path)
    return path


def _volume_sheet(volume: Volume) -> Any:
    """All slices of a volume in a grid."""
    from PIL import Image

    gray = _to_gray(volume.data)
    row_mm, column_mm = volume.geometry.spacing_m[1] * gray.shape[1], volume.geometry.spacing_m[2] * gray.shape[2]
    scale = _TILE_PX / max(row_mm, column_mm)
    size = (max(round(column_mm * scale), 1), max(round(row_mm * scale), 1))
    columns = min(len(gray), _WIDEST, max(int(np.ceil(np.sqrt(1.6 * len(gray)))), 5))
    rows = -(-len(gray) // columns)
    pitch = (_TILE_PX + _GAP_PX, size[1] + _GAP_PX)
    sheet = Image.new("RGB", (columns * pitch[0], rows * pitch[1]), _BACKGROUND)
    for index, pixels in enumerate(gray):
        tile = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert("RGB")
        _annotate(tile, volume, index)
        corner = ((index % columns) * pitch[0] + (_TILE_PX - size[0]) // 2, (index // columns) * pitch[1])
        sheet.paste(tile, corner)
    return sheet


def _to_gray(data: NDArray[Any]) -> NDArray[np.uint8]:
    magnitude = np.abs(data).astype(np.float32)
    low, high = (float(value) for value in np.percentile(magnitude, (1.0, 99.5)))
    span = high - low if high > low else 1.0
    return np.asarray(np.clip((magnitude - low) / span * 255, 0, 255), dtype=np.uint8)


def _annotate(tile: Any, volume: Volume, index: int) -> None:
    """Slice number, and the letters towards which the edges point, from the geometry alone; none where nobody knows it."""
    from PIL import ImageDraw, ImageFont

    geometry, draw, font = volume.geometry, ImageDraw.Draw(tile), ImageFont.load_default(11)
    width, height = tile.size
    places = (
        (-geometry.row_direction, (2, height / 2), "lm"),
        (geometry.row_direction, (width - 2, height / 2), "rm"),
        (-geometry.column_direction, (width / 2, 1), "mt"),
        (geometry.column_direction, (width / 2, height - 1), "mb"),
    )
    for direction, place, anchor in places if volume.is_placed else ():
        draw.text(place, orientation_letters(direction), fill=_LETTER, font=font, anchor=anchor)
    draw.text((2, 1), str(index + 1), fill=_TEXT, font=font, anchor="lt")


def _write(draw: Any, place: tuple[int, int], text: str, size: int) -> None:
    """A line in the first font that has all its letters; letters that no font has become question marks, never blanks."""
    from PIL import ImageFont

    for name in _FONTS:
        try:
            font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
        except OSError:  # not on this machine
            continue
        if all(_has_glyph(font, letter) for letter in set(text)):
            draw.text(place, text, fill=_TEXT, font=font)
            return
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    font = ImageFont.load_default(size)
    draw.text(place, "".join(letter if _has_glyph(font, letter) else "?" for letter in plain), fill=_TEXT, font=font)


def _has_glyph(font: Any, letter: str) -> bool:
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def _save(page: Any, path: Path) -> None:
    draft = path.with_name(f".writing-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        page.save(draft, format="PNG")
        os.replace(draft, path)  # noqa: PTH105  # atomic
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StorageError(
            f"The picture cannot be written to {path}: {error.strerror or error}.", "Check that the folder can be written."
        ) from error
