"""The bed is rebuilt from tiny stand-ins of the publishers' archives, in their layouts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rebuild_bed
import soundfile as sf
from bed import archives, faces, speech
from bed.common import Options, split_of
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.manifest import read_manifest

POINTS = ((70.0, 75.0), (150.0, 75.0), (110.0, 118.0), (80.0, 155.0), (140.0, 155.0))
FACE = faces.Face(0.999, (20.0, -10.0, 180.0, 230.0), POINTS)
AGES = ("3-9", "10-19", "20-29", "30-39", "more than 70")


def jpeg(level: int, side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (level, level, level)).save(file, "JPEG")
    return file.getvalue()


def fairface(folder: Path, count: int = 120, margin: str = "025", side: int = 224) -> None:
    """`count` pictures, two women to a man, of five age groups; every seventh is black (the
    stand-in detector sees no face there) and one is no picture."""
    folder.mkdir(exist_ok=True)
    labels: dict[str, list[str]] = {"train": [], "val": []}
    with zipfile.ZipFile(folder / f"fairface-img-margin{margin}-trainval.zip", "w") as images:
        for i in range(1, count + 1):
            part, gender = "val" if i % 6 == 0 else "train", "Male" if i % 3 == 0 else "Female"
            labels[part].append(f"{part}/{i}.jpg,{AGES[i % 5]},{gender},Black,True")
            body = b"not a picture" if i == 23 else jpeg(0 if i % 7 == 0 else 200, side)
            images.writestr(f"{part}/{i}.jpg", body)
    for part, lines in labels.items():
        text = "\n".join(["file,age,gender,race,service_test", *lines, ""])
        (folder / f"fairface_label_{part}.csv").write_text(text)


def detect(image: Image.Image) -> list[faces.Face]:
    assert image.size == (224, 224)
    return [FACE] if np.asarray(image).mean() > 100 else []


def audio(seconds: float, kind: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16000))
    sf.write(file, noise, 16000, format=kind, subtype="PCM_16")
    return file.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def speechocean(folder: Path, ages: dict[str, int], seconds: float = 2.5) -> None:
    """Five utterances each of the speakers named, in Kaldi's layout; half of them in test/."""
    files, wav = {}, audio(seconds, "WAV")
    for part, speakers in (("train", list(ages)[::2]), ("test", list(ages)[1::2])):
        said = [(f"0{s}00{i}", s) for s in speakers for i in range(5)]
        tables = {
            "spk2age": [f"{s}\t{ages[s]}" for s in speakers],
            "spk2gender": [f"{s}\t{'fm'[int(s) % 2]}" for s in speakers],
            "utt2spk": [f"{u} {s}" for u, s in said],
            "text": [f"{u}\tWORD {u[-1]}" for u, _ in said],
            "wav.scp": [f"{u}\tWAVE/SPEAKER{s}/{u}.WAV" for u, s in said],
        }
        files |= {f"speechocean762/{part}/{n}": "\n".join(t).encode() for n, t in tables.items()}
        files |= {f"speechocean762/WAVE/SPEAKER{s}/{u}.WAV": wav for u, s in said}
    pack(folder / "speechocean762.tar.gz", files)


def librispeech(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 6) -> None:
    """Readers with two chapters of a 7 s and a 2 s utterance; the last has no known sex. The
    table of checksums learns this archive's."""
    long, short = audio(7, "FLAC"), audio(2, "FLAC")
    files: dict[str, bytes] = {}
    sexes = {str(200 + i): "?" if i == count - 1 else "FM"[i % 2] for i in range(count)}
    table = [f"{r:<4} | {s} | dev-clean        |  8.00 | A | B" for r, s in sexes.items()]
    files["LibriSpeech/SPEAKERS.TXT"] = "\n".join([";ID  |SEX| SUBSET", *table]).encode()
    for reader in sexes:
        for chapter in ("11", "12"):
            stem = f"LibriSpeech/dev-clean/{reader}/{chapter}/{reader}-{chapter}"
            files |= {f"{stem}-0000.flac": long, f"{stem}-0001.flac": short}
            lines = "".join(f"{stem.split('/')[-1]}-000{i} LINE {i}\n" for i in range(2))
            files[f"{stem}.trans.txt"] = lines.encode()
    path = folder / "dev-clean.tar.gz"
    pack(path, files)
    known, md5 = archives.LIBRISPEECH["dev-clean"], hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(archives.LIBRISPEECH, "dev-clean", replace(known, md5=md5))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(faces, "mtcnn_detector", lambda: detect)

    def call(*more: str) -> int:
        places = ["--downloads", str(tmp_path / "in"), "--out", str(tmp_path / "bed")]
        return int(rebuild_bed.main([*places, "--librispeech", "dev-clean", *more]))

    return call


def test_faces_are_adults_and_balanced_in_every_split(tmp_path, run):
    fairface(tmp_path / "in")
    assert run("--parts", "faces", "--count", "126") == 0
    rows = table(tmp_path / "bed" / "faces.csv")
    assert tuple(rows[0]) == rebuild_bed.COLUMNS["faces"]
    assert {(r["age_lo"], r["age_hi"]) for r in rows} == {("20", "29"), ("30", "39"), ("70", "")}
    by_split = Counter((r["split"], r["gender"]) for r in rows)
    assert all(by_split[s, "F"] == by_split[s, "M"] for s in ("train", "val", "test"))
    labelled = {f"{p}/{i}.jpg" for i in range(1, 121) for p in ("train", "val")
                if i % 5 >= 2 and i % 7 and i != 23}
    assert {r["source"].removeprefix("FairFace ") for r in rows} <= labelled
    held = {f"faces/{p.name}" for p in (tmp_path / "bed" / "faces").iterdir()}
    assert held == {r["face"] for r in rows}
    facts = json.loads((tmp_path / "bed" / "faces.json").read_text())
    assert facts["skipped"]["under 20 or unlabelled"] == 48
    assert facts["skipped"]["unreadable image"] == 1
    assert len(read_manifest(tmp_path / "bed" / "faces.csv")) == facts["rows"] == len(rows)


def test_face_row_gives_box_and_points_of_the_stored_picture(tmp_path, run):
    fairface(tmp_path / "in", 30)
    assert run("--parts", "faces") == 0
    row = table(tmp_path / "bed" / "faces.csv")[0]
    found = [float(row[name]) for name in faces.PLACES]
    assert found == [*FACE.box, *(v for point in POINTS for v in point)]
    assert (tmp_path / "bed" / row["face"]).read_bytes() == jpeg(200, 224)


def test_wide_crops_are_cut_to_the_narrow_view(tmp_path, run):
    """dlib's chip with padding p spans 1 + 2 p face sizes, so 3/7 of padding 1.25 is left."""
    ramp = np.broadcast_to((np.arange(448) // 2)[None, :, None], (448, 448, 3)).astype(np.uint8)
    view = np.asarray(faces.standard_view(Image.fromarray(ramp), wide=True))[112, :, 0]
    goal = (128 + (np.arange(224) + 0.5) * 192 / 224) / 2
    np.testing.assert_allclose(view, goal, atol=1.5)
    fairface(tmp_path / "in", 30, margin="125", side=448)
    assert run("--parts", "faces") == 0
    row = table(tmp_path / "bed" / "faces.csv")[0]
    assert Image.open(tmp_path / "bed" / row["face"]).size == (224, 224)
    assert row["source"].endswith("(padding 1.25, middle)")


def turned(points: tuple[tuple[float, float], ...], degrees: float) -> faces.Face:
    turn = np.exp(1j * np.radians(degrees))
    moved = [(complex(*p) - 112 - 112j) * turn + 112 + 112j for p in points]
    return replace(FACE, points=tuple((p.real, p.imag) for p in moved))


@pytest.mark.parametrize(("found", "reason"), [
    ([], "no clear face"),
    ([replace(FACE, probability=0.98)], "no clear face"),
    ([FACE, FACE], "several faces"),
    ([turned(POINTS, 16)], "head tilted"),
    ([replace(FACE, points=tuple((x / 2, y / 2) for x, y in POINTS))], "face too small"),
    ([replace(FACE, points=(*POINTS[:2], (130.0, 118.0), *POINTS[3:]))], "not frontal"),
    ([replace(FACE, points=(*POINTS[:2], (110.0, 80.0), *POINTS[3:]))], "not frontal"),
])
def test_unclear_and_turned_faces_are_refused(found, reason):
    assert faces.frontal(found) == reason


def test_frontal_face_passes_at_any_small_tilt():
    for degrees in (-14, 0, 14):
        face = turned(POINTS, degrees)
        assert faces.frontal([face, replace(FACE, probability=0.5)]) is face


def test_quotas_are_the_beds_own():
    quotas = faces.face_quotas(12600)
    assert [quotas[s, "F"] for s in ("train", "val", "test")] == [5500, 300, 500]
    assert all(quotas[s, "F"] == quotas[s, "M"] for s in ("train", "val", "test"))


def test_splits_follow_the_shares_and_the_name_alone():
    found = Counter(split_of(f"so_{i}", speech.SPEECH_SHARES) for i in range(5000))
    for split, share in speech.SPEECH_SHARES:
        assert found[split] / 5000 == pytest.approx(share, abs=0.02)
    assert split_of("train/5.jpg", faces.FACE_SHARES) == "train"  # may never change


def test_speech_is_six_seconds_of_adults_split_by_speaker(tmp_path, run, monkeypatch):
    ages = {f"{i:04d}": 12 if i % 3 == 0 else 17 + i for i in range(1, 13)}
    speechocean(tmp_path / "in", ages)
    librispeech(tmp_path / "in", monkeypatch)
    assert run("--parts", "speech") == 0
    rows = table(tmp_path / "bed" / "speech.csv")
    assert tuple(rows[0]) == rebuild_bed.COLUMNS["speech"]
    for row in rows:
        clip = sf.info(tmp_path / "bed" / row["audio"])
        assert (clip.frames, clip.samplerate, clip.channels) == (96000, 16000, 1)
        assert clip.format == "FLAC"
    ocean = {r["person"]: r for r in rows if r["source"].startswith("speechocean762 ")}
    assert set(ocean) == {f"so_{s}" for s, age in ages.items() if age >= 18}
    assert all(r["age_lo"] == r["age_hi"] == str(ages[p[3:]]) for p, r in ocean.items())
    assert all(r["gender"] == "FM"[int(p[3:]) % 2] for p, r in ocean.items())
    assert ocean["so_0001"]["source"] == "speechocean762 00001000+00001001+00001002"
    assert ocean["so_0001"]["text"] == "WORD 0 WORD 1 WORD 2"
    libri = [r for r in rows if r["person"].startswith("ls_")]
    assert {(r["person"], r["gender"]) for r in libri} == {
        (f"ls_{200 + i}", "FM"[i % 2]) for i in range(5)}
    assert {r["source"] for r in libri if r["person"] == "ls_200"} == {
        "LibriSpeech dev-clean 200-11-0000", "LibriSpeech dev-clean 200-12-0000"}
    assert all(len(splits) == 1 for splits in persons_splits(rows).values())
    assert len(read_manifest(tmp_path / "bed" / "speech.csv")) == len(rows) == 8 + 10


def persons_splits(rows: list[dict[str, str]]) -> dict[str, set[str]]:
    return {r["person"]: {o["split"] for o in rows if o["person"] == r["person"]} for r in rows}


def test_joined_clip_is_its_utterances_end_to_end(tmp_path, run, monkeypatch):
    speechocean(tmp_path / "in", {"0002": 30})
    librispeech(tmp_path / "in", monkeypatch, 1)
    assert run("--parts", "speech") == 0
    clip, _ = sf.read(tmp_path / "bed" / "speech" / "so0002_00.flac")
    said, _ = sf.read(io.BytesIO(audio(2.5, "WAV")))
    np.testing.assert_allclose(clip, np.concatenate([said] * 3)[:96000], atol=2 / 2**15)


def test_at_most_so_many_clips_and_the_seed_says_which(tmp_path):
    path = tmp_path / "u.wav"
    path.write_bytes(audio(6.5, "WAV"))
    (tmp_path / "speech").mkdir()
    said = tuple(speech.Utterance(f"{i:02d}", path, "", "s") for i in range(30))
    speaker, taken = speech.Speaker({"person": "so_1"}, "c", said), []
    for seed in (0, 0, 1):
        options = Options(tmp_path, tmp_path, clips=4, seed=seed)
        rows = speech.write_clips(speaker, options, tmp_path, Counter())
        taken.append([row["source"] for row in rows])
    assert len(taken[0]) == 4
    assert taken[0] == taken[1] != taken[2]


def test_missing_archives_are_named_with_address_and_checksum(tmp_path, run, capsys):
    assert run() == 2
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line.startswith("missing: ")]
    assert [line.split(" | ")[0].removeprefix("missing: ") for line in lines] == [
        "fairface-img-margin025-trainval.zip", "fairface_label_train.csv",
        "fairface_label_val.csv", "speechocean762.tar.gz", "dev-clean.tar.gz"]
    assert lines[3].endswith("/101/speechocean762.tar.gz | no published checksum")
    assert lines[4].endswith("/12/dev-clean.tar.gz | md5 42e2234ba48799c1f50f24a7926300a1")
    assert said.err.count("\n") == 1 and "lacks 5 archive(s)" in said.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_checksum_is_refused(tmp_path, run, capsys):
    speechocean(tmp_path / "in", {"0001": 30})
    pack(tmp_path / "in" / "dev-clean.tar.gz", {"LibriSpeech/SPEAKERS.TXT": b""})
    assert run("--parts", "speech") == 2
    assert "is not the published 42e2234ba48799c1f50f24a7926300a1" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_sha256_is_recorded_where_no_checksum_is_published(tmp_path, run, monkeypatch):
    speechocean(tmp_path / "in", {"0001": 30})
    librispeech(tmp_path / "in", monkeypatch, 1)
    assert run("--parts", "speech") == 0
    found = json.loads((tmp_path / "bed" / "speech.json").read_text())["archives"][0]
    body = (tmp_path / "in" / "speechocean762.tar.gz").read_bytes()
    assert found["sha256"] == hashlib.sha256(body).hexdigest()
    assert found["published_md5"] is None


def test_archives_that_lead_outside_are_refused(tmp_path):
    archive, folder = tmp_path / "evil.tar.gz", tmp_path / "deep" / "folder"
    pack(archive, {"../../outside.flac": b"x"})
    with pytest.raises(InputError, match="not a usable archive"):
        archives.extract(archive, folder)
    with tarfile.open(archive, "w:gz") as tar:
        link = tarfile.TarInfo("inside.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
    with pytest.raises(InputError, match="holds a link"):
        archives.extract(archive, folder)
    pack(archive, {"zeros": bytes(80 * 2**20)})
    with pytest.raises(InputError, match="far more than its size"):
        archives.extract(archive, folder)
    pack(archive, {"a.wav": audio(1, "WAV")})
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a usable archive"):
        archives.extract(archive, folder)
    assert not (tmp_path / "outside.flac").exists()
    assert not list(tmp_path.rglob("inside.flac")) and not list(tmp_path.rglob("zeros"))


def test_names_within_an_archive_do_not_name_files_outside(tmp_path):
    for name, text in {"spk2age": "../x 30", "spk2gender": "../x f", "utt2spk": "u1 ../x",
                       "text": "u1 A"}.items():
        for part in ("train", "test"):
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / name).write_text(text)
    (tmp_path / "WAVE" / "S").mkdir(parents=True)
    (tmp_path / "WAVE" / "S" / "u1.WAV").write_bytes(audio(6.5, "WAV"))
    skipped: Counter[str] = Counter()
    assert list(speech.ocean_speakers(tmp_path, skipped)) == []
    assert skipped == {"speaker of unknown age or gender": 2}


def test_finished_part_is_kept_when_the_next_one_fails(tmp_path, run, monkeypatch, capsys):
    fairface(tmp_path / "in", 30)
    speechocean(tmp_path / "in", {"0001": 9})
    librispeech(tmp_path / "in", monkeypatch, 1)
    with monkeypatch.context() as patch:
        patch.setitem(rebuild_bed.BUILDERS, "speech", lambda options, work: ([], Counter()))
        assert run() == 2
    assert "no usable speech" in capsys.readouterr().err
    assert not (tmp_path / "bed").exists()
    monkeypatch.setattr(faces, "mtcnn_detector", lambda: pytest.fail("faces were built again"))
    assert run("--parts", "speech") == 2  # the finished faces may not vanish
    assert run() == 2 and "no usable speech" in capsys.readouterr().err
    speechocean(tmp_path / "in", {"0001": 30})
    assert run() == 0
    assert {p.name for p in (tmp_path / "bed").iterdir()} == {
        f"{part}{end}" for part in ("faces", "speech") for end in ("", ".csv", ".json")}
    assert not (tmp_path / "bed.staging").exists()
    assert run() == 2 and "exists already" in capsys.readouterr().err


def test_finished_part_with_other_settings_is_built_again(tmp_path):
    options = Options(tmp_path, tmp_path / "bed", count=10)
    facts = {"settings": rebuild_bed.settings("faces", options)}
    (tmp_path / "faces.json").write_text(json.dumps(facts))
    assert rebuild_bed.finished("faces", tmp_path, options)
    assert not rebuild_bed.finished("faces", tmp_path, replace(options, seed=1))
    assert not rebuild_bed.finished("speech", tmp_path, options)


@pytest.mark.parametrize(("more", "said"), [
    (("--parts", "voices"), "--parts: 'voices' is not one of faces, speech"),
    (("--librispeech", "dev"), "--librispeech: 'dev' is not one of"),
    (("--count", "3"), "--count: give an even number"),
    (("--clips", "0"), "for --clips 1 or more"),
])
def test_unusable_options_are_named(run, capsys, more, said):
    assert run(*more) == 2
    assert said in capsys.readouterr().err


def test_file_that_is_no_zip_or_no_label_table_is_named(tmp_path, run, capsys):
    fairface(tmp_path / "in", 12)
    images = tmp_path / "in" / "fairface-img-margin025-trainval.zip"
    images.write_bytes(b"<html>quota exceeded</html>")
    assert run("--parts", "faces") == 2
    assert f"{images}: not a usable zip" in capsys.readouterr().err
    labels = tmp_path / "in" / "fairface_label_val.csv"
    labels.write_text("<html>quota exceeded</html>")
    assert run("--parts", "faces") == 2
    assert f"{labels}: not FairFace's table" in capsys.readouterr().err
