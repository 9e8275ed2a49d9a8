"""Hair: a dozen styles, drawn behind and around the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scldm.data.population.page import Page, box_distance, ellipse
from scldm.data.population.people import Looks


@dataclass(frozen=True)
class _Style:
    """A way to wear hair; lengths in image widths."""

    lower: float = 0.0  # how far the hairline comes down
    sides: float = 0.025  # how far the hair covers the cheeks
    volume: float = 0.02  # beyond the head
    ends: float = -0.05  # v where the hair beside the face ends
    back: float | None = None  # v where the hair behind the neck ends
    slant: float = 0.0  # of the hairline, times the side of the parting
    corner: float = 0.20  # radius of the hairline's corners
    temples: float = 0.0  # how far the hairline recedes there
    waves: float = 0.0  # of the outline
    curls: bool = False


_STYLES = {
    "long": _Style(0.00, 0.045, 0.06, 0.70, 0.75, 0.10),
    "fringe": _Style(0.085, 0.050, 0.05, 0.70, 0.75, 0.0, 0.10),
    "wavy": _Style(0.01, 0.045, 0.085, 0.70, 0.75, 0.22, waves=0.014),
    "bob": _Style(0.03, 0.055, 0.075, 0.24, 0.22, 0.16),
    "tied": _Style(-0.01, 0.018, 0.012, -0.10, slant=0.06),
    "curly": _Style(0.02, 0.045, 0.10, 0.20, 0.18, waves=0.016, curls=True),
    "pixie": _Style(0.05, 0.040, 0.03, -0.02, slant=0.28),
    "short": _Style(),
    "parted": _Style(0.02, 0.025, 0.02, -0.03, slant=0.22, corner=0.14),
    "crop": _Style(0.02, 0.018, 0.0, -0.08, corner=0.09),
    "quiff": _Style(-0.01, 0.022, 0.012, -0.06, slant=0.08, corner=0.12, waves=0.006),
    "receding": _Style(-0.03, 0.016, 0.008, -0.06, corner=0.16, temples=0.06),
    "bald": _Style(-0.60, 0.012, 0.0, -0.06),
}


def _strands(page: Page, style: _Style) -> np.ndarray:
    """(h, w) brightness of the hair: strands that fall from the crown, or curls, and a gloss."""
    u, v = page.u, page.v
    if style.curls:
        fall = np.sin(62 * u + 2 * np.sin(31 * v)) * np.sin(58 * v + 2 * np.sin(29 * u))
    else:
        turn = u / (v + 1.15) + style.waves * 2.5 * np.sin(22 * v)
        fall = 0.5 * np.sin(105 * turn) + 0.5 * np.sin(47 * turn + 2)
    gloss = np.exp(-(((v + 0.40 - 0.9 * u**2) / 0.06) ** 2))
    return 0.86 + 0.13 * fall + 0.30 * gloss * (1 + 0.5 * fall)


def _outline(page: Page, face: Looks, style: _Style, ends: float) -> np.ndarray:
    """Signed distance to the outside of the hair."""
    u, v = page.u, page.v
    half = face.cheek + style.volume
    bend = style.waves * (np.sin(30 * v + np.sign(u)) + style.curls * np.sin(52 * u))
    skull = ellipse(u, v, 0.0, -0.16, half, 0.48)
    return np.minimum(skull, box_distance(u, v, half, -0.30, ends, 0.08)) + bend


def draw_back_hair(page: Page, face: Looks) -> None:
    style = _STYLES[face.style]
    if style.back is not None:
        hidden = page.cover(_outline(page, face, style, style.back) + 0.008)
        tone = np.multiply(face.hair, 0.55).astype(np.float32)[:, None, None]
        page.paint(hidden, tone * _strands(page, style))


def draw_front_hair(page: Page, face: Looks) -> None:
    """Hair around the face, with its shadow on the skin."""
    style, u = _STYLES[face.style], page.u
    slant = style.slant * face.part
    v = page.v + slant * u + style.temples * np.exp(-(((np.abs(u) - 0.2) / 0.07) ** 2))
    top = face.hairline + style.lower
    opening = box_distance(u, v, face.cheek - style.sides, top, 1.2, style.corner)
    opening = opening + 0.4 * style.waves * np.sin(40 * u)
    hair = np.maximum(_outline(page, face, style, style.ends), -opening)
    hair = np.maximum(hair, page.v - style.ends)
    if style.lower > -0.5:
        fall = np.exp(np.minimum(opening, 0) / 0.025) * page.cover(page.v + 0.12, 0.3)
        page.stain(0.40 * fall, (0.55, 0.42, 0.40))
    tone = np.array(face.hair, np.float32)[:, None, None]
    page.paint(page.cover(hair, 0.006), tone * _strands(page, style))
