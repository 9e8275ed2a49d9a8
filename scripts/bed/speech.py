"""Speech: six-second clips of the adults of speechocean762 and LibriSpeech."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from bed.archives import OCEAN, extract, wanted
from bed.common import Built, Options, Row, split_of, unit
from scldm.core.errors import InputError
from scldm.data.media import read_audio

SPEECH_SHARES = (("train", 0.7), ("val", 0.1), ("test", 0.2))
RATE, CLIP = 16000, 96000  # Hz; samples in six seconds


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


def read_pairs(path: Path) -> dict[str, str]:
    """A table of Kaldi's kind: a key, white space and a value on each line."""
    if not path.is_file():
        raise InputError(f"{OCEAN.name}: lacks {path.parent.name}/{path.name}; download it again")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


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
