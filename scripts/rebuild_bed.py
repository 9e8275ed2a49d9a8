"""Rebuild the training bed (faces/, faces.csv, speech/, speech.csv) from the publishers' downloads.

Nothing is downloaded here: a missing archive is named with its address and checksum, and the
archives that are there are checked and read as untrusted. See docs/training-bed.md.

    python scripts/rebuild_bed.py --downloads DIR --out DIR
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
import time
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.media import read_audio, read_image


@dataclass(frozen=True)
class Archive:
    """A publisher's file: its name, size in words, address and published MD5 (None: none is)."""

    name: str
    size: str
    address: str
    md5: str | None = None

    def __str__(self) -> str:
        checksum = f"md5 {self.md5}" if self.md5 else "no published checksum"
        return f"{self.name} | {self.size} | {self.address} | {checksum}"


@dataclass(frozen=True)
class Options:
    """What to build: `count` faces in all, at most `clips` clips a speaker."""

    downloads: Path
    out: Path
    parts: tuple[str, ...] = ("faces", "speech")
    count: int = 12600
    clips: int = 10
    librispeech: tuple[str, ...] = ("train-clean-100", "test-other")
    seed: int = 0


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels: box (x, y, width, height) and five points (x, y): left eye,
    right eye, nose, left and right corner of the mouth (left: the smaller x)."""

    probability: float
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Utterance:
    name: str
    path: Path
    text: str
    session: str


@dataclass(frozen=True)
class Speaker:
    """One adult and what was said; utterances join only within a session."""

    columns: dict[str, str]
    corpus: str
    utterances: tuple[Utterance, ...]


Row = dict[str, str]
Built = tuple[list[Row], Counter[str]]  # the table's rows; skip reasons with their counts
Detector = Callable[[Image.Image], list[Face]]

DRIVE, SLR = "https://drive.google.com/file/d/{}/view", "https://www.openslr.org/resources/{}"
NARROW, WIDE, *LABELS = (
    Archive(f"fairface{name}", size, DRIVE.format(key)) for name, size, key in (
        ("-img-margin025-trainval.zip", "about 0.6 GB", "1Z1RqRo0_JiavaZw2yzZG6WETdZQ8qX86"),
        ("-img-margin125-trainval.zip", "about 2 GB", "1g7qNOZz9wC7OfOhcPqH1EZ5bk1UFGmlL"),
        ("_label_train.csv", "about 3 MB", "1i1L3Yqwaio7YSOCj7ftgk8ZZchPG7dmH"),
        ("_label_val.csv", "under 1 MB", "1wOdja-ezstMEp81tX1a-EYkFebev4h7D"),
    ))
OCEAN = Archive("speechocean762.tar.gz", "about 0.5 GB", SLR.format("101/speechocean762.tar.gz"))
LIBRISPEECH = {
    subset: Archive(f"{subset}.tar.gz", size, SLR.format(f"12/{subset}.tar.gz"), md5)
    for subset, size, md5 in (
        ("train-clean-100", "6.3 GB", "2a93770f6d5c6c964bc36631d331a522"),
        ("dev-clean", "337 MB", "42e2234ba48799c1f50f24a7926300a1"),
        ("dev-other", "314 MB", "c8d0bcc9cca99d4f8b62fcc847357931"),
        ("test-clean", "346 MB", "32fa31d27d2e1cad72775fee3f4849a9"),
        ("test-other", "328 MB", "fb5a50374b501bb3bac4815ee91d3135"),
    )}
PLACES = ("face_x", "face_y", "face_w", "face_h", "left_eye_x", "left_eye_y", "right_eye_x",
          "right_eye_y", "nose_x", "nose_y", "left_mouth_x", "left_mouth_y", "right_mouth_x",
          "right_mouth_y")
COLUMNS = {
    "faces": ("face", "person", "gender", "age_lo", "age_hi", "split", "crop", "source", "licence",
              "ethnicity", *PLACES),
    "speech": ("audio", "person", "gender", "age_lo", "age_hi", "split", "source", "licence",
               "lang", "text"),
}
ADULT = {f"{lo}-{lo + 9}": (str(lo), str(lo + 9)) for lo in range(20, 70, 10)}
ADULT["more than 70"] = ("70", "")
FACE_SHARES = (("train", 55 / 63), ("val", 3 / 63), ("test", 5 / 63))
SPEECH_SHARES = (("train", 0.7), ("val", 0.1), ("test", 0.2))
SIDE, RATE, CLIP = 224, 16000, 96000  # pixels; Hz; samples in six seconds
MAX_JPEG = 20 * 2**20  # bytes


# --- archives -------------------------------------------------------------------------------


def wanted(part: str, options: Options) -> list[Archive]:
    """The archives a part is made of; FairFace's wide images serve where the narrow ones lack."""
    if part == "speech":
        return [OCEAN, *(LIBRISPEECH[subset] for subset in options.librispeech)]
    narrow, wide = ((options.downloads / a.name).exists() for a in (NARROW, WIDE))
    return [WIDE if wide and not narrow else NARROW, *LABELS]


def verify(path: Path, archive: Archive) -> dict[str, Any]:
    """Read the file once; its facts, or InputError where the published MD5 is another."""
    print(f"checking {archive.name}", flush=True)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            md5.update(block)
            sha256.update(block)
    if archive.md5 and md5.hexdigest() != archive.md5:
        raise InputError(f"{path}: md5 {md5.hexdigest()} is not the published {archive.md5}; "
                         f"download it again from {archive.address}")
    return {"name": archive.name, "address": archive.address, "bytes": path.stat().st_size,
            "sha256": sha256.hexdigest(), "published_md5": archive.md5}


def check_archives(parts: Sequence[str], options: Options) -> dict[str, list[dict[str, Any]]]:
    """Facts of every archive by part; InputError after naming all that are missing."""
    needed = {part: wanted(part, options) for part in parts}
    missing = [archive for archives in needed.values() for archive in archives
               if not (options.downloads / archive.name).is_file()]
    for archive in missing:
        print(f"missing: {archive}", flush=True)
    if missing:
        raise InputError(f"{options.downloads}: lacks {len(missing)} archive(s), named above; "
                         "download them into it and run this again")
    return {part: [verify(options.downloads / a.name, a) for a in archives]
            for part, archives in needed.items()}


def extract(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz within `folder`; InputError for links, for names that lead outside, and
    for contents out of proportion to the archive."""
    room = 5 * archive.stat().st_size + 2**26

    def guard(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
        nonlocal room
        room -= member.size
        if room < 0 or member.issym() or member.islnk():
            fault = "unpacks to far more than its size" if room < 0 else "holds a link"
            raise InputError(f"{archive}: {fault}; download it from its publisher again")
        return tarfile.data_filter(member, target)

    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter=guard)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{archive}: not a usable archive ({error}); download it again") from error


# --- common ---------------------------------------------------------------------------------


def unit(text: str) -> float:
    """A number in [0, 1) fixed by the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def split_of(name: str, shares: Sequence[tuple[str, float]]) -> str:
    """The split of a source or person: fixed by its name, whatever else is in the bed."""
    place, edge = unit(f"split {name}"), 0.0
    for split, share in shares:
        edge += share
        if place < edge:
            return split
    return shares[-1][0]


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


def read_pairs(path: Path) -> dict[str, str]:
    """A table of Kaldi's kind: a key, white space and a value on each line."""
    if not path.is_file():
        raise InputError(f"{OCEAN.name}: lacks {path.parent.name}/{path.name}; download it again")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


# --- faces ----------------------------------------------------------------------------------


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


# --- speech ---------------------------------------------------------------------------------


def person_columns(person: str, gender: str, age: str, licence: str, lang: str) -> Row:
    """What a speaker's rows share; the split is the person's."""
    return {"person": person, "gender": gender, "age_lo": age, "age_hi": age, "licence": licence,
            "split": split_of(person, SPEECH_SHARES), "lang": lang}


def ocean_speakers(root: Path, skipped: Counter[str]) -> Iterator[Speaker]:
    """speechocean762's speakers of 18 and older. The audio is found by its name within the
    archive; the paths in wav.scp are not followed."""
    audio = {p.stem: p for p in root.glob("WAVE/*/*") if p.suffix.lower() == ".wav"}
    licence = "free for commercial and non-commercial use (OpenSLR 101)"
    for part in ("train", "test"):
        tables = ("spk2age", "spk2gender", "utt2spk", "text")
        ages, genders, owners, texts = (read_pairs(root / part / name) for name in tables)
        said = defaultdict(list)
        for name, speaker in owners.items():
            if name in audio:
                said[speaker].append(Utterance(name, audio[name], texts.get(name, ""), speaker))
            else:
                skipped["utterance without audio"] += 1
        for speaker, utterances in said.items():
            age, gender = ages.get(speaker, ""), genders.get(speaker, "").upper()
            known = re.fullmatch("[0-9]+", age) and gender in ("F", "M")
            if not known or not re.fullmatch("[0-9]+", speaker):  # the number names files
                skipped["speaker of unknown age or gender"] += 1
            elif int(age) < 18:
                skipped["speaker under 18"] += 1
            else:
                columns = person_columns(f"so_{speaker}", gender, str(int(age)), licence,
                                         "en, first language Mandarin")
                yield Speaker(columns, "speechocean762", tuple(utterances))


def libri_genders(table: Path) -> dict[str, str]:
    """SPEAKERS.TXT: number | sex | subset | minutes | name; comments begin with a semicolon."""
    if not table.is_file():
        raise InputError(f"{table.name}: not in the LibriSpeech archives; download them again")
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    cells = [line.split("|") for line in lines if "|" in line and not line.startswith(";")]
    return {cell[0].strip(): cell[1].strip() for cell in cells}


def libri_speakers(root: Path, skipped: Counter[str]) -> Iterator[Speaker]:
    """LibriSpeech's readers, whose ages are not published; a session is a chapter."""
    genders = libri_genders(root / "SPEAKERS.TXT")
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        texts: dict[str, str] = {}
        for table in folder.glob("*/*.trans.txt"):
            texts |= read_pairs(table)
        said = tuple(Utterance(path.stem, path, texts.get(path.stem, ""), path.parent.name)
                     for path in folder.glob("*/*.flac"))
        if genders.get(folder.name) in ("F", "M"):
            columns = person_columns(f"ls_{folder.name}", genders[folder.name], "",
                                     "CC BY 4.0 (LibriSpeech)", "en")
            yield Speaker(columns, f"LibriSpeech {folder.parent.name}", said)
        else:
            skipped["speaker of unknown age or gender"] += 1


def clip_groups(speaker: Speaker, skipped: Counter[str]) -> list[list[Utterance]]:
    """Utterances that follow each other in a session, joined until they last six seconds."""
    groups, group, seconds = [], list[Utterance](), 0.0
    for utterance in sorted(speaker.utterances, key=lambda u: u.name):
        if group and group[-1].session != utterance.session:
            group, seconds = [], 0.0
        try:
            seconds += sf.info(utterance.path).duration
        except sf.LibsndfileError:
            skipped["unreadable audio"] += 1
            continue
        group.append(utterance)
        if seconds * RATE >= CLIP:
            groups.append(group)
            group, seconds = [], 0.0
    return groups


def read_clip(group: list[Utterance]) -> np.ndarray | str:
    """The first six seconds of a group, float32 (96000,) in [-1, 1], or why there are none."""
    try:
        samples = np.concatenate([read_audio(utterance.path) for utterance in group])[:CLIP]
    except InputError:
        return "unreadable audio"
    return np.clip(samples, -1, 1) if len(samples) == CLIP else "shorter than its header says"


def write_clips(speaker: Speaker, options: Options, work: Path, skipped: Counter[str]) -> list[Row]:
    """Write a speaker's clips as 16-bit FLAC, 16 kHz, mono; the seed says which are taken."""
    groups, rows = clip_groups(speaker, skipped), list[Row]()
    if not groups:
        skipped["speaker with less than six seconds"] += 1
    stem = speaker.columns["person"].replace("_", "")
    for group in sorted(groups, key=lambda g: unit(f"clip {options.seed} {g[0].name}")):
        if len(rows) == options.clips:
            break
        samples = read_clip(group)
        if isinstance(samples, str):
            skipped[samples] += 1
            continue
        audio = f"speech/{stem}_{len(rows):02d}.flac"
        sf.write(work / audio, samples, RATE, subtype="PCM_16")
        source = f"{speaker.corpus} {'+'.join(utterance.name for utterance in group)}"
        text = " ".join(utterance.text for utterance in group).strip()
        rows.append({"audio": audio, "source": source, "text": text, **speaker.columns})
    return rows


def build_speech(options: Options, work: Path) -> Built:
    """Six-second clips of adults, split by speaker."""
    skipped, rows, unpacked = Counter[str](), list[Row](), work / "unpacked"
    for archive in wanted("speech", options):
        print(f"speech: unpacking {archive.name}", flush=True)
        extract(options.downloads / archive.name, unpacked)
    speakers = [*ocean_speakers(unpacked / "speechocean762", skipped),
                *libri_speakers(unpacked / "LibriSpeech", skipped)]
    for done, speaker in enumerate(speakers, 1):
        rows += write_clips(speaker, options, work, skipped)
        if done % 25 == 0 or done == len(speakers):
            print(f"speech: {done} of {len(speakers)} speakers, {len(rows):,} clips", flush=True)
    return rows, skipped


# --- the bed --------------------------------------------------------------------------------

BUILDERS = {"faces": build_faces, "speech": build_speech}


def settings(part: str, options: Options) -> dict[str, Any]:
    """What decides a part besides its archives."""
    if part == "faces":
        return {"count": options.count, "seed": options.seed}
    subsets = sorted(options.librispeech)
    return {"clips": options.clips, "librispeech": subsets, "seed": options.seed}


def finished(part: str, staging: Path, options: Options) -> bool:
    """Whether an earlier run left this part whole, with the same settings. A part's facts are
    written last, so they say that the rest is there."""
    facts = staging / f"{part}.json"
    return facts.is_file() and json.loads(facts.read_text())["settings"] == settings(part, options)


def build_part(part: str, options: Options, staging: Path, archives: list[dict[str, Any]]) -> None:
    """Build one part in `staging`: its folder, its table and, last, its facts."""
    work, facts_file = staging / f"{part}.work", staging / f"{part}.json"
    facts_file.unlink(missing_ok=True)
    for stale in (work, staging / part):
        shutil.rmtree(stale, ignore_errors=True)
    (work / part).mkdir(parents=True)
    rows, skipped = BUILDERS[part](options, work)
    if not rows:
        raise InputError(f"{options.downloads}: no usable {part}; skipped: {listed(skipped)}")
    with (staging / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS[part], lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: row["source"]))
    splits = Counter(row["split"] for row in rows)
    facts = {"settings": settings(part, options), "rows": len(rows), "splits": splits,
             "genders": Counter(row["gender"] for row in rows), "skipped": skipped,
             "archives": archives}
    os.replace(work / part, staging / part)
    (work / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(work / "facts.json", facts_file)
    shutil.rmtree(work)
    print(f"{part}: {len(rows):,} rows ({listed(splits)}); skipped: {listed(skipped)}", flush=True)


def listed(counts: Counter[str]) -> str:
    """Names and their counts, the largest first."""
    return ", ".join(f"{name} {n:,}" for name, n in counts.most_common() if n) or "nothing"


def rebuild(options: Options) -> None:
    """Build the parts in a staging folder beside `out`, which then becomes `out` whole."""
    staging = options.out.with_name(options.out.name + ".staging")
    if options.out.exists():
        raise InputError(f"{options.out}: exists already; name another --out or remove it")
    for part in set(BUILDERS) - set(options.parts):
        if (staging / f"{part}.json").exists():
            raise InputError(f"{staging}: holds {part}, which --parts leaves out; name that part "
                             "too, or remove the folder")
    todo = [part for part in options.parts if not finished(part, staging, options)]
    facts = check_archives(todo, options)
    for part in options.parts:
        if part in todo:
            build_part(part, options, staging, facts[part])
        else:
            print(f"{part}: finished earlier, kept", flush=True)
    for stale in staging.glob("*.work"):
        shutil.rmtree(stale)
    os.replace(staging, options.out)
    print(f"{options.out}: ready")


def chosen(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once; InputError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise InputError(f"{option}: '{name}' is not one of {', '.join(known)}")
    return names


def parse(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description="Rebuild the training bed from its publishers.")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--parts", default="faces,speech", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=12600, help="faces, default: %(default)s")
    parser.add_argument("--clips", type=int, default=10, help="most clips of a speaker")
    parser.add_argument("--librispeech", default="train-clean-100,test-other",
                        help="subsets, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="says which faces and clips are taken")
    given = parser.parse_args(argv)
    if given.count < 2 or given.count % 2 or given.clips < 1:
        raise InputError("--count: give an even number from 2 on, and for --clips 1 or more")
    return Options(given.downloads, given.out, chosen(given.parts, tuple(BUILDERS), "--parts"),
                   given.count, given.clips,
                   chosen(given.librispeech, tuple(LIBRISPEECH), "--librispeech"), given.seed)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        rebuild(parse(argv))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
