"""Laws of DCTS: chance is 0.5, kinds swap, order and scale do not matter, intervals cover."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scldm.core.errors import InputError
from scldm.evaluation import independence
from scldm.evaluation.dcts import as_json, dcts, ratios, read_embeddings, report
from scldm.evaluation.independence import ESTIMATORS, gaussian, gmm, kde

ROW = np.arange(8)[None]  # a single tuple of the first eight rows


def voices(
    people: int, each: int, width: int, noise: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian identities of variance 1 and noise within: (people * each, width) and labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 1, width))
    rows = centres + noise * rng.normal(size=(people, each, width))
    return rows.reshape(-1, width), np.repeat(np.arange(people), each)


def lines(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


# ---- independence


def test_gaussian_of_two_is_minus_half_log_of_one_less_cos_squared() -> None:
    rows = np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    found = gaussian(rows, np.array([[0, 1], [0, 2]]))
    assert found == pytest.approx([-0.5 * np.log(1 - 0.5), 0.0], abs=1e-12)


def test_kde_by_its_sum_over_draws() -> None:
    """The formula, term by term: N = 5 draws of K = 3 variables, h = N^(-1/7)."""
    rows = lines(3, 5)
    scaled = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    kernel = np.exp(-0.5 * ((scaled[:, :, None] - scaled[:, None]) / 5 ** (-1 / 7)) ** 2)
    logs = [
        np.log(sum(np.prod(kernel[:, n, m]) for m in range(5)))
        - sum(np.log(kernel[k, n].sum()) for k in range(3))
        for n in range(5)
    ]
    assert kde(rows, np.array([[0, 1, 2]]))[0] == pytest.approx(np.mean(logs) + 2 * np.log(5))


def test_one_component_is_the_gaussian_of_centred_rows() -> None:
    rows = lines(8, 96) + lines(1, 96, seed=1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    assert gmm(rows, ROW, components=(1,)) == pytest.approx(gaussian(centred, ROW), abs=1e-3)


def test_gmm_sees_dependence_that_correlation_does_not() -> None:
    """x of two far values, y its equal or its opposite in turn: rho = 0, I = 0; then y = x."""
    rng = np.random.default_rng(0)
    x, y = (rng.choice([-5.0, 5.0], size=400) + 0.5 * rng.normal(size=400) for _ in range(2))
    near = np.sign(x) * 5 + 0.5 * rng.normal(size=400)
    ring = np.sign(x) * np.abs(y) * np.where(np.arange(400) < 200, 1, -1)
    found = gmm(np.stack([x, y, near, ring]), np.array([[0, 1], [0, 2]]))
    assert found[0] == pytest.approx(0, abs=0.05)
    assert found[1] == pytest.approx(np.log(2), abs=0.05)  # one bit is shared


def test_i_of_independent_draws() -> None:
    """The bias of each estimator that `kde` documents, at K = 8, D = 192."""
    rows, tuples = lines(160, 192), np.arange(160).reshape(20, 8)
    assert kde(rows, tuples).mean() == pytest.approx(2.56, abs=0.02)
    assert gaussian(rows, tuples).mean() == pytest.approx(28 / (2 * 192), rel=0.1)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_i_knows_neither_scale_nor_order_and_all_but_gaussian_no_shift(name: str) -> None:
    rows, estimator = voices(1, 8, 64, 1.0)[0], ESTIMATORS[name]
    value = estimator(rows, ROW)
    scale = np.geomspace(1e-200, 1e200, 8)[:, None]
    close = {"rel": 1e-6, "abs": 1e-9}
    assert estimator(rows * scale, ROW) == pytest.approx(value, **close)
    assert estimator(rows[::-1], ROW) == pytest.approx(value, **close)
    if name != "gaussian":
        assert estimator(rows + 3.0, ROW) == pytest.approx(value, **close)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines(8, 50)
    whole = kde(rows, ROW)
    monkeypatch.setattr(independence, "BLOCK", 7 * 50)
    assert kde(rows, ROW) == pytest.approx(whole, rel=1e-12)


# ---- tuples


def test_tuples_of_one_are_distinct_and_of_many_are_of_many() -> None:
    own = [np.arange(0, 6), np.arange(6, 10), np.arange(10, 12)]
    rng = np.random.default_rng(0)
    intra = independence.intra_tuples(own, 4, 200, rng)
    distinct = {tuple(sorted(group)) for group in intra}
    assert len(distinct) == len(intra) == 15 + 1  # of 6 over 4, and of 4 over 4
    owner = np.repeat([0, 1, 2], [6, 4, 2])
    assert (owner[intra] == owner[intra[:, :1]]).all()
    inter = independence.inter_tuples(own, 3, 40, rng)
    assert (np.sort(owner[inter], axis=1) == [0, 1, 2]).all() and len(inter) == 40


# ---- the score


def test_equation_of_published_ratios() -> None:
    """Eq. 9 of Table 3's GMM line is 0.664, as published; RIR 1.298, RCR 3.554."""
    score, rir, rcr = ratios(*np.array([1.298, 1.0, 1.0, 3.554]))
    assert (rir, rcr) == (pytest.approx(1.298), pytest.approx(3.554))
    assert score == pytest.approx(0.664, abs=5e-4)


def test_swapping_the_kinds_turns_a_factor_into_its_complement() -> None:
    one, two, three, four = np.random.default_rng(0).uniform(0.1, 3, size=(4, 50))
    _, rir, rcr = ratios(one, two, three, four)
    _, swapped_rir, swapped_rcr = ratios(two, one, four, three)
    for ratio, swapped in ((rir, swapped_rir), (rcr, swapped_rcr)):
        assert ratio / (ratio + 1) == pytest.approx(1 - swapped / (swapped + 1), abs=1e-6)


@pytest.mark.parametrize("name, error", [("kde", 0.002), ("gaussian", 0.03)])  # four deviations
def test_kinds_drawn_alike_score_a_half(name: str, error: float) -> None:
    found = dcts(lines(320, 64), np.repeat(np.arange(40), 8), estimator=name)
    assert found.score.value == pytest.approx(0.5, abs=error)
    assert found.score.low < 0.5 < found.score.high


def test_distances_are_means_over_all_pairs() -> None:
    rows, people = voices(7, 5, 12, 0.7)
    rows, people = rows[:-3], people[:-3]  # unequal sizes
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    apart = 1 - unit @ unit.T
    same, upper = people[:, None] == people, np.triu(np.ones_like(apart, dtype=bool), 1)
    found = dcts(rows, people, k=3)
    assert found.d_intra == pytest.approx(apart[same & upper].mean(), rel=1e-12)
    assert found.d_inter == pytest.approx(apart[~same & upper].mean(), rel=1e-12)
    assert found.rcr.value == pytest.approx(found.d_inter / found.d_intra, rel=1e-6)


def test_order_of_rows_and_their_scale_change_nothing() -> None:
    rows, people = voices(12, 6, 24, 0.7)
    value = dcts(rows, people, k=4)  # 15 tuples each, of which some are drawn
    order = np.random.default_rng(1).permutation(len(rows))
    scale = np.random.default_rng(2).uniform(0.01, 100, size=(len(rows), 1))
    for found in (dcts(rows[order], people[order], k=4), dcts(rows * scale, people, k=4)):
        for part in ("score", "rir", "rcr"):
            one, two = getattr(found, part), getattr(value, part)
            assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_tighter_identities_score_more_by_every_estimator(name: str) -> None:
    scores = [
        dcts(*voices(8, 4, 32, noise), k=4, estimator=name).score.value
        for noise in (4.0, 1.5, 0.7, 0.3, 0.1)
    ]
    assert scores == sorted(scores) and scores[-1] - scores[0] > 0.2


def test_copies_within_identities_are_the_most_consistent() -> None:
    rows, people = voices(10, 8, 48, 0.0)
    found = dcts(rows, people)
    assert found.d_intra == pytest.approx(0, abs=1e-12)
    assert found.score.value == pytest.approx((found.rir.value / (found.rir.value + 1)) ** 0.5)
    assert found.score.value > dcts(*voices(10, 8, 48, 0.05)).score.value
    assert 0 < dcts(rows, people, estimator="gmm", tuples=10).score.value <= 1
    with pytest.raises(InputError, match="embeddings .* are linearly dependent, as copies"):
        dcts(rows, people, estimator="gaussian")


def test_identities_of_few_embeddings_count_in_distances_and_are_named() -> None:
    rows, people = voices(20, 8, 24, 0.7)
    kept = (people != 3) | (np.arange(160) % 8 < 5)  # identity 3 keeps five
    found = dcts(rows[kept], people[kept])
    assert found.short == ("3",) and found.embeddings == 157 and found.tuples == 19
    assert "which give no tuple of one identity: 1 (3)" in report(found)


def test_a_single_full_identity_has_no_interval() -> None:
    rows, people = voices(9, 4, 24, 0.7)
    found = dcts(np.concatenate([rows, rows[:4] + 0.1]), np.concatenate([people, people[:4]]))
    assert np.isnan(found.score.low) and as_json(found)["score"]["low"] is None
    assert "no interval" in report(found)


# ---- intervals


def covered(estimator: str, people: int, k: int, mixed: bool, rounds: int) -> dict[str, float]:
    """How often intervals hold the value of many identities, `people` of six embeddings each."""

    def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        centres, noise = rng.normal(size=(count, 1, 32)), np.full((count, 1, 1), 0.8)
        if mixed:  # three in ten share a mean voice, and identities differ in their noise
            centres += np.where(np.arange(32) % 2, 0.8, -0.8) * (rng.random((count, 1, 1)) < 0.3)
            noise = rng.uniform(0.4, 1.2, size=(count, 1, 1))
        rows = centres + noise * rng.normal(size=(count, 6, 32))
        return rows.reshape(-1, 32), np.repeat(np.arange(count), 6)

    many = [dcts(*draw(400, 9000 + n), k=k, estimator=estimator, tuples=1200) for n in range(2)]
    some = [dcts(*draw(people, n), k=k, estimator=estimator, tuples=100) for n in range(rounds)]
    found = {}
    for part in ("score", "rir", "rcr"):
        truth = np.mean([getattr(one, part).value for one in many])
        inside = [getattr(one, part).low <= truth <= getattr(one, part).high for one in some]
        found[part] = float(np.mean(inside))
    return found


def test_intervals_cover() -> None:
    assert min(covered("gaussian", 30, 4, mixed=True, rounds=60).values()) >= 0.85


@pytest.mark.full
@pytest.mark.parametrize("estimator", ("kde", "gaussian"))
@pytest.mark.parametrize("mixed", (False, True))
def test_intervals_cover_long(estimator: str, mixed: bool) -> None:
    found = covered(estimator, 40, 4, mixed, rounds=300)
    assert min(found.values()) >= 0.91  # 95 % less three standard errors
    assert max(found["score"], found["rcr"]) <= 0.99  # and they are not merely wide


def test_the_mean_over_strangers_moves_with_who_is_drawn() -> None:
    """values that are sums of what members bring: the effects are those, the noise nearly none."""
    rng = np.random.default_rng(0)
    brings = rng.normal(size=60)
    members = independence.inter_tuples([np.array([n]) for n in range(60)], 4, 3000, rng)
    effect, noise = independence.strangers(brings[members].sum(axis=1), members, 60)
    assert np.corrcoef(effect, brings)[0, 1] > 0.98
    assert np.linalg.norm(effect) == pytest.approx(4 * brings.std() / 60**0.5, rel=0.1)
    assert noise < 0.2 * np.linalg.norm(effect)


# ---- files and words


def test_embeddings_of_a_csv_and_an_npz_are_read_alike(tmp_path: Path) -> None:
    rows, people = voices(3, 2, 4, 0.7)
    head = ",".join(["identity", *(f"e{n}" for n in range(4))])
    body = [
        ",".join([f"p {who}", *map(repr, row.tolist())])
        for who, row in zip(people, rows, strict=True)
    ]
    (tmp_path / "a.csv").write_text("\n".join([head, *body]) + "\n\n")
    named = np.array([f"p {who}" for who in people])
    np.savez(tmp_path / "a.npz", identity=named, embeddings=rows)
    for name in ("a.csv", "a.npz"):
        found = read_embeddings(tmp_path / name)
        assert np.array_equal(found.embeddings, rows) and np.array_equal(found.identity, named)
    assert dcts(*read_embeddings(tmp_path / "a.csv"), k=2).k == 2


@pytest.mark.parametrize("text, says", [
    ("", "first line must be identity,e0,e1"),
    ("a,0.1,0.2\n", "first line must be identity,e0,e1"),
    ("identity\na\n", "first line must be identity,e0,e1"),
    ("identity,e0,e1\n", "no embedding below the header"),
    ("identity,e0,e1\na,1,2\nb,1,x\n", "line 3, column e1: 'x' is not a finite number"),
    ("identity,e0,e1\na,nan,2\n", "line 2, column e0: 'nan' is not a finite number"),
    ("identity,e0,e1\na,,2\n", "line 2, column e0: '' is not a finite number"),
    ("identity,e0,e1\n\n,1,2\n", "line 3, column identity: empty"),
    ("identity,e0,e1\na,1\n", "line 2 has 2 cells; the header has 3"),
    ("identity,e0\n\udcff,1\n", "not a CSV"),
])  # fmt: skip
def test_a_bad_csv_is_one_line_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=says) as error:
        read_embeddings(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_bad_npz_is_one_line(tmp_path: Path) -> None:
    path, rows = tmp_path / "e.npz", lines(2, 3)
    cases: list[tuple[dict[str, np.ndarray], str]] = [
        ({"identity": np.array(["a", "b"], dtype=object), "embeddings": rows}, "dtype=str"),
        ({"embeddings": rows}, "identity is not a file in the archive"),
        ({"identity": np.array([0.5, 1.0]), "embeddings": rows}, "identity holds float64; save"),
        ({"identity": np.array(["a", "b"]), "embeddings": rows.astype(str)}, "save numbers"),
    ]
    for arrays, says in cases:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=says):
            read_embeddings(path)
    for data in (b"no zip", path.read_bytes()[:200], b""):
        path.write_bytes(data)
        with pytest.raises(InputError, match="e.npz: not an .npz"):
            read_embeddings(path)
    with pytest.raises(InputError, match="no such file"):
        read_embeddings(tmp_path / "none.csv")


def test_what_cannot_be_scored_is_one_line() -> None:
    rows, people = voices(4, 4, 16, 0.7)
    spoiled = {value: rows.copy() for value in ("nan", "inf", "zero", "flat")}
    spoiled["nan"][5, 2], spoiled["inf"][6, 0] = np.nan, np.inf
    spoiled["zero"][7], spoiled["flat"][8] = 0, 3
    cases = [
        (spoiled["nan"], {}, r"embedding 5 \(rows from 0, identity '1'\) holds a value"),
        (spoiled["inf"], {}, "embedding 6 .* is not finite"),
        (spoiled["zero"], {}, "embedding 7 .* has length zero"),
        (spoiled["flat"], {}, "embedding 8 .* the same value in every dimension"),
        (rows, {"k": 1}, "k is 1"),
        (rows, {"k": 5}, "no identity has 5 embeddings; '0' has the most, 4"),
        (rows, {"estimator": "kd"}, "use kde, gmm, gaussian"),
        (rows[:0], {}, r"shape \(0, 16\)"),
        (rows[:, :3], {"estimator": "gaussian"}, "4 embeddings of 3 dimensions"),
        (np.abs(rows[:, :1]) + np.arange(16) ** 2 * np.abs(rows[:, :1]), {}, "one direction"),
    ]
    for bad, options, says in cases:
        with pytest.raises(InputError, match=says):
            dcts(bad, people[: len(bad)], **{"k": 4, **options})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 identities: .* at least k = 4"):
        dcts(rows[:8], people[:8], k=4)
    with pytest.raises(InputError, match="give one identity an embedding"):
        dcts(rows, people[:3], k=4)


def test_the_report_begins_with_the_score_and_json_holds_the_rest() -> None:
    found = dcts(*voices(20, 8, 192, 0.6))
    first, *rest = report(found).splitlines()
    score = found.score
    assert first == f"DCTS {score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
    assert "K = 8" in "".join(rest) and "Never compare across K" in rest[-1]
    assert score.low < score.value < score.high
    fields = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert fields["score"] == {"value": score.value, "low": score.low, "high": score.high, "n": 20}
    assert (fields["estimator"], fields["k"], fields["identities"]) == ("kde", 8, 20)
