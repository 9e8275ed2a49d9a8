"""Faces in frames: all are found, one is chosen, and cut out with a margin."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from scldm.data.faces import cut_square, similarity
from scldm.data.prepare.item import Recipe, Skip

SHORT = 360  # pixels of the shorter side of a frame in which faces are looked for
ALIKE = 0.8  # a second face that is as fit as this share of the first makes the choice a guess


@dataclass(frozen=True)
class Face:
    """A face in a frame, in the frame's pixels.

    Attributes:
        box: left, top, right, bottom.
        points: (5, 2), left eye first.
        certainty: of the detector, in [0, 1].
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    certainty: float

    @property
    def side(self) -> float:
        """Of the box, the longer one."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def centre(self) -> np.ndarray:
        """Of the box, (x, y)."""
        left, top, right, bottom = self.box
        return np.array([(left + right) / 2, (top + bottom) / 2])


@cache
def _detector(device: str) -> Any:
    from facenet_pytorch import MTCNN

    return MTCNN(select_largest=False, post_process=False, min_face_size=40, device=device).eval()


def find_faces(frames: np.ndarray, device: str = "cpu") -> list[list[Face]]:
    """All faces of each frame, by MTCNN over all frames at once.

    Args:
        frames: (n, height, width, 3) uint8. They are searched with a border of an eighth, so that
            crops are found too.
    """
    height, width = frames.shape[1:3]
    border = max(width, height) // 8
    around = ((0, 0), (border,) * 2, (border,) * 2, (0, 0))
    wide = np.pad(frames, around, "edge")
    scale = min(wide.shape[1:3]) / SHORT
    size = (round(wide.shape[2] / scale), round(wide.shape[1] / scale))
    small = [np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BOX)) for f in wide]
    boxes, sure, points = _detector(device).detect(np.stack(small), landmarks=True)
    return [
        [
            Face(tuple(box * scale - border), spots * scale - border, float(p))
            for box, p, spots in zip(boxes[i], sure[i], points[i], strict=True)
        ]
        if boxes[i] is not None else []
        for i in range(len(frames))
    ]


def from_points(points: np.ndarray) -> Face:
    """The face of known landmarks (5, 2): its box is the square that `align` cuts, upright."""
    a, b = similarity(points)
    centre, half = a * (0.5 + 0.5j) + b, abs(a) / 2
    box = (centre.real - half, centre.imag - half, centre.real + half, centre.imag + half)
    return Face(box, points, 1.0)


def choose(
    faces: Sequence[Face], size: tuple[int, int], at: tuple[float, float] | None, recipe: Recipe,
    scale: float = 1.0,
) -> tuple[Face, str]:
    """The speaker's face among those of one frame, and why it is.

    Args:
        faces: of the frame.
        size: width and height of the frame.
        at: where it is said to be, as shares of width and height.
        scale: pixels of the video that a pixel of the frame is wide.

    Skip: no face, face too small, several faces that are equally fit, or none where it should be.
    """
    sure = [face for face in faces if face.certainty >= recipe.certainty]
    if not sure:
        raise Skip("no face")
    large = [face for face in sure if face.side * scale >= recipe.smallest]
    if not large:
        raise Skip("face too small", f"{max(f.side for f in sure) * scale:.0f} pixels")
    if at is not None:
        place = np.array(at) * size
        near = min(large, key=lambda face: float(np.linalg.norm(face.centre - place)))
        if np.abs(near.centre - place).max() > near.side:
            raise Skip("no face", "none where the table says")
        return near, "only" if len(large) == 1 else f"nearest of {len(large)} to x, y"
    if len(large) == 1:
        return large[0], "only"
    middle, reach = np.array(size) / 2, max(size)
    fit = [
        face.certainty * face.side**2 * (1 - float(np.linalg.norm(face.centre - middle)) / reach)
        for face in large
    ]
    best, second = sorted(fit, reverse=True)[:2]
    if second > ALIKE * best:
        raise Skip("several faces", f"{len(large)} of like size and place")
    return large[fit.index(best)], f"largest, most central and certain of {len(large)}"


def crop(frame: np.ndarray, face: Face, recipe: Recipe) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A square around the box with the margin, as a JPEG; beside it the square, left, top and
    side (3,) in the frame's pixels, and the landmarks (5, 2) in the picture's.
    """
    side = face.side * (1 + 2 * recipe.margin)
    corner = face.centre - side / 2
    pixels = cut_square(Image.fromarray(frame), complex(side), complex(*corner), recipe.size)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=recipe.quality, subsampling=0)
    points = (face.points - corner) / side * recipe.size
    return file.getvalue(), np.array([*corner, side]), points
