"""`scldm evaluate-voice`: from folders of voices and a manifest to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scldm.core.artifact import staged, write_text
from scldm.core.errors import InputError
from scldm.data.manifest import Manifest
from scldm.data.samples import Samples, open_samples
from scldm.evaluation.dcts import dcts
from scldm.evaluation.evaluate import Row, Table, by_subgroup, estimates
from scldm.evaluation.hearing import Heard, has_recogniser, hear, read_files
from scldm.evaluation.pairing import VOICES, Kind, Method, read_method
from scldm.evaluation.report import COLUMNS, provenance, rest, table_lines, write_metrics
from scldm.evaluation.voice_scoring import (
    VoiceTruth,
    compare,
    hear_truth,
    score_voices,
    shuffled_faces,
)
from scldm.voice.speaker import open_speaker

SUBGROUP = ("similarity", "gender by F0", "F0 error", "F0 plausible")


@dataclass(frozen=True)
class VoiceQuestion:
    """What `scldm evaluate-voice` is asked.

    Attributes:
        folders: of voices, one a method.
        truth: manifest of the faces.
        speech: manifest of what those people really sound like; None: the truth's own.
        judge: see `open_speaker`; it should not have taken part in training.
        reference: folder of voices of the same faces and text, for MCD and F0 RMSE.
        words: whether to count word errors.
        tuple_size: K of DCTS.
        kind: what the voices are of.
    """

    folders: Sequence[Path]
    truth: Path
    judge: str
    speech: Path | None = None
    reference: Path | None = None
    words: bool = True
    tuple_size: int = 8
    kind: Kind = VOICES


def evaluate_voices(question: VoiceQuestion, out: Path) -> tuple[list[str], list[str]]:
    """Measure the voices of each folder, and write metrics.json, table.md and embeddings.npz (of
    the first, for `scldm dcts`) below `out`.

    Returns one line for everything given that could not be used, and one for each figure that
    could not be had. Raises InputError when nothing can be measured.
    """
    names = [folder.resolve().name for folder in question.folders]
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: give folders of different names, one a method")
    faces = open_samples(question.truth).manifest
    methods = [
        read_method(folder, faces, name, question.kind)
        for folder, name in zip(question.folders, names, strict=True)
    ]
    given = question.reference
    reference = read_method(given, faces, kind=question.kind) if given else None
    judge, faults = open_speaker(question.judge), [f for m in methods for f in m.faults]
    heard = [hear(judge, read_files(m.files), len(m.files), m.name, faults) for m in methods]
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    truth = hear_truth(faces, _speech(question, faces), rows, judge, faults)
    table, words = Table(), question.words and has_recogniser()
    if question.words and not words:
        table.notes.append("word error rate: it needs pip install 'scldm[evaluation]'")
    for method, voices in zip(methods, heard, strict=True):
        measure(method, voices, truth, table)
        extra = compare(method, reference, words, faults)
        table.methods[method.name] |= estimates(extra, None, truth)
        table.methods[method.name] |= consistency(method, voices, question.tuple_size, table)
    others(rows, truth, table)
    write_report(out, table, question, len(rows), truth)
    keep_embeddings(methods[0], heard[0], out / "embeddings.npz")
    return faults, table.notes


def _speech(question: VoiceQuestion, faces: Manifest) -> Samples | None:
    if question.speech:
        return open_samples(question.speech, has="audio")
    return open_samples(question.truth, has="audio") if (faces["audio"] != "").any() else None


def measure(method: Method, voices: Heard, truth: VoiceTruth, table: Table) -> None:
    """Figures of a method and of its controls, and by subgroup."""
    rows = method.rows[voices.kept]
    scores = score_voices(voices.features, voices.f0, rows, truth)
    controls = {
        f"{method.name}, {name}": control
        for name, within in (("shuffled faces", False), ("shuffled within gender", True))
        if (control := shuffled_faces(voices.features, voices.f0, rows, truth, within))
    }
    base = controls.get(f"{method.name}, shuffled faces")
    table.methods[method.name] = estimates(scores, base, truth)
    table.methods |= {name: estimates(control, base, truth) for name, control in controls.items()}
    table.subgroups[method.name] = list(by_subgroup(scores, base, truth, ("gender", "age")))


def consistency(method: Method, voices: Heard, k: int, table: Table) -> Row:
    """DCTS and its two ratios of a method's voices, an identity a face; a note where there are not
    `k` voices of a face."""
    faces = np.array(method.clips, dtype=object)[voices.kept].astype(str)
    try:
        found = dcts(voices.features.double().numpy(), faces, k)
    except InputError as error:
        table.notes.append(f"{method.name}, DCTS: {error}")
        return {}
    return {"DCTS": (found.score, 0.5), "RIR": (found.rir, 1.0), "RCR": (found.rcr, 1.0)}


def others(rows: np.ndarray, truth: VoiceTruth, table: Table) -> None:
    """The figures of a real other recording of each person: what could be had at best."""
    known = rows[(truth.clip[rows] >= 0) & (truth.other[rows] >= 0)]
    if truth.heard and len(known):
        index = truth.other[known]
        real = score_voices(truth.heard.features[index], truth.heard.f0[index], known, truth)
        table.methods["real other recording"] = estimates(real, None, truth)


def write_report(
    out: Path, table: Table, question: VoiceQuestion, faces: int, truth: VoiceTruth
) -> None:
    """Write `metrics.json` and `table.md` below `out`."""
    facts = {"judge": question.judge, "gallery": len(truth.gallery), "faces": faces,
             "K of DCTS": question.tuple_size, **provenance()}
    write_metrics(out, table, facts)
    lines = table_lines({(n,): row for n, row in table.methods.items()}, tuple(COLUMNS), "method")
    lines += ["", f"{faces} faces, a gallery of {len(truth.gallery)} voices; 95 % intervals over "
              f"people. Judge: {question.judge}. DCTS at K = {question.tuple_size}."]
    lines += rest(table, SUBGROUP)
    write_text(out / "table.md", "\n".join([*lines, "", f"`{facts['command']}`"]) + "\n")


def keep_embeddings(method: Method, voices: Heard, path: Path) -> None:
    """Write the judge's embeddings of a method's voices, as `scldm dcts` reads them."""
    faces = np.array(method.clips, dtype=object)[voices.kept].astype(str)
    with staged(path) as part, part.open("wb") as file:
        np.savez(file, identity=faces, embeddings=voices.features.numpy())
