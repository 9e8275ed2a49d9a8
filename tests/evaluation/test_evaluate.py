"""Laws of the evaluation, on drawn people: a copy is perfect, another person is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scldm.cli import main
from scldm.core.errors import InputError
from scldm.data.manifest import read_manifest
from scldm.data.samples import Samples, open_samples
from scldm.evaluation.pairing import read_method, true_faces

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def people(population: Path) -> Samples:
    return open_samples(population, "test")


@pytest.fixture
def write(people: Samples, tmp_path: Path) -> Write:
    """Portraits of the test clips: row -> picture, as `scldm generate` would leave them."""

    def folder(name: str, picture: Callable[[int], np.ndarray], count: int = 3) -> Path:
        lines = []
        for row in range(len(people.manifest)):
            for k in range(count):
                path = tmp_path / name / f"clip{row}" / f"portrait_{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture(row)).save(path)
                clip = str(people.manifest.file(row, "audio"))
                lines.append(json.dumps({"clip": clip, "path": f"clip{row}/portrait_{k}.png"}))
        (tmp_path / name / "manifest.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return folder


def test_a_copy_is_perfect_and_its_controls_are_not(
    people: Samples, population: Path, write: Write, tmp_path: Path
) -> None:
    true, _ = true_faces(people.manifest)
    copies = write("copies", lambda row: people.face(true[row], 64))
    out = tmp_path / "out"
    command = ["evaluate", "--portraits", str(copies), "--truth", str(population)]
    assert main([*command, "--out", str(out)]) == 0
    report = json.loads((out / "metrics.json").read_text())
    methods, about = report["methods"], report["about"]
    copy, shuffled = methods["copies"], methods["copies, shuffled speech"]
    assert copy["L1 raw"]["value"] == copy["cos, variance of three"]["value"] == 0
    assert copy["cos"]["value"] < 0.1 and copy["R@1"]["value"] == 1
    persons = len(people.manifest.people)
    assert copy["R@1"]["chance"] == 1 / persons == 1 / about["gallery"]
    assert copy["cos"]["n"] == about["identities"] == persons
    assert copy["gender"]["value"] == about["judge_on_real_faces"]["gender"]["value"]
    assert shuffled["cos"]["low"] > 1 and shuffled["R@1"]["value"] == 0
    assert copy["cos"]["chance"] == shuffled["cos"]["value"]
    real = methods["real other photo"]
    assert 0.1 < real["cos"]["value"] < shuffled["cos"]["value"]
    assert "| copies, shuffled within gender |" in (out / "table.md").read_text()
    for name in ("distances", "retrieval", "portraits"):
        assert Image.open(out / f"{name}.png").width > 300


def test_methods_stand_beside_each_other(
    people: Samples, population: Path, write: Write, tmp_path: Path
) -> None:
    folders = [str(write(name, lambda row: people.face(0, 32), 1)) for name in ("one", "two")]
    command = ["evaluate", "--truth", str(population), "--out", str(tmp_path / "out")]
    assert main([*command, "--portraits", *folders]) == 0
    methods = json.loads((tmp_path / "out" / "metrics.json").read_text())["methods"]
    assert methods["one"] == methods["two"] and "cos, mean of three" not in methods["one"]


def test_what_cannot_be_used_is_told_and_the_rest_measured(
    people: Samples, population: Path, write: Write, tmp_path: Path, capsys
) -> None:
    folder = write("method", lambda row: people.face(row, 64), 2)
    (folder / "clip0" / "portrait_0.png").write_bytes(b"no picture")
    shutil.rmtree(folder / "clip1")
    lines = [line for line in (folder / "manifest.jsonl").read_text().splitlines()
             if "clip1/" not in line]  # fmt: skip
    lines.append(json.dumps({"clip": "stranger.wav", "path": "clip0/portrait_1.png"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    command = ["evaluate", "--portraits", str(folder), "--truth", str(population)]
    assert main([*command, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    for words in ("portrait_0.png: ", "is of its clip stranger.wav",
                  f"no portrait of 1 clips of {population}: {people.manifest['audio'][1]}"):
        assert sum(words in line for line in said.splitlines()) == 1, words
    methods = json.loads((out / "metrics.json").read_text())["methods"]
    assert methods["method"]["cos"]["n"] == len(people.manifest.people)
    counted = json.loads((out / "metrics.json").read_text())["about"]["portraits"]["method"]
    assert counted == 2 * len(people.manifest) - 3  # one is no picture, and two are not there


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "line 1 is damaged"), ('{"clip": "a.wav"}', "line 1 is damaged"),
     ('{"clip": "a\\u0000.wav", "path": "a.png"}', "line 1 is damaged"),
     ('{"clip": "a.wav", "path": "../../a.png"}', "leads outside"),
     ('{"clip": "a.wav", "path": "a.png"}', "no portrait is of a clip")],
)  # fmt: skip
def test_bad_manifests_are_one_line(
    population: Path, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=said):
        read_method(tmp_path, read_manifest(population))


def test_a_folder_without_portraits_is_one_line(population: Path, tmp_path: Path, capsys) -> None:
    command = ["evaluate", "--portraits", str(tmp_path), "--truth", str(population)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "not a folder of portraits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_clips_are_found_by_path_or_by_a_name_that_is_one_rows(
    people: Samples, tmp_path: Path
) -> None:
    truth = people.manifest
    name = Path(truth["audio"][2]).name
    given = [str(truth.file(0, "audio")), truth["audio"][1], f"elsewhere/{name}"]
    lines = [json.dumps({"clip": clip, "path": "a.png"}) for clip in given]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    assert read_method(tmp_path, truth).rows.tolist() == [0, 1, 2]


def test_true_face_and_other_photo_are_of_the_person_and_differ(people: Samples) -> None:
    true, other = true_faces(people.manifest)
    person, face = people.manifest["person"], people.manifest["face"]
    assert (person[true] == person).all() and (person[other] == person).all()
    assert (face[true] != face[other]).all()


def measured(tmp_path: Path, *words: str) -> dict[str, Any]:
    assert main(["evaluate", *words, "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "metrics.json").read_text())


def test_subgroups_hold_what_the_whole_holds(
    people: Samples, population: Path, write: Write, tmp_path: Path
) -> None:
    folder = write("method", lambda row: people.face(row, 32), 1)
    words = ["--portraits", str(folder), "--truth", str(population)]
    report = measured(tmp_path, *words, "--by", "gender", "split", "age")
    whole, parts = report["methods"]["method"], report["subgroups"]["method"]
    assert {p["column"] for p in parts} == {"gender", "split", "age"}
    [split] = [p for p in parts if p["column"] == "split"]
    assert split["value"] == "test" and split["metrics"]["cos"] == whole["cos"]
    for column in ("gender", "age"):
        cells = [p["metrics"]["cos"] for p in parts if p["column"] == column]
        counts = [c["n"] for c in cells]
        assert sum(counts) == whole["cos"]["n"]
        mean = np.average([c["value"] for c in cells], weights=counts)
        assert mean == pytest.approx(whole["cos"]["value"])
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| method | split test* |" in table  # few people


def test_a_copied_training_face_is_found(
    people: Samples, population: Path, write: Write, tmp_path: Path
) -> None:
    train = open_samples(population, "train", "face")
    folder = write("copies", lambda row: train.face(5, 64), 1)
    words = ["--portraits", str(folder), "--truth", str(population), "--faces", str(population)]
    report = measured(tmp_path, *words)
    methods = report["methods"]
    assert methods["copies"]["nearest training face"]["value"] == pytest.approx(0, abs=1e-5)
    assert methods["real faces"]["nearest training face"]["low"] > 0.001
    sheet = np.asarray(Image.open(tmp_path / "out" / "closest.png")).astype(int)
    assert np.abs(sheet[:128] - sheet[128:]).mean() < 12  # the face, and itself enlarged
    assert any("FID of 256 features needs more than 256" in n for n in report["about"]["notes"])
    assert any("R@10" in note for note in report["about"]["notes"])


def test_a_training_face_in_the_test_split_is_a_leak(
    people: Samples, population: Path, write: Write, tmp_path: Path, capsys
) -> None:
    folder = write("method", lambda row: people.face(row, 32), 1)
    faces = population.with_name("leak.csv")
    text = population.read_text().replace(",test,", ",train,")
    faces.write_text(text)
    words = ["--portraits", str(folder), "--truth", str(population), "--faces", str(faces)]
    assert main(["evaluate", *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "is a training face and stands in split test" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--by", "shoe"], "--by shoe: "), (["--judge", "nobody"], "judge 'nobody': use bundled"),
     (["--judge", "vggface"], "place vgg_face_dag.pth at "),
     (["--judge-weights", "x.pt"], "judge bundled takes none")],
)  # fmt: skip
def test_questions_that_cannot_be_answered_are_one_line(
    people: Samples, population: Path, write: Write, tmp_path: Path, capsys, words: list[str],
    said: str,
) -> None:
    folder = write("method", lambda row: people.face(row, 32), 1)
    given = ["--portraits", str(folder), "--truth", str(population), "--out", str(tmp_path / "o")]
    assert main(["evaluate", *given, *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "o").exists()
