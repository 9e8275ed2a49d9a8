"""DCTS: how far the voices of one face stay together and those of different faces apart.

Seed 000, Eqs. 6 to 9; I by `independence`, D by cosine. 0.5 says that embeddings of one identity
differ as much as those of different ones; more is consistency, less is diversity.
"""

from __future__ import annotations

import csv
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scldm.core.errors import InputError
from scldm.evaluation import independence
from scldm.evaluation.intervals import Estimate

EPS = 1e-8  # of Eqs. 6 and 8
ROUNDS = 2000  # of the bootstrap
FEW = 20  # identities, below which intervals cover less than 95 %
NAMED = 5  # identities with too few embeddings that a report names
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # I_intra, I_inter, D_intra, D_inter


class Embeddings(NamedTuple):
    """Embeddings (N, D) float64 and the label of each one's identity (N,)."""

    embeddings: np.ndarray
    identity: np.ndarray


@dataclass(frozen=True)
class Dcts:
    """The score in [0, 1], its two ratios, and what they are made of.

    i_intra, i_inter: nats; d_intra, d_inter: 1 - cos, in [0, 2]. tuples: of each kind. short: the
    identities of fewer than k embeddings, which give no tuple of one identity. Low and high are NaN
    when all such tuples are of a single identity.
    """

    score: Estimate
    rir: Estimate
    rcr: Estimate
    i_intra: float
    i_inter: float
    d_intra: float
    d_inter: float
    k: int
    estimator: str
    identities: int
    embeddings: int
    tuples: int
    short: tuple[str, ...]


@dataclass(frozen=True)
class _Sums:
    """What the bootstrap reweights: sums by identity (G,), and how I of strangers varies."""

    size: np.ndarray
    direction: np.ndarray  # (G, D): sum of unit embeddings
    apart: np.ndarray  # sum of 1 - cos over the pairs of one identity
    intra: np.ndarray  # sum of I over its tuples
    intra_count: np.ndarray
    inter: float  # mean of I over tuples of different identities
    effect: np.ndarray  # what one more of an identity adds to `inter`
    noise: float  # standard deviation of `inter` that no single identity explains


def ratios(
    i_intra: np.ndarray, i_inter: np.ndarray, d_intra: np.ndarray, d_inter: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """DCTS, RIR and RCR of any shape (seed 000, Eqs. 9, 6 and 8)."""
    rir, rcr = i_intra / (i_inter + EPS), d_inter / (d_intra + EPS)
    return np.sqrt(rir / (rir + 1) * rcr / (rcr + 1)), rir, rcr


def dcts(
    embeddings: np.ndarray, identity: np.ndarray, k: int = 8, estimator: str = "kde",
    seed: int = 0, tuples: int = 500,
) -> Dcts:  # fmt: skip
    """Score embeddings (N, D) of labelled identities (N,), with 95 % intervals over identities.

    Distances: over all pairs. Independence: over at most `tuples` tuples of `k` embeddings of one
    identity, and as many of k identities. estimator: kde, gmm or gaussian. I grows with k and
    depends on D and the estimator: never compare scores across them.
    Raises InputError for rows that are not finite or zero, k < 2, fewer than k identities, or no
    identity of k embeddings.
    """
    rows, labels = _checked(embeddings, identity)
    names, owner = np.unique(labels, return_inverse=True)
    size = np.bincount(owner)
    _check_choice(k, estimator, tuples, names, size)
    unit = independence.directions(rows)
    # The order of rows must not decide which tuples are drawn: identities, then directions.
    order = np.lexsort((*unit.T[::-1], owner))
    own = np.split(order, np.cumsum(size)[:-1])
    rng = np.random.default_rng(seed)
    intra = independence.intra_tuples(own, k, tuples, rng)
    inter = independence.inter_tuples(own, k, len(intra), rng)
    found = independence.ESTIMATORS[estimator](rows, np.concatenate([intra, inter]))
    sums = _sums(unit, owner, size, intra, inter, found)
    parts = _parts(sums, np.ones((1, len(names))), np.zeros(1))
    if parts[3][0] < 1e-12:
        raise InputError("all embeddings have one direction: there is nothing to compare")
    score, rir, rcr = _estimates(sums, parts, rng)
    i_intra, i_inter, d_intra, d_inter = (float(part[0]) for part in parts)
    return Dcts(
        score, rir, rcr, i_intra, i_inter, d_intra, d_inter, k, estimator, len(names), len(rows),
        len(intra), tuple(map(str, names[size < k])),
    )  # fmt: skip


def _checked(embeddings: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = np.asarray(embeddings, dtype=np.float64), np.asarray(identity)
    if rows.ndim != 2 or not rows.size:
        raise InputError(f"embeddings have the shape {rows.shape}: give (embeddings, dimensions)")
    if labels.shape != rows.shape[:1]:
        raise InputError(f"{len(rows)} embeddings but labels of the shape {labels.shape}: give one "
                         "identity an embedding")  # fmt: skip
    for bad, what in ((~np.isfinite(rows).all(axis=1), "holds a value that is not finite"),
                      (~rows.any(axis=1), "has length zero")):  # fmt: skip
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"embedding {row} (rows from 0, identity '{labels[row]}') {what}: "
                             "remove it")  # fmt: skip
    return rows, labels.astype(str)


def _check_choice(
    k: int, estimator: str, tuples: int, names: np.ndarray, size: np.ndarray
) -> None:
    if estimator not in (known := independence.ESTIMATORS):
        raise InputError(f"estimator '{estimator}' is unknown; use {', '.join(known)}")
    if k < 2 or tuples < 1:
        raise InputError(f"k is {k}, tuples is {tuples}: at least 2 and 1 are needed")
    if size.max() < k:
        raise InputError(f"no identity has {k} embeddings; '{names[size.argmax()]}' has the most, "
                         f"{size.max()}: give more of each, or a smaller k")  # fmt: skip
    if len(names) < k:
        raise InputError(f"{len(names)} identities: tuples of different ones need at least k = {k};"
                         " give more identities, or a smaller k")  # fmt: skip


def _sums(
    unit: np.ndarray, owner: np.ndarray, size: np.ndarray, intra: np.ndarray, inter: np.ndarray,
    found: np.ndarray,
) -> _Sums:  # fmt: skip
    count = len(size)
    direction = np.zeros((count, unit.shape[1]))
    np.add.at(direction, owner, unit)
    # Pairs of one identity: sum of 1 - cos = n/2 * sum |u - mean|^2, without cancellation.
    gap = ((unit - (direction / size[:, None])[owner]) ** 2).sum(axis=1)
    apart = size / 2 * np.bincount(owner, weights=gap)
    of_one, of_many = found[: len(intra)], found[len(intra) :]
    whose = owner[intra[:, 0]]
    return _Sums(
        size.astype(float), direction, apart,
        np.bincount(whose, weights=of_one, minlength=count),
        np.bincount(whose, minlength=count).astype(float),
        float(of_many.mean()), *independence.strangers(of_many, owner[inter], count),
    )  # fmt: skip


def _parts(sums: _Sums, times: np.ndarray, noise: np.ndarray) -> Parts:
    """I_intra, I_inter, D_intra, D_inter (B,) when identities count times (B, G); NaN where none.

    A pair of different identities counts the product of their times; I is at least 0.
    """
    intra = _over(times @ sums.intra, times @ sums.intra_count)
    inter = sums.inter + (times - 1) @ sums.effect + sums.noise * noise
    near = _over(times @ sums.apart, times @ (sums.size * (sums.size - 1) / 2))
    # Twice the sums over pairs of different identities: all pairs less those of one identity.
    pairs = (times @ sums.size) ** 2 - times**2 @ sums.size**2
    cosine = ((times @ sums.direction) ** 2).sum(axis=1)
    cosine -= times**2 @ (sums.direction**2).sum(axis=1)
    return np.maximum(intra, 0), np.maximum(inter, 0), near, _over(pairs - cosine, pairs)


def _over(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _estimates(sums: _Sums, parts: Parts, rng: np.random.Generator) -> tuple[Estimate, ...]:
    """DCTS, RIR and RCR with their intervals; a round that draws no tuple or pair is left out."""
    count, values = len(sums.size), [float(value[0]) for value in ratios(*parts)]
    if (sums.intra_count > 0).sum() < 2:
        return tuple(Estimate(value, math.nan, math.nan, count) for value in values)
    drawn = []
    for _ in range(ROUNDS // 100):  # a hundred at a time bound the memory
        times = rng.multinomial(count, np.full(count, 1 / count), size=100).astype(float)
        drawn.append(ratios(*_parts(sums, times, rng.normal(size=100))))
    bounds = np.nanquantile(np.concatenate(drawn, axis=1), [0.025, 0.975], axis=1)
    return tuple(
        Estimate(value, float(low), float(high), count)
        for value, low, high in zip(values, *bounds, strict=True)
    )


def read_embeddings(path: str | Path) -> Embeddings:
    """Embeddings of a CSV `identity,e0,e1,...`, one a row, or of an .npz of the arrays `identity`
    (N,) and `embeddings` (N, D).

    Raises InputError naming the file, and in a CSV the line and the column.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _from_npz(path) if path.suffix.lower() == ".npz" else _from_csv(path)


def _from_csv(path: Path) -> Embeddings:
    names, values = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            wanted = ["identity", "e0", *(f"e{n}" for n in range(1, len(header) - 1))]
            if header != wanted:
                raise InputError(f"{path}: the first line must be identity,e0,e1,…")
            for cells in filter(None, reader):
                values.append(_numbers(path, reader.line_num, len(header), cells))
                names.append(cells[0])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV: {str(error)[:100]}") from None
    if not names:
        raise InputError(f"{path}: no embedding below the header")
    return Embeddings(np.array(values), np.array(names))


def _numbers(path: Path, line: int, width: int, cells: list[str]) -> np.ndarray:
    if len(cells) != width:
        raise InputError(f"{path}: line {line} has {len(cells)} cells; the header has {width}")
    if not cells[0]:
        raise InputError(f"{path}: line {line}, column identity: empty; name the identity")
    values = np.full(len(cells) - 1, math.nan)
    for n, cell in enumerate(cells[1:]):
        with suppress(ValueError):
            values[n] = float(cell)
        if not math.isfinite(values[n]):
            raise InputError(f"{path}: line {line}, column e{n}: '{cell[:20]}' is not a finite "
                             "number")  # fmt: skip
    return values


def _from_npz(path: Path) -> Embeddings:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("identity", "embeddings")}
    except Exception as error:  # an archive can be damaged in many ways
        if str(error).startswith("Object arrays"):
            raise InputError(f"{path}: holds Python objects, which are never unpickled: save "
                             "identity as strings, np.asarray(identity, dtype=str)") from None
        why = str(error).strip("'")[:100]
        raise InputError(f"{path}: not an .npz of identity and embeddings: {why}") from None
    for name, kinds, what in (("identity", "Uiu", "strings or whole numbers"),
                              ("embeddings", "fiu", "numbers")):  # fmt: skip
        if found[name].dtype.kind not in kinds:
            raise InputError(f"{path}: {name} holds {found[name].dtype}; save {what}")
    return Embeddings(found["embeddings"].astype(np.float64), found["identity"])


def report(result: Dcts) -> str:
    """Lines for a reader; the first is `DCTS 0.659 [0.641, 0.677]`."""
    lines = [
        f"DCTS {_interval(result.score)}",
        f"RIR {_interval(result.rir)}: I of one identity {result.i_intra:.3f}, "
        f"of different ones {result.i_inter:.3f} nats",
        f"RCR {_interval(result.rcr)}: D of one identity {result.d_intra:.3f}, "
        f"of different ones {result.d_inter:.3f} (1 - cos)",
        f"estimator {result.estimator}, K = {result.k}, {result.tuples} tuples of each kind; "
        f"{result.identities} identities, {result.embeddings} embeddings; "
        "95 % intervals over identities",
    ]
    if result.short:
        named = ", ".join(result.short[:NAMED]) + (", …" if len(result.short) > NAMED else "")
        lines.append(f"Identities of fewer than {result.k} embeddings, which give no tuple of one "
                     f"identity: {len(result.short)} ({named})")  # fmt: skip
    if result.identities < FEW:
        lines.append(f"Intervals over fewer than {FEW} identities are too narrow.")
    lines.append("Never compare across K, estimators or dimensions: I depends on all three.")
    return "\n".join(lines)


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f} [no interval: tuples of one identity only]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def as_json(result: Dcts) -> dict[str, Any]:
    """The fields by name, estimates as value, low, high, n; null for an interval there is not."""
    fields = asdict(result)
    for part in (fields["score"], fields["rir"], fields["rcr"]):
        part.update({end: None for end in ("low", "high") if math.isnan(part[end])})
    return {**fields, "short": list(result.short)}
