"""What each source lists: layouts and quirks of the data sets, and tables that are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scldm.cli import main
from scldm.core.errors import InputError
from scldm.data.prepare.clip import split_of
from scldm.data.prepare.item import Item
from scldm.data.prepare.sources import avspeech, table, videos, voxceleb

VOX1 = ("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
        "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\n")
VOX2 = ("VoxCeleb2 ID \tVGGFace2 ID \tGender \tSet \n"
        "id00012 \tn000012 \tf \tdev \nid00017 \tn000017 \tm \ttest \n")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_voxceleb_1_with_faces_under_names(tmp_path: Path) -> None:
    (tmp_path / "vox1_meta.csv").write_text(VOX1)
    touch(*(tmp_path / "wav" / "id10001" / "1zcIwhmdeo4" / f"{n:05d}.wav" for n in (2, 1)),
          tmp_path / "wav" / "id10270" / "5r0dWxy17C8" / "00001.wav",
          *(tmp_path / "unzippedIntervalFaces" / "data" / "A.J._Buckley" / "1.6" / video
            / f"{n}.jpg" for video in ("1zcIwhmdeo4", "zzzzzzzzzzz") for n in (1, 2)))  # fmt: skip
    one, two, other = voxceleb(tmp_path).items()
    assert [one.key, two.key] == ["id10001/1zcIwhmdeo4/00001", "id10001/1zcIwhmdeo4/00002"]
    assert one.person == "id10001" and one.facts == {
        "source": "VoxCeleb id10001", "gender": "M", "split": "train", "nationality": "Ireland"}
    assert [p.parent.name for p in one.pictures] == ["1zcIwhmdeo4"] * 2 and one.film is None
    assert other.facts["gender"] == "F" and split_of(other) == "test" and not other.pictures


def test_voxceleb_2_with_blanks_in_its_table_and_sound_apart(tmp_path: Path) -> None:
    (tmp_path / "vox2_meta.csv").write_text(VOX2)
    touch(tmp_path / "dev" / "aac" / "id00012" / "21Uxsk56VDQ" / "00001.m4a",
          tmp_path / "dev" / "mp4" / "id00012" / "21Uxsk56VDQ" / "00001.mp4",
          tmp_path / "dev" / "mp4" / "id00017" / "01dfn2spqyE" / "00007.mp4")  # fmt: skip
    both, film = voxceleb(tmp_path).items()
    assert both.sound and both.film and (both.sound.suffix, both.film.suffix) == (".m4a", ".mp4")
    assert both.facts["gender"] == "F" and split_of(both) in ("train", "val")
    assert film.sound == film.film and split_of(film) == "test"


def test_people_are_dealt_out_by_their_names() -> None:
    splits = [split_of(Item("k", f"person {n}")) for n in range(2000)]
    shares = [splits.count(split) / 2000 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert split_of(Item("other", "person 3")) == splits[3]
    own = {"split": "train", "source": "VoxCeleb"}
    dev = [split_of(Item("k", f"p{n}", facts=own)) for n in range(500)]
    assert {*dev} == {"train", "val"} and 0.05 < dev.count("val") / 500 < 0.15


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("vox1_meta.csv", "VoxCeleb1 ID,Gender\n", "its columns are VoxCeleb1 ID,Gender"),
     ("vox1_meta.csv", VOX1 + "id10003\tX\tx\tY\tdev\n", "line 4: 'id10003 | X | x | Y | dev'"),
     ("vox2_meta.csv", VOX2 + "id00018 \tf\n", "line 4")],
)  # fmt: skip
def test_a_table_of_people_with_other_columns(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        voxceleb(tmp_path)
    assert words in str(caught.value) and str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [("youtube_id,start,end,x,y", "line 2: 5 cells"), ("abc,1.0,2.0,0.5", "line 2: 4 cells"),
     ("abc,1.0,2.0,0.5,0.5,0", "line 2: 6 cells"), ("../../etc,1,2,0.5,0.5", "is no YouTube id"),
     ("abc,3.0,2.0,0.5,0.5", "start before end"), ("abc,1.0,2.0,1.5,0.5", "shares from 0 to 1"),
     ("abc,nan,2.0,0.5,0.5", "start before end")],
)  # fmt: skip
def test_an_avspeech_table_is_refused_by_its_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "avspeech.csv"
    path.write_text(f"good_video-,0.0,3.5,0.25,0.75\n{line}\n")
    with pytest.raises(InputError) as caught:
        list(avspeech(path, tmp_path).items())
    assert words in str(caught.value) and f"{path}: line 2" in str(caught.value)
    path.write_text("")
    with pytest.raises(InputError, match="has no lines"):
        avspeech(path, tmp_path)


def test_names_that_are_odd_and_links_that_loop(tmp_path: Path) -> None:
    root, outside = tmp_path / "films", tmp_path / "outside"
    names = ["a b.mp4", "line\nbreak.mp4", "übung — 日本.webm", "sub/deep.MKV", ".hidden.mp4"]
    touch(*(root / name for name in names), outside / "linked.mp4")
    with open(os.fsencode(root) + b"/\xff\xfe.mp4", "wb") as file:
        file.write(b"x")
    (root / "sub" / "loop").symlink_to(root)
    (root / "more").symlink_to(outside)
    (root / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    items = list(videos(root).items())
    keys = [item.key for item in items]
    assert keys == [item.key for item in videos(root).items()] and len(keys) == len({*keys})
    assert {"a b.mp4", "line\\nbreak.mp4", "übung — 日本.webm", "sub/deep.MKV",
            "more/linked.mp4", "\\udcff\\udcfe.mp4"} == {*keys}  # fmt: skip
    for item in items:
        assert item.film and item.film.is_file() and item.key.isprintable()
        item.key.encode()


def test_a_manifest_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    for name in ("../secret.wav", "/etc/passwd", "a/../../b.wav"):
        path.write_text(f"audio,face,person\nfine.wav,,a\n{name},,b\n")
        with pytest.raises(InputError, match=r"row 2: audio: .* leads out of"):
            table(path)


def test_a_manifest_keeps_what_it_says(population: Path) -> None:
    source = table(population)
    items = list(source.items())
    assert "trait_0" in source.columns and "left_eye_x" not in source.columns
    assert items[0].points and items[0].facts["trait_0"] and not items[0].paired
    assert items[0].key.startswith("000000 audio/") and len({i.key for i in items}) == len(items)


def test_the_command_line_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "store")]
    here = str(tmp_path)
    for words, told in ((["avspeech", here], "give CSV VIDEOS, and --out STORE"),
                        (["videos", f"{here}/no"], "no such folder"),
                        (["videos", here], "no video in it"),
                        (["voxceleb", here], "no clip of VoxCeleb in it"),
                        (["manifest", f"{here}/no.csv"], "no such manifest"),
                        (["videos", here, "--recipe", "face=2"], "nearest known is 'faces'"),
                        (["videos", here, "--recipe", "faces=0"], "greater than 0")):
        assert main(["prepare", *words, *out]) == 2
        said = capsys.readouterr().err
        assert told in said and len(said.splitlines()) == 1
    assert not (tmp_path / "store").exists()
