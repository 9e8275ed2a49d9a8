"""Every metric of voices that is one value a voice, the controls, and what the truth is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.manifest import Manifest, first_two
from scldm.data.media import read_audio
from scldm.data.samples import Samples
from scldm.evaluation.hearing import Heard, hear, parallel, word_errors, words_of
from scldm.evaluation.pairing import Method
from scldm.evaluation.retrieval import ranks, recall, usable
from scldm.evaluation.scoring import Scores, over_strangers
from scldm.evaluation.seeing import ages
from scldm.voice.protocols import SpeakerEncoder

BETWEEN = 165.0  # Hz, between most men and most women
ADULT = {"M": (75.0, 165.0), "F": (145.0, 275.0)}  # Hz: mean F0 of adults when they speak


@dataclass(frozen=True)
class VoiceTruth:
    """What is known of a manifest's rows; G people have a recording.

    Attributes:
        columns: the manifest's.
        age: (rows,) years, NaN where unknown.
        clip, other: (rows,) index of the person's first recording, and of another, in `heard`.
        gallery: (G,) index in `heard` of one recording a person; `place` (rows,): the person's.
        heard: the judge's view of all recordings used; None where there are none.
    """

    columns: Manifest
    age: np.ndarray
    clip: np.ndarray
    other: np.ndarray
    gallery: np.ndarray
    place: np.ndarray
    heard: Heard | None

    @property
    def person(self) -> np.ndarray:
        """(rows,) whose face it is."""
        return self.columns["person"]


def hear_truth(
    truth: Manifest, speech: Samples | None, rows: np.ndarray, judge: SpeakerEncoder,
    faults: list[str],
) -> VoiceTruth:
    """Hear the true voices of the people of `rows`, and of everybody else in their splits."""
    none = np.full(len(truth), -1)
    nothing = VoiceTruth(truth, ages(truth), none, none, none[:0], none, None)
    if speech is None:
        return nothing
    wanted = np.isin(truth["split"], np.unique(truth["split"][rows]))
    people = np.where(wanted, truth["person"], "")
    first, second = first_two(people, speech.manifest, "audio")
    asked = np.unique(np.concatenate((first, second)))
    asked = asked[asked >= 0]
    if not len(asked):
        return nothing

    def recordings() -> Iterator[np.ndarray | InputError]:
        for row in asked:
            try:
                yield speech.speech(int(row))
            except InputError as error:
                yield error

    heard = hear(judge, recordings(), len(asked), "true voices", faults)
    index = {int(asked[number]): place for place, number in enumerate(heard.kept)}
    clip, other = (np.array([index.get(int(r), -1) for r in rows_]) for rows_ in (first, second))
    gallery = np.unique(clip[clip >= 0])
    place = np.where(clip >= 0, np.searchsorted(gallery, clip), -1)
    return VoiceTruth(truth, ages(truth), clip, other, gallery, place, heard)


def score_voices(
    features: Tensor, f0: np.ndarray, rows: np.ndarray, truth: VoiceTruth
) -> Scores:
    """Metrics of N voices, features (N, D) and f0 (N,), as voices of the faces of `rows` (N,)."""
    scores = Scores({}, {}, {})

    def put(name: str, values: np.ndarray | Tensor, kept: np.ndarray) -> None:
        if len(kept):
            scores.values[name] = np.asarray(values, dtype=float)
            scores.rows[name] = rows[kept]

    voiced = ~np.isnan(f0)
    if truth.heard:
        known = np.flatnonzero(truth.clip[rows] >= 0)
        true, made = truth.heard.features[truth.clip[rows[known]]], features[known]
        put("similarity", F.cosine_similarity(made, true, dim=1), known)
        gallery = truth.heard.features[truth.gallery]
        rank = ranks(made, gallery, torch.from_numpy(truth.place[rows[known]]))
        for k in usable(len(gallery)):
            put(f"R@{k}", recall(rank, len(gallery), k), known)
            scores.chance[f"R@{k}"] = k / len(gallery)
        wanted = np.full(len(rows), np.nan)
        wanted[known] = truth.heard.f0[truth.clip[rows[known]]]
        both = np.flatnonzero(voiced & ~np.isnan(wanted))
        put("F0 error", np.abs(12 * np.log2(f0[both] / wanted[both])), both)
    gender = truth.columns["gender"][rows]
    told = np.flatnonzero(voiced & (gender != ""))
    put("gender by F0", np.where(f0[told] > BETWEEN, "F", "M") == gender[told], told)
    inside = [ADULT[g][0] <= f <= ADULT[g][1] for f, g in zip(f0[told], gender[told], strict=True)]
    put("F0 plausible", np.array(inside), told)
    return scores


def shuffled_faces(
    features: Tensor, f0: np.ndarray, rows: np.ndarray, truth: VoiceTruth, within_gender: bool
) -> Scores | None:
    """Scores where each face has voices of other people's faces, mean over ten; None where there
    are no others. With `within_gender` they are of the same gender."""
    f0 = np.where(np.isnan(f0), BETWEEN, f0)  # so that each draw has the same rows

    def of_others(index: np.ndarray) -> Scores:
        return score_voices(features[torch.from_numpy(index)], f0[index], rows, truth)

    return over_strangers(truth.columns.where(rows), within_gender, of_others)


def compare(
    method: Method, reference: Method | None, words: bool, faults: list[str]
) -> Scores:
    """What is measured on the first voice of each face alone: "MCD" and "F0 RMSE" against the
    reference of the same face and text, and word error rate."""
    _, first = np.unique(method.rows, return_index=True)
    texts = said(method)
    partner: dict[int, Path] = {}
    if reference:
        spoken = said(reference)
        for file, row in zip(reference.files, reference.rows, strict=True):
            partner.setdefault(int(row), file)
    found: dict[str, list[float]] = {"MCD": [], "F0 RMSE": [], "word error rate": []}
    rows: dict[str, list[int]] = {name: [] for name in found}

    def put(name: str, value: float, row: int) -> None:
        if not np.isnan(value):
            found[name].append(value)
            rows[name].append(row)

    with Progress(f"comparing {method.name}", len(first)) as bar:
        for number in sorted(first.tolist()):
            file, row = method.files[number], int(method.rows[number])
            bar.update()
            try:
                audio = read_audio(file, window=60.0)
                if reference and (other := partner.get(row)) and spoken[other] == texts[file]:
                    mcd, rmse = parallel(audio, read_audio(other, window=60.0))
                    put("MCD", mcd, row)
                    put("F0 RMSE", rmse, row)
                if words and words_of(texts[file]):
                    put("word error rate", word_errors(audio, texts[file]), row)
            except InputError as error:
                faults.append(str(error))
    kept = {name: values for name, values in found.items() if values}
    return Scores({name: np.array(values) for name, values in kept.items()},
                  {name: np.array(rows[name]) for name in kept}, {})


def said(method: Method) -> dict[Path, str]:
    """The text of each file of a method."""
    folders = {file.parent.parent for file in method.files}
    lines = [
        (folder, json.loads(line))
        for folder in folders
        for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return {folder / facts["path"]: str(facts.get("text", "")) for folder, facts in lines}


