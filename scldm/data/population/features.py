"""The parts of a drawn face, painted one over the other."""

from __future__ import annotations

import numpy as np

from scldm.data.population.camera import EYE_LINE, Photo, mouth_corners
from scldm.data.population.page import Page, blend, bump, draw_line, ellipse, join, stroke
from scldm.data.population.people import Looks


def draw_backdrop(page: Page, shot: Photo) -> None:
    """A wall, lighter on the side of the light."""
    slope = np.clip(0.5 + 0.7 * (page.v - shot.light[0] * page.u), 0, 1)
    high, low = shot.backdrop.astype(np.float32)[:, :, None, None]
    page.rgb[:] = high + slope * (low - high)


def _head(u: np.ndarray, v: np.ndarray, face: Looks) -> np.ndarray:
    """Signed distance to the outline of skull, jaw and chin."""
    skull = ellipse(u, v, 0.0, -0.16, face.cheek, 0.44)
    jaw = ellipse(u, v, 0.0, 0.10, face.jaw, face.chin - 0.13)
    chin = ellipse(u, v, 0.0, face.chin - 0.10, face.chin_width, 0.10)
    return join(join(skull, jaw, 0.16), chin, 0.12)


def _relief(page: Page, face: Looks, shot: Photo) -> np.ndarray:
    """(h, w) Light that falls on the skin, 0 to 1, from an ellipsoid with hills on it."""
    nu, nv = page.u / 0.50, (page.v + 0.02) / 0.66
    tip, mouth, wide = face.nose_tip, face.mouth, face.nose_width
    hills = (  # u (not 0: on both sides), v, widths, height
        (0.0, tip - 0.10, 0.026, 0.085, 0.018), (0.0, tip - 0.008, 0.030, 0.030, 0.024),
        (0.60 * wide, tip + 0.016, 0.020, 0.020, 0.012),
        (face.eye_gap, EYE_LINE, 0.085, 0.050, -0.020), (0.20, 0.01, 0.075, 0.065, 0.016),
        (0.11, face.brow_height, 0.10, 0.024, 0.010), (0.0, mouth + 0.075, 0.07, 0.018, -0.010),
        (0.0, face.chin - 0.075, 0.06, 0.05, 0.016), (0.0, mouth, 0.10, 0.05, 0.010),
    )  # fmt: skip
    for cu, cv, su, sv, height in hills:
        for side in (-1, 1) if cu else (1,):
            centre = side * cu + 0.4 * shot.yaw * (cv > -0.15) * (cu < 0.1)
            part = page.part(centre - 3 * su, cv - 3 * sv, centre + 3 * su, cv + 3 * sv)
            u, v = page.u[part], page.v[part]
            hill = height * bump(u, v, centre, cv, su, sv)
            nu[part] += hill * (u - centre) / su**2
            nv[part] += hill * (v - cv) / sv**2
    nz = np.sqrt(np.maximum(1 - np.minimum(nu**2 + nv**2, 1), 0.10))
    lu, lv, lz = shot.light
    return np.clip((nu * lu + nv * lv + nz * lz) / np.sqrt(nu**2 + nv**2 + nz**2), 0, 1)


def draw_skin(page: Page, face: Looks, shot: Photo) -> None:
    """The face without its features: light, blush, beard, wrinkles."""
    u, v = page.u, page.v
    inside = page.cover(_head(u, v, face))
    light = _relief(page, face, shot)
    skin = np.array(face.skin, np.float32)[:, None, None]
    shade = skin * np.array((0.50, 0.40, 0.38), np.float32)[:, None, None]
    page.paint(inside, shade + (skin - shade) * (0.22 + 0.98 * light))
    page.paint(inside * 0.20 * np.square(np.square(np.square(np.square(light)))), (1.0, 0.97, 0.92))
    for side in (-1, 1):
        part = page.window(side * 0.21 - 0.2, -0.14, side * 0.21 + 0.2, 0.22)
        part.stain(0.22 * bump(part.u, part.v, side * 0.21, 0.04, 0.07, 0.05), (1.0, 0.72, 0.70))
    if face.beard:
        _beard(page, face, inside)
    if face.wrinkles > 0.1:
        _wrinkles(page, face, shot)


def _beard(page: Page, face: Looks, inside: np.ndarray) -> None:
    """A shadow on the jaw, or a full beard in the colour of the brows."""
    u, v = np.abs(page.u), page.v
    edge = 0.135 - 0.065 * np.exp(-((u / 0.11) ** 2)) - np.maximum(u - 0.19, 0)
    jaw = inside * np.clip((v - edge) / 0.05, 0, 1)
    if face.beard < 0.6:
        page.stain(face.beard * jaw, (0.62, 0.64, 0.68))
    else:
        across, down = 95 * page.u + 2 * np.sin(37 * v), 60 * v + 2 * np.sin(41 * u)
        curls = 1 + 0.09 * np.sin(across) * np.sin(down)
        tone = np.array(blend(face.hair, face.brows), np.float32)[:, None, None]
        page.paint((0.50 + 0.4 * face.beard) * jaw, tone * curls)


def _wrinkles(page: Page, face: Looks, shot: Photo) -> None:
    """Folds beside the mouth, lines on the forehead, crow's feet and bags under the eyes."""
    old, wide, tip = face.wrinkles, face.nose_width, face.nose_tip
    corner, eye = mouth_corners(face, shot)[1], face.eye_gap
    lines = [
        ((wide + 0.012, tip + 0.01), (corner[0] + 0.035, corner[1]), -0.012, 0.55),
        ((eye - 0.06, EYE_LINE + 0.048), (eye + 0.06, EYE_LINE + 0.045), 0.018, 0.40),
        ((eye + 0.095, EYE_LINE - 0.005), (eye + 0.135, EYE_LINE - 0.022), 0.003, 0.45),
        ((eye + 0.095, EYE_LINE + 0.012), (eye + 0.132, EYE_LINE + 0.018), 0.003, 0.45),
    ]
    mirrored = [((-a, b), (-c, d), -bend, dark) for (a, b), (c, d), bend, dark in lines]
    forehead = [((-0.16, v), (0.16, v), -0.012, 0.28) for v in (-0.335, -0.362)]
    for start, end, bend, dark in (*lines, *mirrored, *forehead):
        draw_line(page, start, end, bend, 0.0075, old * dark, (0.45, 0.32, 0.30))


def draw_nose(page: Page, face: Looks, shot: Photo) -> None:
    """Nostrils, wings and the shadow under the tip; the ridge is part of the relief."""
    tip, wide, turn = face.nose_tip, face.nose_width, 0.4 * shot.yaw
    part = page.window(-0.2, tip - 0.12, 0.2, tip + 0.14)
    u, v = part.u - turn, part.v
    part.stain(0.35 * bump(u, v, 0.0, tip + 0.052, 0.8 * wide, 0.014), (0.62, 0.48, 0.46))
    for side in (-1, 1):
        dark = part.cover(ellipse(u, v, side * 0.42 * wide, tip + 0.036, 0.017, 0.0085), 0.012)
        part.stain(0.75 * dark, (0.38, 0.24, 0.22))
        top, low = side * 0.86 * wide + turn, side * 0.74 * wide + turn
        draw_line(
            page, (top, tip - 0.012), (low, tip + 0.04), -0.020, 0.008, 0.42, (0.52, 0.36, 0.33)
        )
    lit = bump(u, v, 0.012 * float(np.sign(shot.light[0])), tip - 0.012, 0.014, 0.012)
    part.paint(0.28 * lit, (1.0, 0.96, 0.92))


def draw_mouth(page: Page, face: Looks, shot: Photo, sex: str) -> None:
    """Lips around a line between the corners; an open mouth shows teeth."""
    (_, high), (wide, _) = mouth_corners(face, shot)
    part = page.window(-wide - 0.03, face.mouth - 0.1, wide + 0.03, face.mouth + 0.14)
    u, v = part.u, part.v
    x = np.clip(u / wide, -1, 1)
    bow = 1 - x**2
    line = high + (face.mouth + 0.012 * shot.smile - high) * bow
    half = 0.030 * shot.gap * bow
    beyond = np.abs(u) - wide
    top = line - half - 0.72 * face.lips * bow * (1 - 0.28 * np.exp(-((x / 0.13) ** 2)))
    low = line + half + face.lips * np.sqrt(bow)
    red = (0.74, 0.20, 0.26) if sex == "F" else (0.60, 0.28, 0.26)
    lip = np.array(blend(face.skin, red, 0.52 if sex == "F" else 0.30), np.float32)
    upper = part.cover(np.maximum(np.maximum(top - v, v - line), beyond))
    lower = part.cover(np.maximum(np.maximum(line - v, v - low), beyond))
    part.stain(0.30 * bump(u, v, 0.0, face.mouth + 0.075, 0.08, 0.012), (0.60, 0.48, 0.46))
    part.paint(upper, 0.80 * lip)
    part.paint(lower, lip)
    gleam = bump(u, v, -0.02, face.mouth + 0.55 * face.lips + 0.03 * shot.gap, 0.035, 0.008)
    part.paint(0.25 * lower * gleam, (1.0, 0.92, 0.90))
    if shot.gap > 0.05:
        inner = part.cover(np.maximum(np.abs(v - line) - half, beyond))
        part.paint(inner, (0.20, 0.05, 0.06))
        part.paint(inner * part.cover(v - line - 0.25 * half, 0.006), (0.95, 0.93, 0.89))
    dark = np.exp(-(((v - line) / 0.006) ** 2)) * part.cover(beyond, 0.01)
    part.stain(dark * max(0.0, 0.85 - 3 * shot.gap), (0.42, 0.20, 0.20))


def draw_eye(page: Page, face: Looks, shot: Photo, side: int, sex: str) -> None:
    """An almond with iris, pupil and a catch of the light, under lid and lashes."""
    centre, size = side * face.eye_gap, face.eye_size
    part = page.window(centre - 0.12, EYE_LINE - 0.08, centre + 0.12, EYE_LINE + 0.07)
    u, v = part.u - centre, part.v - EYE_LINE
    x = side * u / (0.074 * (0.6 + 0.4 * size))  # 1 at the outer corner
    arch, slanted = 1 - x**2, v + 0.006 * x
    upper, lower = -0.036 * size * shot.lids * arch, 0.024 * size * shot.lids * arch
    almond = part.cover(np.maximum(upper - slanted, slanted - lower))
    part.paint(almond, (0.95, 0.94, 0.92))
    gaze, iris = u - shot.gaze, np.array(face.iris, np.float32)[:, None, None]
    away = np.hypot(gaze, v + 0.004)
    radius = 0.033 * (0.5 + 0.5 * size)
    glow = 0.75 + 0.55 * np.clip((v + 0.01) / 0.03, 0, 1) - 0.45 * (away / radius) ** 6
    part.paint(almond * part.cover(away - radius), iris * np.clip(glow, 0.25, 1.4))
    part.paint(almond * part.cover(away - 0.42 * radius), (0.03, 0.03, 0.04))
    lid = np.exp(-np.maximum(slanted - upper, 0) / 0.010)
    part.stain(0.6 * almond * lid, (0.45, 0.38, 0.38))
    catch = part.cover(np.hypot(gaze - 0.016 * float(np.sign(shot.light[0])), v + 0.016) - 0.0068)
    part.paint(almond * catch, (1.0, 1.0, 1.0))
    thick = (0.0080 if sex == "F" else 0.0050) * (1 + 0.30 * np.clip(x, -1, 1.3))
    reach = 1.16 if sex == "F" else 1.02
    taper = np.clip(5 * (reach - x), 0, 1) * np.clip(8 * (1.06 + x), 0, 1)
    rim = np.where(np.abs(x) < 1, upper, -0.08 * (np.abs(x) - 1))
    lash = part.cover(np.abs(slanted - rim + 0.002) - thick * taper)
    part.paint(lash * np.sqrt(taper), (0.10, 0.06, 0.06))
    crease = np.exp(-(((slanted - 0.85 * upper + 0.030) / 0.006) ** 2)) * np.clip(1.2 - x**2, 0, 1)
    part.stain(0.45 * crease, (0.55, 0.40, 0.37))


def draw_brow(page: Page, face: Looks, shot: Photo, side: int) -> None:
    """A tapering arc of hair."""
    height = face.brow_height - shot.lift
    start = (side * (face.eye_gap - 0.085), height + 0.004)
    end = (side * (face.eye_gap + 0.095), height + 0.012 + face.brow_tilt)
    part = page.window(start[0] * 0.5, height - 0.1, end[0] * 1.2, height + 0.14)
    away, along = stroke(part.u, part.v, start, end, -0.022 * side)
    thick = face.brow_weight * (1 - 0.65 * along * np.sqrt(along))
    part.paint(0.92 * part.cover(away - thick, 0.008), face.brows)


def draw_ears(page: Page, face: Looks) -> None:
    for side in (-1, 1):
        centre = side * (face.cheek + 0.005)
        part = page.window(centre - 0.09, -0.25, centre + 0.09, 0.05)
        outer = part.cover(ellipse(part.u, part.v, centre, -0.10, 0.045, 0.095))
        part.paint(outer, np.multiply(face.skin, (0.86, 0.78, 0.76)))
        hollow = bump(part.u, part.v, centre + side * 0.008, -0.11, 0.016, 0.045)
        part.stain(0.5 * outer * hollow, (0.60, 0.42, 0.40))


def draw_shoulders(page: Page, face: Looks) -> None:
    """The neck in the shadow of the head, and the edge of the clothes."""
    part = page.window(-0.75, 0.2, 0.75, 0.75)
    u, v = np.abs(part.u), part.v
    part.paint(part.cover(u - face.neck), np.multiply(face.skin, (0.68, 0.58, 0.56)))
    slope = 0.445 + 0.30 * np.maximum(u - face.neck, 0)
    neckline = ellipse(u, v, 0.0, 0.40, face.neck + 0.01, 0.10)
    part.paint(part.cover(np.maximum(slope - v, -neckline)), face.clothes)
