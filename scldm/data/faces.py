"""Faces: aligned by five landmarks, one similarity transform, the same door for every picture.

Every face that enters a network passes `align`. The transform is the least-squares similarity
(rotation, one scale, shift) that brings both eyes and both mouth corners to `TEMPLATE`, fixed
fractions of the side: eyes at (0.29, 0.31) and (0.71, 0.31), mouth corners at (0.315, 0.736) and
(0.685, 0.736). On FairFace's tight crops the square then stays inside the picture but for about
1 % of its area; what lies outside repeats the border. The nose is left out: it moves with pose.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from scldm.core.errors import InputError

if TYPE_CHECKING:
    import torch

TEMPLATE = np.array([[0.29, 0.31], [0.71, 0.31], [0.315, 0.736], [0.685, 0.736]])
SURE = 0.95  # MTCNN's probability above which a further face is one
_USED = [0, 1, 3, 4]  # eyes and mouth corners among the five landmarks


def similarity(landmarks: np.ndarray) -> tuple[complex, complex]:
    """(a, b) of z -> a z + b from template fractions (x + iy) to pixels, least squares.

    `landmarks` is (5, 2) in pixels: left eye, right eye, nose, left mouth, right mouth.
    """
    goal = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    seen = landmarks[_USED, 0] + 1j * landmarks[_USED, 1]
    centred = goal - goal.mean()
    a = np.vdot(centred, seen - seen.mean()) / np.vdot(centred, centred).real
    return complex(a), complex(seen.mean() - a * goal.mean())


def align(
    image: Image.Image, landmarks: np.ndarray, size: int, name: str = "picture"
) -> np.ndarray:
    """Aligned face, uint8 (size, size, 3), from an RGB picture and its five landmarks (5, 2).

    InputError names the picture when its landmarks put the face outside of it, or make the face
    smaller than 8 pixels or three times larger than the picture.
    """
    a, b = similarity(landmarks)
    centre = a * (0.5 + 0.5j) + b
    inside = 0 <= centre.real <= image.width and 0 <= centre.imag <= image.height
    if not inside or not 8 <= abs(a) <= 3 * max(image.size):
        raise InputError(f"{name}: its five landmarks show no face in it; correct or empty them")
    return cut_square(image, a, b, size)


def cut_square(image: Image.Image, a: complex, b: complex, size: int) -> np.ndarray:
    """The square that z -> a z + b, pixels x + iy, makes of the unit square: uint8 (size, size, 3).

    What lies outside of the picture repeats its border.
    """
    over = max(1, int(np.ceil(abs(a) / size - 0.01)))  # sample finer, then average
    side, step = size * over, a / (size * over)
    margin = int(np.ceil(abs(a)))
    padded = Image.fromarray(
        np.pad(np.asarray(image.convert("RGB")), ((margin,) * 2, (margin,) * 2, (0, 0)), "edge")
    )
    shift = b + margin * (1 + 1j)
    # Pillow samples at pixel centres itself: output (x, y) + 1/2 maps to input + 1/2.
    affine = (step.real, -step.imag, shift.real, step.imag, step.real, shift.imag)
    fine = padded.transform((side, side), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return np.asarray(fine.reduce(over) if over > 1 else fine)


@cache
def detector() -> Any:
    """facenet-pytorch's MTCNN, whose weights come with the package."""
    from facenet_pytorch import MTCNN

    return MTCNN(select_largest=True, post_process=False, device="cpu").eval()


def find_landmarks(
    image: Image.Image, name: str = "picture", alone: bool = False
) -> np.ndarray:
    """(5, 2) landmarks in pixels of the largest face by MTCNN; InputError when there is none, or
    with `alone` when there are several.

    The picture is searched with a border of a quarter, so that tight crops are found too.
    """
    width, height = image.size
    border = max(width, height) // 4
    around = ((border,) * 2, (border,) * 2, (0, 0))
    pixels = np.pad(np.asarray(image.convert("RGB")), around, "edge")
    scale = max(1.0, 160 / max(pixels.shape[:2]))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    boxes, sure, points = detector().detect(
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), landmarks=True
    )
    if boxes is None:
        raise InputError(f"{name}: no face found; give a picture of one upright face")
    count = int((np.asarray(sure, dtype=float) > SURE).sum())
    if alone and count > 1:
        raise InputError(f"{name}: {count} faces; crop one, or take the largest (--face largest)")
    return np.asarray(points[0], dtype=np.float64) / scale - border


def to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 of any shape -> float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] of any shape -> uint8 0..255, rounded and clipped."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte()
