"""Drawn faces and their landmarks: the same picture at every size."""

from __future__ import annotations

import numpy as np

from scldm.core.errors import InputError
from scldm.data.population.camera import EYE_LINE, mouth_corners, take_photo, to_image
from scldm.data.population.features import (
    draw_backdrop,
    draw_brow,
    draw_ears,
    draw_eye,
    draw_mouth,
    draw_nose,
    draw_shoulders,
    draw_skin,
)
from scldm.data.population.hair import draw_back_hair, draw_front_hair
from scldm.data.population.page import blank_page
from scldm.data.population.people import Person, looks

SMALLEST, LARGEST = 16, 1024
_FINE = 64  # below this many pixels a face is drawn larger and averaged


def landmarks(person: Person, photo: int, size: int) -> np.ndarray:
    """(5, 2) x and y in pixels: left eye, right eye, nose tip, left and right mouth corner.

    Left is the smaller x. Of `draw_face(person, photo, size)`; pixel k spans k to k + 1.
    """
    _check(photo, size)
    face, shot = looks(person), take_photo(person, photo)
    points = np.array(((-face.eye_gap, EYE_LINE), (face.eye_gap, EYE_LINE),
                       (0.4 * shot.yaw, face.nose_tip), *mouth_corners(face, shot)))  # fmt: skip
    return to_image(shot, points) * size


def draw_face(person: Person, photo: int, size: int) -> np.ndarray:
    """The drawn face: uint8 (size, size, 3), RGB; `photo` picks pose, light and expression.

    Raises InputError when photo is negative or size is not between 16 and 1024.
    """
    _check(photo, size)
    face, shot = looks(person), take_photo(person, photo)
    finer = -(-_FINE // size)
    page = blank_page(shot, size * finer)
    draw_backdrop(page, shot)
    draw_back_hair(page, face)
    draw_shoulders(page, face)
    draw_ears(page, face)
    draw_skin(page, face, shot)
    draw_nose(page, face, shot)
    draw_mouth(page, face, shot, person.sex)
    for side in (-1, 1):
        draw_eye(page, face, shot, side, person.sex)
        draw_brow(page, face, shot, side)
    draw_front_hair(page, face)
    light = shot.exposure * np.array((1 + shot.warmth, 1.0, 1 - shot.warmth), np.float32)
    picture = page.rgb * light[:, None, None]
    picture = picture.reshape(3, size, finer, size, finer).mean((2, 4))
    return (np.clip(picture, 0, 1).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)


def _check(photo: int, size: int) -> None:
    if photo < 0 or not SMALLEST <= size <= LARGEST:
        raise InputError(
            f"photo {photo} at {size} pixels: give photo 0 or more and {SMALLEST} to {LARGEST}"
        )
