"""Faces: the clear frontal adult ones of FairFace, as many of each gender in every split."""

from __future__ import annotations

import csv
import os
import re
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bed.archives import LABELS, WIDE, wanted
from bed.common import Built, Options, Row, split_of, unit
from scldm.core.errors import InputError
from scldm.data.media import read_image

PLACES = ("face_x", "face_y", "face_w", "face_h", "left_eye_x", "left_eye_y", "right_eye_x",
          "right_eye_y", "nose_x", "nose_y", "left_mouth_x", "left_mouth_y", "right_mouth_x",
          "right_mouth_y")
ADULT = {f"{lo}-{lo + 9}": (str(lo), str(lo + 9)) for lo in range(20, 70, 10)}
ADULT["more than 70"] = ("70", "")
FACE_SHARES = (("train", 55 / 63), ("val", 3 / 63), ("test", 5 / 63))
SIDE = 224  # pixels
MAX_JPEG = 20 * 2**20  # bytes


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels: box (x, y, width, height) and five points (x, y): left eye,
    right eye, nose, left and right corner of the mouth (left: the smaller x)."""

    probability: float
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]


Detector = Callable[[Image.Image], list[Face]]


def read_labels(path: Path) -> list[Row]:
    """A FairFace label table; InputError where it is not one."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if {"file", "age", "gender", "race"} <= set(reader.fieldnames or ()):
                return list(reader)
    except (csv.Error, UnicodeDecodeError):
        pass
    raise InputError(f"{path}: not FairFace's table of file, age, gender, race; download it again")


def mtcnn_detector() -> Detector:
    """MTCNN of facenet-pytorch, whose weights come within its wheel. A border of a quarter of the
    side, repeated from the edge, lets it find faces that fill the picture."""
    import torch
    from facenet_pytorch import MTCNN

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = MTCNN(keep_all=True, min_face_size=50, device=device)

    def detect(image: Image.Image) -> list[Face]:
        rim = SIDE // 4
        framed = np.pad(np.asarray(image), ((rim, rim), (rim, rim), (0, 0)), "edge")
        boxes, chances, points = network.detect(Image.fromarray(framed), landmarks=True)
        if boxes is None:
            return []
        return [Face(float(chance), (x0 - rim, y0 - rim, x1 - x0, y1 - y0),
                     tuple((x - rim, y - rim) for x, y in five.tolist()))
                for (x0, y0, x1, y1), chance, five
                in zip(np.asarray(boxes).tolist(), chances, points, strict=True)]

    return detect


def frontal(faces: list[Face]) -> Face | str:
    """The one clear frontal face, or the reason why there is none.

    The eyes' line tilts by 15 degrees at most. Along it the nose is within 0.22 eye distances of
    the middle; across it the nose is at 0.35 to 0.87 of the way from the eyes to the mouth.
    """
    clear = [face for face in faces if face.probability >= 0.99]
    if len(clear) != 1:
        return "several faces" if clear else "no clear face"
    left, right, nose, *mouth = np.array(clear[0].points)
    axis, middle = right - left, (left + right) / 2
    span = float(np.hypot(*axis))
    if span < 50:
        return "face too small"
    if abs(np.degrees(np.arctan2(axis[1], axis[0]))) > 15:
        return "head tilted"
    along, across = axis / span, np.array([-axis[1], axis[0]]) / span
    aside, fall = (nose - middle) @ along / span, (nose - middle) @ across
    drop = (np.mean(mouth, axis=0) - middle) @ across
    return clear[0] if abs(aside) <= 0.22 and 0.35 * drop <= fall <= 0.87 * drop else "not frontal"


def adult_labels(options: Options, skipped: Counter[str]) -> list[Row]:
    """The adults' rows of FairFace's two label tables, in an order fixed by the seed."""
    rows = [row for table in LABELS for row in read_labels(options.downloads / table.name)]
    adults = [row for row in rows if row["age"] in ADULT and row["gender"] in ("Male", "Female")]
    skipped["under 20 or unlabelled"] += len(rows) - len(adults)
    return sorted(adults, key=lambda row: unit(f"order {options.seed} {row['file']}"))


def face_quotas(count: int) -> dict[tuple[str, str], int]:
    """How many faces each (split, gender) takes: in every split as many women as men."""
    half = count // 2
    taken = {split: round(half * share) for split, share in FACE_SHARES[1:]}
    taken["train"] = half - sum(taken.values())
    return {(split, gender): n for split, n in taken.items() for gender in "FM"}


def standard_view(image: Image.Image, wide: bool) -> Image.Image:
    """The 224 x 224 view of padding 0.25; of a picture with padding 1.25 that is the middle
    (1 + 2 * 0.25) / (1 + 2 * 1.25) = 3/7. A picture that is this view already is returned as is."""
    if not wide and image.size == (SIDE, SIDE):
        return image
    x, y = ((side * 2 / 7 if wide else 0) for side in image.size)
    box = (x, y, image.width - x, image.height - y)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)


def face_row(label: Row, face: Face, wide: bool) -> Row:
    """The table's row; places in pixels of the 224 x 224 picture."""
    stem = "ff_" + label["file"].removesuffix(".jpg").replace("/", "_")
    age_lo, age_hi = ADULT[label["age"]]
    places = [*face.box, *(value for point in face.points for value in point)]
    source = f"FairFace {label['file']}" + (" (padding 1.25, middle)" if wide else "")
    return {"face": f"faces/{stem}.jpg", "person": stem, "gender": label["gender"][0],
            "age_lo": age_lo, "age_hi": age_hi, "split": split_of(label["file"], FACE_SHARES),
            "crop": "ready", "source": source, "licence": "CC BY 4.0 (FairFace)",
            "ethnicity": label["race"],
            **{name: f"{value:.1f}" for name, value in zip(PLACES, places, strict=True)}}


def take_face(images: zipfile.ZipFile, member: zipfile.ZipInfo, label: Row, detect: Detector,
              work: Path) -> Row | str:
    """Write one usable face below `work` and give its row, or the reason why it is skipped.
    A picture that is 224 x 224 already keeps the publisher's bytes."""
    candidate, wide = work / "candidate.jpg", Path(str(images.filename)).name == WIDE.name
    try:
        if member.file_size > MAX_JPEG:
            return "unreadable image"
        candidate.write_bytes(images.read(member))
        stored = read_image(candidate)
    except (InputError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
        return "unreadable image"
    view = standard_view(stored, wide)
    face = frontal(detect(view))
    if isinstance(face, str):
        return face
    row = face_row(label, face, wide)
    if view is stored:
        os.replace(candidate, work / row["face"])
    else:
        view.save(work / row["face"], quality=95, subsampling=0)
    return row


def balanced(rows: list[Row], work: Path, skipped: Counter[str]) -> list[Row]:
    """Drop the last faces of the gender that has more in a split."""
    have = Counter((row["split"], row["gender"]) for row in rows)
    room = {cell: min(have[cell[0], "F"], have[cell[0], "M"]) for cell in have}
    kept = []
    for row in rows:
        cell = row["split"], row["gender"]
        room[cell] -= 1
        if room[cell] >= 0:
            kept.append(row)
        else:
            skipped["dropped to balance the genders"] += 1
            (work / row["face"]).unlink()
    return kept


def open_images(path: Path) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """FairFace's zip and its members by their labels' names (train/5.jpg), in whatever folder."""
    pattern = re.compile(r"(?:.*/)?((?:train|val)/[0-9]+\.jpg)")
    try:
        images = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: not a usable zip ({error}); download it again") from error
    found = ((pattern.fullmatch(member.filename), member) for member in images.infolist())
    return images, {match[1]: member for match, member in found if match}


def build_faces(options: Options, work: Path) -> Built:
    """Clear frontal adult faces, as many of each gender in every split."""
    detect, skipped, rows = mtcnn_detector(), Counter[str](), list[Row]()
    labels, room = adult_labels(options, skipped), face_quotas(options.count)
    images, members = open_images(options.downloads / wanted("faces", options)[0].name)
    started = time.monotonic()
    with images:
        for looked, label in enumerate(labels, 1):
            cell = split_of(label["file"], FACE_SHARES), label["gender"][0]
            if not room[cell]:
                continue
            member = members.get(label["file"])
            row = (take_face(images, member, label, detect, work) if member
                   else "not in the archive")
            if isinstance(row, str):
                skipped[row] += 1
                continue
            rows.append(row)
            room[cell] -= 1
            if len(rows) % 500 == 0:
                print(f"faces: {len(rows):,} of {options.count:,} kept, {looked:,} of "
                      f"{len(labels):,} looked at, {time.monotonic() - started:.0f} s", flush=True)
            if not any(room.values()):
                break
    return balanced(rows, work, skipped), skipped
