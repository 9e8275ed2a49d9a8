"""A picture being painted: shapes as signed distances, edges blended over one pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scldm.data.population.camera import Photo, to_head, to_image


@dataclass(frozen=True)
class Page:
    """A picture being painted, or a window of it that shares its memory."""

    photo: Photo
    u: np.ndarray  # (h, w)
    v: np.ndarray  # (h, w)
    rgb: np.ndarray  # (3, h, w) in [0, 1]
    size: int  # pixels of the whole picture

    def part(self, u0: float, v0: float, u1: float, v1: float) -> tuple[slice, slice]:
        """Rows and columns of the picture around a box in head coordinates."""
        box = np.array(((u0, v0), (u0, v1), (u1, v0), (u1, v1)))
        places = to_image(self.photo, box) * self.size
        x0, y0 = np.maximum(np.floor(places.min(0)).astype(int) - 1, 0)
        x1, y1 = np.maximum(np.ceil(places.max(0)).astype(int) + 1, 0)
        return slice(y0, y1), slice(x0, x1)

    def window(self, u0: float, v0: float, u1: float, v1: float) -> Page:
        """That part as a page of its own; painting on it paints here."""
        part = self.part(u0, v0, u1, v1)
        return Page(self.photo, self.u[part], self.v[part], self.rgb[(..., *part)], self.size)

    def cover(self, distance: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """How much of each pixel lies inside a shape, from signed distance; `soft` blurs."""
        return np.clip(0.5 - distance / (soft + self.photo.scale / self.size), 0, 1)

    def paint(self, alpha: np.ndarray, colour: tuple[float, ...] | np.ndarray) -> None:
        """Lay a colour (3,) or a picture (3, h, w) over it with opacity alpha (h, w)."""
        tone = np.asarray(colour, np.float32)
        self.rgb[:] += alpha * ((tone if tone.ndim == 3 else tone[:, None, None]) - self.rgb)

    def stain(self, alpha: np.ndarray, colour: tuple[float, ...]) -> None:
        """Multiply by a colour with opacity alpha (h, w)."""
        self.rgb[:] *= 1 - alpha * (1 - np.asarray(colour, np.float32)[:, None, None])


def blank_page(shot: Photo, size: int) -> Page:
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = to_head(shot, grid[None, :], grid[:, None])
    return Page(shot, u.astype("f4"), v.astype("f4"), np.zeros((3, size, size), np.float32), size)


def bump(u: np.ndarray, v: np.ndarray, cu: float, cv: float, su: float, sv: float) -> np.ndarray:
    """A Gaussian hill of height 1."""
    return np.exp(-0.5 * (((u - cu) / su) ** 2 + ((v - cv) / sv) ** 2))


def ellipse(u: np.ndarray, v: np.ndarray, cu: float, cv: float, ru: float, rv: float) -> np.ndarray:
    """Signed distance (first order) to an ellipse."""
    a, b = (u - cu) / ru, (v - cv) / rv
    k = np.sqrt(a * a + b * b)
    slope = np.sqrt(np.square(a / ru) + np.square(b / rv))
    return k * (k - 1) / np.maximum(slope, 1e-4)


def box_distance(
    u: np.ndarray, v: np.ndarray, half: float, top: float, low: float, r: float
) -> np.ndarray:
    """Signed distance to an upright box with corners of radius r."""
    a = np.abs(u) - half + r
    b = np.abs(v - (top + low) / 2) - (low - top) / 2 + r
    corner = np.sqrt(np.square(np.maximum(a, 0)) + np.square(np.maximum(b, 0)))
    return corner + np.minimum(np.maximum(a, b), 0) - r


def join(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Smooth union of two signed distances."""
    h = np.maximum(blend - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h / (4 * blend)


def stroke(
    u: np.ndarray,
    v: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    bend: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a bent line, and the place along it, 0 to 1; bend > 0 sags downwards."""
    du, dv = end[0] - start[0], end[1] - start[1]
    length = float(np.hypot(du, dv))
    along = ((u - start[0]) * du + (v - start[1]) * dv) / length**2
    across = ((v - start[1]) * du - (u - start[0]) * dv) / length
    inner = np.clip(along, 0, 1)
    return np.hypot((along - inner) * length, across - bend * (1 - (2 * inner - 1) ** 2)), inner


def draw_line(
    page: Page,
    start: tuple[float, float],
    end: tuple[float, float],
    bend: float,
    width: float,
    dark: float,
    colour: tuple[float, float, float],
) -> None:
    """A soft dark line that fades towards its ends."""
    margin = abs(bend) + 3 * width
    part = page.window(
        min(start[0], end[0]) - margin, min(start[1], end[1]) - margin,
        max(start[0], end[0]) + margin, max(start[1], end[1]) + margin,
    )  # fmt: skip
    away, along = stroke(part.u, part.v, start, end, bend)
    fade = np.clip(1 - (2 * along - 1) ** 4, 0, 1)
    part.stain(dark * fade * np.exp(-((away / width) ** 2)), colour)


def blend(
    a: tuple[float, float, float], b: tuple[float, float, float], part: float = 0.5
) -> np.ndarray:
    """From colour a (part 0) to b (part 1)."""
    return np.array(a) + part * (np.array(b) - np.array(a))
