"""Laws of `scldm generate`: names, facts and files."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from scldm.cli import main
from scldm.core.names import free_stem
from scldm.generation.clips import of_files
from scldm.generation.files import NOTICE
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.generation.portraits import generate
from scldm.generation.sources import Diffusion, How, Wish, open_source, spare_threads


def test_generate_writes_the_contract(checkpoint, clip, tmp_path, capsys):
    other = tmp_path / "again" / clip.name
    other.parent.mkdir()
    shutil.copy(clip, other)
    missing = str(tmp_path / "missing.wav")
    out = tmp_path / "out"
    status = main(["generate", str(clip), missing, str(other), "--out", str(out), "--portraits",
                   "2", "--checkpoint", str(checkpoint), "--beta", "0.1"])
    assert status == 2 and f"{missing}: no such file" in capsys.readouterr().err
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        "voice/portrait_0.png", "voice/portrait_1.png",
        "voice-2/portrait_0.png", "voice-2/portrait_1.png",
    ]
    assert set(lines[0]) == {"clip", "audio", "path", "seed", "beta", "prior_mode", "steps",
                             "guidance", "checkpoint", "seconds"}
    assert lines[0]["clip"] == str(clip) and lines[0]["beta"] == 0.1 and lines[0]["seconds"] > 0
    picture = Image.open(out / lines[0]["path"])
    assert picture.size == (32, 32)
    assert "AI-generated" in picture.info["Comment"] and picture.info["beta"] == "0.1"
    pixels = [np.asarray(Image.open(out / f"{v}/portrait_0.png")) for v in ("voice", "voice-2")]
    assert np.array_equal(*pixels)
    assert Image.open(out / "sheet.png").size[0] > 300


def test_a_picture_carries_its_line_of_the_manifest(checkpoint, clip, tmp_path):
    main(["generate", str(clip), "--out", str(tmp_path), "--seed", "3", "--guidance", "2",
          "--checkpoint", str(checkpoint), "--prior-mode", "literal", "--portraits", "2"])
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [(x["seed"], x["guidance"], x["prior_mode"]) for x in lines] == [(3, 2.0, "literal")] * 2
    for line in lines:
        picture = Image.open(tmp_path / line["path"])
        facts = {k: v for k, v in picture.info.items() if k in line}
        assert facts == {k: str(v) for k, v in line.items()}
        assert picture.info["Comment"] == f"AI-generated: {NOTICE}"
    assert Image.open(tmp_path / "sheet.png").info["Comment"] == f"AI-generated: {NOTICE}"


def test_portraits_are_those_of_the_pipeline(checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    tone = torch.from_numpy(np.sin(np.arange(20_000)).astype(np.float32))
    made = Diffusion(pipeline).draw([tone], Wish(2))[0]
    same = pipeline(np.sin(np.arange(20_000)).astype(np.float32), portraits=2)[0]
    assert [a.tobytes() for a in made] == [b.tobytes() for b in same]


def test_a_wish_of_zero_is_a_wish(checkpoint):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    source = Diffusion(pipeline)
    assert source.how(Wish()) == How(0, 0.01, "input", 4, 1.0)
    assert source.how(Wish(beta=0.0, guidance=0.0, steps=9)) == How(0, 0.0, "input", 9, 0.0)


def test_a_small_network_leaves_the_other_cores_alone(checkpoint, monkeypatch):
    source, cpu = open_source(checkpoint, torch.device("cpu")), torch.device("cpu")
    before = torch.get_num_threads()
    try:
        for environment, size, wanted in (("", 1e6, 1), ("", 1e9, 2), ("2", 1e6, 2)):
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            if environment:
                monkeypatch.setenv("OMP_NUM_THREADS", environment)
            torch.set_num_threads(2)
            source.size = size
            spare_threads(source, cpu)
            assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)


def pictures(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")}


def test_a_stopped_call_goes_on_where_it_was(checkpoint, clip, tmp_path, monkeypatch, capsys):
    """What is there of the same sound, source and wish stays; another is drawn anew."""
    source, clips = open_source(checkpoint, torch.device("cpu")), of_files([str(clip)] * 3)
    out, drawn = tmp_path / "out", []

    def draw(waveforms, wish):
        drawn.append(len(waveforms))
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return Diffusion.draw(source, waveforms, wish)

    monkeypatch.setattr(source, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        generate(source, clips, out, Wish(2))
    first = pictures(out)
    assert len(first) == 2 and not (out / "manifest.jsonl").exists()
    made, bad = generate(source, clips, out, Wish(2))
    assert drawn == [1] * 4 and bad == [] and "there already" in capsys.readouterr().err
    assert len(made) == 6 and first.items() <= pictures(out).items()
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == [portrait.seconds for portrait in made]
    again = pictures(out)
    assert generate(source, clips, out, Wish(2)) == (made, []) and pictures(out) == again
    generate(source, clips, out, Wish(2, seed=1))
    assert drawn == [1] * 7 and not set(again.values()) & set(pictures(out).values())
    (out / "manifest.jsonl").unlink()
    for path in again:  # a broken picture is drawn anew
        (out / path).write_bytes(b"\x89PNG")
    assert len(generate(source, clips[:1], out, Wish(2, seed=1), sheet=False)[0]) == 2


def test_a_user_who_stops_gets_a_line(checkpoint, clip, tmp_path, monkeypatch, capsys):
    def stop(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr("scldm.generation.sources.Diffusion.draw", stop)
    assert main(["generate", str(clip), "--checkpoint", str(checkpoint), "--out",
                 str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "scldm: stopped"


@pytest.mark.parametrize("sampler", ["dpmsolver++", "ddpm"])
def test_portraits_drawn_together_are_those_drawn_alone(sampler, checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    low = np.sin(np.arange(20_000) / 9).astype(np.float32)
    same = {"portraits": 3, "seed": 2, "sampler": sampler, "output_type": "pt"}
    alone = pipeline([str(clip), low], **same)
    together = pipeline([str(clip), low], **same, batch_size=4)
    assert torch.allclose(alone, together, atol=1e-4)
    assert not torch.allclose(alone[:, 0], alone[:, 1], atol=1e-2)


def test_a_taken_stem_gets_a_number():
    taken: set[str] = set()
    assert [free_stem("a", taken) for _ in range(3)] == ["a", "a-2", "a-3"]
    stems = [free_stem(name, set()) for name in (".hidden", "..", "")]
    assert stems == ["hidden", "unnamed", "unnamed"]
    taken = {"sheet.png"}
    assert free_stem("sheet.png", taken) == "sheet.png-2" and "sheet.png-2" in taken


@pytest.mark.parametrize("fails", range(4))
def test_a_full_disk_is_one_line_and_leaves_no_part(
    fails, checkpoint, clip, tmp_path, monkeypatch, capsys
):
    """The disk is full at each of the four files in turn: two portraits, manifest, sheet."""
    done, real = [], os.replace

    def replace(source: str, target: str) -> None:
        if len(done) == fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(target)
        real(source, target)

    monkeypatch.setattr("scldm.core.artifact.os.replace", replace)
    status = main(["generate", str(clip), "--out", str(tmp_path / "out"), "--portraits", "2",
                   "--checkpoint", str(checkpoint)])
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("scldm: ")]
    assert status == 2 and len(said) == 1 and said[0].endswith("No space left on device")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(map(str, files)) == sorted(map(str, done))
    for picture in (p for p in files if p.suffix == ".png"):
        Image.open(picture).load()
