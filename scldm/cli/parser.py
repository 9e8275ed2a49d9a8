"""All commands and their options; nothing here imports torch."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from scldm import __version__

BUNDLED = Path(__file__).parents[1] / "bundled" / "checkpoint"
BUNDLED_VOICE = BUNDLED.with_name("voice")
SENTENCE = "The boat left the harbour before sunrise, with the tide."
EXAMPLES = {
    "generate": "scldm generate examples/anna.flac --out outputs/anna --portraits 3 --seed 0",
    "pretrain": "scldm pretrain configs/population-pretrain.yaml steps=200",
    "train": "scldm train configs/population-train.yaml steps=200",
    "prior": "scldm prior --checkpoint runs/population/pretrain/encoders "
             "--faces data/population/manifest.csv --count 100 "
             "--out runs/population/prior.safetensors --convergence 10,50,100",
    "controls": "scldm controls --checkpoint runs/population/train/checkpoint "
                "--clips data/population/manifest.csv --out outputs/population",
    "evaluate": "scldm evaluate --portraits outputs/demo --truth examples/truth.csv "
                "--out outputs/evaluation",
    "baseline": "scldm baseline gan configs/population-wen.yaml steps=200 listening.steps=50",
    "population": "scldm population --people 100 --out data/population",
    "prepare": "scldm prepare manifest data/population/manifest.csv --out data/store",
    "data": "scldm data data/population/manifest.csv",
    "ablate": "scldm ablate guidance configs/population-train.yaml steps=200",
    "table": "scldm table 1 face_prior/bundled.safetensors --out outputs/tables",
    "voice": "scldm voice outputs/anna/anna/portrait_0.png --out outputs/voices",
    "train-voice": "scldm train-voice configs/population-voice.yaml steps=200",
    "evaluate-voice": "scldm evaluate-voice --voices outputs/population-voices --truth "
                      "data/population/manifest.csv --words no",
    "round-trip": "scldm round-trip --clips data/population/manifest.csv",
    "dcts": "scldm dcts outputs/voice-evaluation/embeddings.npz",
    "info": "scldm info face_prior/bundled.safetensors",
}


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="scldm", description="A face for a voice: one plausible face, not the speaker's."
    )
    top.add_argument("--version", action="version", version=f"scldm {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=words, description=words, epilog=f"example: {EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,  # a line that can be copied
        )
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        return sub

    sub = command("generate", "portraits from recordings of speech")
    sub.add_argument("clips", nargs="*", metavar="CLIP", help="recording, or video with sound")
    sub.add_argument("--manifest", type=Path, metavar="MANIFEST", help="all of its clips")
    sub.add_argument("--split", default="test", help="of the manifest (test)")
    sub.add_argument("--out", type=Path, default=Path("outputs/portraits"), metavar="DIR")
    sub.add_argument("--portraits", type=_positive, default=3, metavar="N", help="per clip (3)")
    sub.add_argument("--batch", type=_positive, default=1, metavar="N",
                     help="portraits computed together (1): more is faster, and moves their bits")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--steps", type=_positive, help="sampler's; default: the checkpoint's")
    sub.add_argument("--guidance", type=_finite, help="1: the paper; default: the checkpoint's")
    sub.add_argument("--beta", type=_finite, help="weight of the prior; default: the checkpoint's")
    sub.add_argument("--prior-mode", choices=("input", "literal"), help="reading of the prior")
    sub.add_argument("--checkpoint", default=str(BUNDLED), metavar="PATH",
                     help="checkpoint folder or hub repository; default: the bundled one")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")

    sub = command("voice", "voices for pictures of faces")
    sub.add_argument("faces", nargs="*", metavar="FACE", help="picture of a face")
    sub.add_argument("--manifest", type=Path, metavar="MANIFEST", help="all of its faces")
    sub.add_argument("--split", default="test", help="of the manifest (test)")
    sub.add_argument("--text", default=SENTENCE, help="what is said")
    sub.add_argument("--out", type=Path, default=Path("outputs/voices"), metavar="DIR")
    sub.add_argument("--voices", type=_positive, default=3, metavar="N", help="per face (3)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--spread", type=_within(0, 100), default=1.0,
                     help="of the voices of a face (1)")
    sub.add_argument("--pitch", type=_within(-24, 24), default=0.0, metavar="SEMITONES")
    sub.add_argument("--rate", type=_within(0.25, 4), default=1.0, metavar="FACTOR",
                     help="of speaking (1)")
    sub.add_argument("--mix", metavar="FACE", help="another face, whose voice is mixed in")
    sub.add_argument("--share", type=_within(0, 1), default=0.5, help="of the other's voice (0.5)")
    sub.add_argument("--face", choices=("only", "largest"), default="only",
                     help="of a picture with several faces: none is taken, or the largest")
    sub.add_argument("--control", choices=("mean-face", "true-voice"),
                     help="the mean face's voice for all; or, with --manifest, each person's own")
    sub.add_argument("--speaker", metavar="PATH", help="what made the checkpoint's speaker "
                     "embeddings, for true-voice; default: where it was")
    sub.add_argument("--tts", metavar="NAME", help="espeak, babble, speecht5 or a folder of "
                     "SpeechT5; default: the checkpoint's")
    sub.add_argument("--checkpoint", type=Path, default=BUNDLED_VOICE, metavar="PATH",
                     help="of scldm train-voice; default: the bundled one")
    sub.add_argument("--device", default="auto")

    stages = {"pretrain": "stage 1: contrastive pre-training of the encoders",
              "train": "stage 2: the latent diffusion model; the same command resumes",
              "train-voice": "face to voice: the adapter, through both of its stages; resumes"}
    for name, words in stages.items():
        sub = command(name, words)
        sub.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, see configs/")
        sub.add_argument("overrides", nargs="*", metavar="key=value")

    sub = command("baseline", "an earlier method on the same split; `scldm generate` takes it")
    sub.add_argument("method", choices=("speech2face", "gan"),
                     help="regression, or a conditional GAN (Wen et al.; Wav2Pix as a delta)")
    sub.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, see configs/")
    sub.add_argument("overrides", nargs="*", metavar="key=value")

    sub = command("prior", "the statistical face prior of an encoder, with its convergence table")
    sub.add_argument("--checkpoint", required=True, type=Path, metavar="PATH",
                     help="a checkpoint, or stage 1's encoders")
    sub.add_argument("--faces", required=True, type=Path, metavar="MANIFEST")
    sub.add_argument("--split", default="train", help="rows to use (train)")
    sub.add_argument("--count", type=_positive, default=10_000, help="faces, half of each gender")
    sub.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors")
    sub.add_argument("--convergence", type=_numbers, default=(), metavar="N1,N2,…",
                     help="numbers of faces between which Table 1 is made")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--device", default="auto")

    sub = command("population", "write the synthetic population: faces, voices and a manifest")
    sub.add_argument("--people", type=_positive, required=True, metavar="N")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--photos", type=_positive, default=3, help="per person (3)")
    sub.add_argument("--clips", type=_positive, default=3, help="per person (3)")
    sub.add_argument("--size", type=_positive, default=128, help="side of a photo, pixels (128)")
    sub.add_argument("--splits", type=_reals, default=(0.8, 0.1, 0.1), metavar="TRAIN,VAL,TEST",
                     help="parts of the people (0.8,0.1,0.1)")

    sub = command("prepare", "recordings, videos and pictures into a packed store; resumes")
    sub.add_argument("kind", choices=("voxceleb", "avspeech", "videos", "manifest"),
                     help="what SOURCE is: a folder; avspeech: the table and a folder")
    sub.add_argument("paths", nargs="+", type=Path, metavar="SOURCE")
    sub.add_argument("--out", required=True, type=Path, metavar="STORE")
    sub.add_argument("--recipe", nargs="+", default=(), metavar="key=value",
                     help="faces=3, windows=4, margin=0.3, … as docs/data.md lists them")
    sub.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes (1)")
    sub.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler that does the work")
    sub.add_argument("--strict", action="store_true", help="a skipped clip is an error")
    sub.add_argument("--device", default="auto", help="of the face detector")

    sub = command("data", "what is in a manifest or a packed store")
    sub.add_argument("data", type=Path, metavar="STORE")
    sub.add_argument("--out", type=Path, default=Path("outputs/data"), metavar="DIR",
                     help="of the contact sheet")

    sub = command("controls", "portraits of controls: the mean face, and Z^s decoded directly")
    sub.add_argument("--checkpoint", default=str(BUNDLED), metavar="PATH",
                     help="of `scldm train`; default: the bundled one")
    sub.add_argument("--clips", required=True, type=Path, metavar="MANIFEST")
    sub.add_argument("--faces", type=Path, metavar="MANIFEST",
                     help="training faces; default: those of --clips")
    sub.add_argument("--split", default="test", help="whose clips are drawn for (test)")
    sub.add_argument("--out", type=Path, default=Path("outputs/controls"), metavar="DIR")
    sub.add_argument("--device", default="auto")

    sub = command("evaluate", "portraits against the truth, with controls and intervals")
    sub.add_argument("--portraits", required=True, nargs="+", type=Path, metavar="DIR",
                     help="folders that `scldm generate` wrote, one a method")
    sub.add_argument("--truth", required=True, type=Path, metavar="MANIFEST",
                     help="who speaks in the clips, and their faces where there are any")
    sub.add_argument("--judge", default="bundled", metavar="NAME",
                     help="bundled, vggface2, vggface, or the folder of an attribute network")
    sub.add_argument("--judge-weights", type=Path, metavar="FILE", help="of vggface2 or vggface")
    sub.add_argument("--faces", type=Path, metavar="MANIFEST",
                     help="real faces: of the same split to look like, of train to be copies of")
    sub.add_argument("--by", nargs="*", default=("gender", "age"), metavar="COLUMN",
                     help="columns of the truth by which results are split (gender age)")
    sub.add_argument("--out", type=Path, default=Path("outputs/evaluation"), metavar="DIR")

    sub = command("evaluate-voice", "voices against the truth, with controls and intervals")
    sub.add_argument("--voices", required=True, nargs="+", type=Path, metavar="DIR",
                     help="folders that `scldm voice` wrote, one a method")
    sub.add_argument("--truth", required=True, type=Path, metavar="MANIFEST",
                     help="whose faces they are, and their recordings where there are any")
    sub.add_argument("--speech", type=Path, metavar="MANIFEST",
                     help="recordings of those people; default: those of --truth")
    sub.add_argument("--judge", default=str(BUNDLED), metavar="PATH",
                     help="a checkpoint or network folder whose speech encoder compares voices, or "
                     "xvector; default: the bundled one, which is not independent of the bundled "
                     "adapter")
    sub.add_argument("--reference", type=Path, metavar="DIR",
                     help="voices of the same faces and text (--control true-voice), for MCD and "
                     "F0 RMSE")
    sub.add_argument("--words", choices=("yes", "no"), default="yes",
                     help="word error rate of the first voice of each face (yes)")
    sub.add_argument("--k", type=_positive, default=8, help="of DCTS: voices a face (8)")
    sub.add_argument("--out", type=Path, default=Path("outputs/voice-evaluation"), metavar="DIR")

    sub = command("dcts", "DCTS of speaker embeddings: consistency against diversity")
    sub.add_argument("embeddings", type=Path, metavar="FILE",
                     help="CSV with the header identity,e0,e1,… or npz of identity and embeddings")
    sub.add_argument("--k", type=_positive, default=8, help="embeddings a tuple (8)")
    sub.add_argument("--estimator", choices=("kde", "gmm", "gaussian"), default="kde",
                     help="of the independence of a tuple (kde)")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = command("round-trip", "voice to face to voice, and face to voice to face")
    sub.add_argument("--clips", required=True, type=Path, metavar="MANIFEST")
    sub.add_argument("--faces", type=Path, metavar="MANIFEST", help="default: those of --clips")
    sub.add_argument("--split", default="test", help="whose (test)")
    sub.add_argument("--text", default=SENTENCE, help="what the voices say")
    sub.add_argument("--checkpoint", default=str(BUNDLED), metavar="PATH",
                     help="of speech to face; default: the bundled one")
    sub.add_argument("--voice-checkpoint", type=Path, default=BUNDLED_VOICE, metavar="PATH",
                     help="of face to voice; default: the bundled one")
    sub.add_argument("--tts", metavar="NAME", help="default: the voice checkpoint's")
    sub.add_argument("--judge", default="bundled", metavar="NAME", help="see scldm evaluate")
    sub.add_argument("--voice-judge", default=str(BUNDLED), metavar="PATH",
                     help="see scldm evaluate-voice")
    sub.add_argument("--batch", type=_positive, default=32, metavar="N",
                     help="portraits computed together (32)")
    sub.add_argument("--out", type=Path, default=Path("outputs/round-trip"), metavar="DIR")
    sub.add_argument("--device", default="auto")

    sub = command("ablate", "train, sample and measure the variants of a study; resumes")
    sub.add_argument("study", help="a file of the folder `ablations` beside CONFIG: beta, "
                     "components, guidance, path, steps, tokens")
    sub.add_argument("config", type=Path, metavar="CONFIG", help="of stage 2, its encoders there")
    sub.add_argument("overrides", nargs="*", metavar="key=value")
    sub.add_argument("--values", type=_reals, default=(), metavar="V1,V2,…",
                     help="of the study's axis; default: the study's own")
    sub.add_argument("--truth", type=Path, metavar="MANIFEST",
                     help="clips to draw for, and their people's faces; default: CONFIG's clips")
    sub.add_argument("--split", default="test", help="of the truth (test)")
    sub.add_argument("--judge", default="bundled", metavar="NAME", help="see scldm evaluate")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: outputs/STUDY")

    sub = command("table", "a table of the paper on your data, beside the published values")
    sub.add_argument("number", type=int, choices=(1, 2, 3, 4))
    sub.add_argument("source", type=Path, metavar="FILE",
                     help="1: a prior; 2 to 4: metrics.json of scldm evaluate or ablate")
    sub.add_argument("--out", type=Path, default=Path("outputs/tables"), metavar="DIR")

    sub = command("info", "what a checkpoint or a prior file is")
    sub.add_argument("path", type=Path, metavar="PATH")
    return top


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: use a whole number of 1 or more")
    return int(text)


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text}: use a finite number")
    return value


def _within(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = _finite(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: use a number from {low:g} to {high:g}")
        return value

    return number


def _reals(text: str) -> tuple[float, ...]:
    return tuple(_finite(part) for part in text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    values = tuple(int(part) if part.isdecimal() else 0 for part in text.split(","))
    if list(values) != sorted(set(values)) or values[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: use increasing numbers of faces")
    return values
