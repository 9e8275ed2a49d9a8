"""Every metric of portraits that is one value a portrait or a clip, and the shuffled controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scldm.core.seeding import numpy_generator
from scldm.data.manifest import Manifest
from scldm.evaluation.distances import distances
from scldm.evaluation.judges import Judgement
from scldm.evaluation.retrieval import ranks, recall, usable
from scldm.evaluation.seeing import Truth

NEAR = 10  # years
SHUFFLES = 10  # other people whose portraits a shuffled control averages over


@dataclass(frozen=True)
class Scores:
    """One value a portrait (or a clip) for each metric, and the truth's row of each."""

    values: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    chance: dict[str, float]


def score(seen: Judgement, clips: list[str], rows: np.ndarray, truth: Truth) -> Scores:
    """Every metric of N portraits judged as `seen`, shown for the clips of `rows` (N,)."""
    scores = Scores({}, {}, {})

    def put(name: str, values: Tensor | np.ndarray, kept: np.ndarray) -> None:
        if len(values):
            scores.values[name] = np.asarray(values, dtype=float)
            scores.rows[name] = rows[kept]

    faced = np.flatnonzero(truth.face[rows] >= 0)
    if len(faced):
        made = seen.features[faced]
        found = distances(made, truth.seen.features[truth.face[rows[faced]]])
        for name, values in found.items():
            put(name, values, faced)
        gallery = truth.seen.features[truth.gallery]
        rank = ranks(made, gallery, torch.from_numpy(truth.place[rows[faced]]))
        for k in usable(len(gallery)):
            put(f"R@{k}", recall(rank, len(gallery), k), faced)
            scores.chance[f"R@{k}"] = k / len(gallery)
        _top_three(put, found["cos"].numpy(), [clips[i] for i in faced], faced)
    gender = truth.columns["gender"][rows]
    known = np.flatnonzero(gender != "")
    said = np.where(seen.gender.numpy()[known] == 1, "M", "F")
    put("gender", said == gender[known], known)
    aged = np.flatnonzero(~np.isnan(truth.age[rows]))
    gap = np.abs(seen.age.numpy()[aged] - truth.age[rows[aged]])
    put(f"age within {NEAR} years", gap <= NEAR, aged)
    put("age error", gap, aged)
    return scores


def _top_three(
    put: Callable[[str, np.ndarray, np.ndarray], None], angle: np.ndarray, clips: list[str],
    kept: np.ndarray,
) -> None:
    """Mean and variance of the angle over a clip's first three portraits (seed 003, Fig. 6)."""
    _, of = np.unique(np.array(clips, dtype=object), return_inverse=True)
    threes = [np.flatnonzero(of == clip)[:3] for clip in range(of.max() + 1)]
    threes = [three for three in threes if len(three) == 3]
    if threes:
        index = np.array(threes)
        put("cos, mean of three", angle[index].mean(1), kept[index[:, 0]])
        put("cos, variance of three", angle[index].var(1), kept[index[:, 0]])


def shuffled(
    seen: Judgement, clips: list[str], rows: np.ndarray, truth: Truth, within_gender: bool
) -> Scores | None:
    """Scores where each clip has the portraits of other people's clips; None where one has none.

    Mean over ten random others. With `within_gender` they are of the same gender: the control that
    shows more than gender.
    """
    def of_others(index: np.ndarray) -> Scores:
        other = Judgement(*(column[index] for column in vars(seen).values()))
        return score(other, clips, rows, truth)

    return over_strangers(truth.columns.where(rows), within_gender, of_others)


def over_strangers(
    owners: Manifest, within_gender: bool, score_of: Callable[[np.ndarray], Scores]
) -> Scores | None:
    """Scores where each of N things is taken for that of a random other person, mean over ten.

    Args:
        owners: N rows: whose things they are.
        within_gender: the others are of the same gender.
        score_of: the scores of the things at an index (N,) of others.
    """
    person, gender = (
        np.unique(owners[name], return_inverse=True)[1] for name in ("person", "gender")
    )
    rng, drawn = numpy_generator(0, "shuffled"), list[Scores]()
    for _ in range(SHUFFLES):
        index = strangers(person, gender if within_gender else np.zeros_like(gender), rng)
        if index is None:
            return None
        drawn.append(score_of(index))
    first = drawn[0]
    means = {name: np.mean([d.values[name] for d in drawn], axis=0) for name in first.values}
    return Scores(means, first.rows, first.chance)


def strangers(
    person: np.ndarray, group: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """For each of N rows a random one of the same group and another person; None where there is no
    such. person, group (N,): numbers. Memory grows with N alone."""
    order = np.lexsort((person, group))
    key = (group * (person.max() + 1) + person)[order]  # rows of a person in a group lie together
    group = group[order]
    first, last = (np.searchsorted(group, group, side) for side in ("left", "right"))
    mine, past = (np.searchsorted(key, key, side) for side in ("left", "right"))
    room = (last - first) - (past - mine)
    if not room.all():
        return None
    place = first + (rng.random(len(order)) * room).astype(int)
    place += np.where(place >= mine, past - mine, 0)  # past the person's own rows
    chosen = np.empty(len(order), dtype=int)
    chosen[order] = order[place]
    return chosen
