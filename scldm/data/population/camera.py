"""How a face is photographed: pose, light and expression, and where its points fall.

Coordinates of the head: u to the right, v downwards, (0, 0) in the middle of the face, 1 is the
image's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scldm.data.population.people import Looks, Person, stream

_PHOTO = 2
_CENTRE = (0.4975, 0.5)
_REACH_U, _REACH_V = 0.40, 0.52  # where the turn of the head has no effect any more
EYE_LINE = -0.199


@dataclass(frozen=True)
class Photo:
    """How one picture was taken."""

    centre: tuple[float, float]  # of the face in the image
    scale: float
    roll: float  # radians
    yaw: float  # shift of the middle of the face, image widths
    nod: float
    light: tuple[float, float, float]  # unit vector towards the light
    exposure: float
    warmth: float
    smile: float  # -0.4 to 1
    gap: float  # opening of the mouth
    lids: float  # opening of the eyes, 1 is the mean
    lift: float  # raised brows
    gaze: float
    backdrop: np.ndarray  # (2, 3) colours


def take_photo(person: Person, photo: int) -> Photo:
    rng = stream(person, _PHOTO, photo)
    pose = np.clip(rng.standard_normal(6), -2, 2).tolist()
    side, height = rng.uniform(-0.75, 0.75), rng.uniform(0.25, 0.7)
    far = float(np.hypot(np.hypot(side, height), 0.85))
    smile = float(np.clip(rng.normal(0.45, 0.42), -0.4, 1.0))
    gap = max(0.0, rng.uniform(-0.6, 1.0)) * (0.4 + 0.6 * max(smile, 0.0))
    hue, dark = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.8)
    tint = 0.09 * np.cos(hue + np.array((0.0, 2.1, 4.2)))
    return Photo(
        centre=(_CENTRE[0] + 0.010 * pose[0], _CENTRE[1] + 0.008 * pose[1]),
        scale=1 + 0.025 * pose[2],
        roll=0.045 * pose[3],
        yaw=0.020 * pose[4],
        nod=0.008 * pose[5],
        light=(side / far, -height / far, 0.85 / far),
        exposure=rng.uniform(0.90, 1.08),
        warmth=rng.uniform(-0.04, 0.05),
        smile=smile,
        gap=gap,
        lids=rng.uniform(0.88, 1.12) - 0.14 * max(smile, 0.0),
        lift=rng.uniform(-0.004, 0.014),
        gaze=rng.uniform(-0.010, 0.010),
        backdrop=np.clip(dark + tint + np.array(((0.10,), (-0.10,))), 0.03, 0.97),
    )


def mouth_corners(face: Looks, shot: Photo) -> tuple[tuple[float, float], tuple[float, float]]:
    """The mouth's corners: a smile widens and lifts them."""
    width, v = face.mouth_width + 0.028 * shot.smile, face.mouth - 0.026 * shot.smile
    return (-width, v), (width, v)


def to_image(photo: Photo, points: np.ndarray) -> np.ndarray:
    """Head coordinates (N, 2) to the image's, in [0, 1]."""
    p = _turned(points[:, 0], photo.yaw, _REACH_U)
    q = _turned(points[:, 1], photo.nod, _REACH_V)
    cos, sin = photo.scale * np.cos(photo.roll), photo.scale * np.sin(photo.roll)
    return np.stack((cos * p - sin * q, sin * p + cos * q), axis=1) + photo.centre


def _turned(c: np.ndarray, shift: float, reach: float) -> np.ndarray:
    """Solve c = p - shift (1 - (p / reach)^2) for p; beyond `reach` nothing moves."""
    near = np.clip(c, -reach, reach)
    root = np.sqrt(1 + 4 * shift * (near + shift) / reach**2)
    return 2 * (near + shift) / (1 + root) + c - near


def to_head(photo: Photo, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image's coordinates to the head's: undo `to_image`."""
    x, y = x - photo.centre[0], y - photo.centre[1]
    cos, sin = np.cos(photo.roll) / photo.scale, np.sin(photo.roll) / photo.scale
    p, q = cos * x + sin * y, cos * y - sin * x
    u = p - photo.yaw * np.maximum(0, 1 - (p / _REACH_U) ** 2)
    return u, q - photo.nod * np.maximum(0, 1 - (q / _REACH_V) ** 2)
