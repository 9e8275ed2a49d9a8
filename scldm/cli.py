"""L8: the command line. Paths are checked before torch is imported; the only lazy imports."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scldm import __version__
from scldm.core.errors import InputError

BUNDLED = Path(__file__).parent / "bundled" / "checkpoint"
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
    "baseline": "scldm baseline gan configs/population-gan.yaml steps=200",
    "population": "scldm population --people 100 --out data/population",
    "ablate": "scldm ablate beta configs/population-train.yaml --values 0,0.01,1",
    "table": "scldm table 1 face_prior/bundled.safetensors --out outputs/tables",
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
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--steps", type=_positive, help="sampler's; default: the checkpoint's")
    sub.add_argument("--guidance", type=_finite, help="1: the paper; default: the checkpoint's")
    sub.add_argument("--beta", type=_finite, help="weight of the prior; default: the checkpoint's")
    sub.add_argument("--prior-mode", choices=("input", "literal"), help="reading of the prior")
    sub.add_argument("--checkpoint", default=str(BUNDLED), metavar="PATH",
                     help="checkpoint folder or hub repository; default: the bundled one")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")

    stages = {"pretrain": "stage 1: contrastive pre-training of the encoders",
              "train": "stage 2: the latent diffusion model; the same command resumes"}
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


def _reals(text: str) -> tuple[float, ...]:
    return tuple(_finite(part) for part in text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    values = tuple(int(part) if part.isdecimal() else 0 for part in text.split(","))
    if list(values) != sorted(set(values)) or values[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: use increasing numbers of faces")
    return values


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 where something given cannot be used."""
    args = parser().parse_args(argv)
    # Threads of libgomp that spin long for each other slow a busy machine fifty-fold.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        status = int(globals()[f"run_{args.command}"](args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader left: scldm info … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except InputError as error:
        if args.debug:
            raise
        print(f"scldm: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ImportError) as error:
        if args.debug or "torchvision" not in str(error):
            raise
        print("scldm: torch and torchvision are of different builds (a CPU-only torch beside the "
              "index's torchvision?); install both anew: pip install --force-reinstall torch "
              "torchvision", file=sys.stderr)
        return 2


def run_generate(args: argparse.Namespace) -> int:
    """`scldm generate`."""
    there = [clip for clip in args.clips if os.path.isfile(clip)]
    if not there and args.clips:
        raise InputError("; ".join(f"{clip}: {_absent(clip)}" for clip in args.clips))
    if bool(args.clips) == bool(args.manifest):
        raise InputError("give recordings, or --manifest")
    if args.manifest:
        require_file(args.manifest)
    if args.checkpoint == str(BUNDLED) and not BUNDLED.is_dir():
        raise InputError(f"{BUNDLED}: the bundled checkpoint is missing; install scldm again")
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.generation.controls import clips_of
    from scldm.generation.portraits import generate
    from scldm.generation.sources import Wish, open_source

    clips = args.clips or clips_of(open_samples(args.manifest, args.split, "audio"))
    device = pick_device(args.device)
    began = time.perf_counter()
    source = open_source(args.checkpoint, device)
    print(f"checkpoint loaded in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    wish = Wish(args.portraits, args.seed, args.steps, args.guidance, args.beta, args.prior_mode)
    made, bad = generate(source, clips, args.out, wish)
    if made:
        print(f"{len(made)} portraits and sheet.png in {args.out}")
    return 2 if bad else 0


def _absent(clip: str) -> str:
    return "is a directory; give recordings" if os.path.isdir(clip) else "no such file"


def require_writable(folder: Path) -> None:
    """InputError unless `folder` can be made and written to; leaves nothing behind."""
    here = folder
    while not os.path.exists(here):
        here = here.parent
    if not here.is_dir() or not os.access(here, os.W_OK):
        raise InputError(f"{folder}: cannot be written; choose another --out")


def run_pretrain(args: argparse.Namespace) -> int:
    """`scldm pretrain`."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.pretraining.config import PretrainConfig

    config = load_config(PretrainConfig, args.config, args.overrides)
    require_file(Path(config.data.faces), *map(Path, config.data.speech))
    from scldm.pretraining.loop import pretrain

    print(f"encoders in {pretrain(config)}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """`scldm train`: stage 2, then the checkpoint that `scldm generate` takes."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.diffusion.config import TrainConfig

    config = load_config(TrainConfig, args.config, args.overrides)
    require_file(Path(config.data.faces), *map(Path, config.data.speech))
    from scldm.diffusion.loop import train
    from scldm.generation.assemble import assemble

    denoiser = train(config)
    if config.prior is None:
        print(f"denoiser in {denoiser}; without a prior it makes no checkpoint")
        return 0
    if os.environ.get("RANK", "0") == "0":
        assemble(denoiser, Path(config.out) / "checkpoint")
        print(f"checkpoint in {Path(config.out) / 'checkpoint'}")
    return 0


def run_baseline(args: argparse.Namespace) -> int:
    """`scldm baseline`."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.baselines.config import GanConfig, RegressionConfig
    from scldm.baselines.gan import train_gan
    from scldm.baselines.regression import train_regression

    if args.method == "gan":
        gan = load_config(GanConfig, args.config, args.overrides)
        require_file(Path(gan.data.faces), *map(Path, gan.data.speech))
        made = train_gan(gan)
    else:
        regression = load_config(RegressionConfig, args.config, args.overrides)
        require_file(Path(regression.data.faces), *map(Path, regression.data.speech))
        made = train_regression(regression)
    print(f"checkpoint in {made}")
    return 0


def require_file(*paths: Path) -> None:
    """InputError naming the first of `paths` that is not a file."""
    for path in paths:
        if not os.path.isfile(path):  # also of a name that is too long
            raise InputError(f"{path}: no such file")


def run_prior(args: argparse.Namespace) -> int:
    """`scldm prior`."""
    require_file(args.faces)
    if not args.checkpoint.is_dir():
        raise InputError(f"{args.checkpoint}: no such checkpoint folder")
    require_writable(args.out.parent)
    if args.out.is_dir():
        raise InputError(f"{args.out}: is a directory; name a file")
    from scldm.prior.command import make_prior

    print(make_prior(args.checkpoint, args.faces, args.split, args.count, args.out,
                     args.convergence, args.seed, args.device))
    return 0


def run_controls(args: argparse.Namespace) -> int:
    """`scldm controls`: a folder each, as `scldm generate` writes it."""
    faces = args.faces or args.clips
    require_file(args.clips, faces)
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.generation.controls import clips_of, controls
    from scldm.generation.pipeline import SpeechToFacePipeline
    from scldm.generation.portraits import generate
    from scldm.generation.sources import Wish

    clips = clips_of(open_samples(args.clips, args.split, "audio"))
    reference = open_samples(faces, "train", "face"), open_samples(args.clips, "train", "audio")
    device = pick_device(args.device)
    pipeline = SpeechToFacePipeline.from_pretrained(args.checkpoint).to(device)
    faults = []
    for name, source in controls(pipeline, *reference).items():
        made, bad = generate(source, clips, args.out / name, Wish(1))
        print(f"{len(made)} portraits in {args.out / name}")
        faults += bad
    return 2 if faults else 0


def run_evaluate(args: argparse.Namespace) -> int:
    """`scldm evaluate`."""
    require_file(args.truth, *(args.faces,) if args.faces else ())
    require_writable(args.out)
    from scldm.evaluation.command import Question, evaluate

    question = Question(args.portraits, args.truth, args.judge, args.judge_weights, args.faces,
                        tuple(args.by))
    faults, notes = evaluate(question, args.out)
    for line in (*faults, *notes):
        print(f"scldm: {line}", file=sys.stderr)
    print(f"{(args.out / 'table.md').read_text()}\nmetrics.json and table.md in {args.out}")
    return 2 if faults else 0


def run_ablate(args: argparse.Namespace) -> int:
    """`scldm ablate`."""
    from scldm.core.config import load_config

    require_file(args.config)
    out = args.out or Path("outputs") / args.study
    require_writable(out)
    from scldm.diffusion.config import TrainConfig
    from scldm.studies.study import read_study

    study = read_study(args.study, args.config, args.values)
    config = load_config(TrainConfig, args.config, args.overrides)
    truth = args.truth or Path(config.data.speech[0])
    require_file(Path(config.data.faces), *map(Path, config.data.speech), truth)
    from scldm.studies.ablate import Plan, ablate
    from scldm.studies.figures import draw_study

    faults, notes = ablate(study, Plan(config, truth, args.split, args.judge, out))
    draw_study(out, truth)
    for line in (*faults, *notes):
        print(f"scldm: {line}", file=sys.stderr)
    print(f"{study.question}\n\n{(out / 'table.md').read_text()}\nstudy in {out}")
    return 2 if faults else 0


def run_table(args: argparse.Namespace) -> int:
    """`scldm table`."""
    require_file(args.source)
    require_writable(args.out)
    from scldm.studies.tables import write_table

    print(f"{write_table(args.number, args.source, args.out)}\ntable{args.number}.md and "
          f"table{args.number}.json in {args.out}")
    return 0


def run_population(args: argparse.Namespace) -> int:
    """`scldm population`."""
    from scldm.core.progress import Progress
    from scldm.data.population import write_population

    with Progress("people", args.people) as bar:
        path = write_population(
            args.out, args.people, seed=args.seed, photos=args.photos, clips=args.clips,
            size=args.size, progress=lambda done, total: bar.update(done - bar.done),
        )
    print(f"manifest: {path}")
    return 0


def run_info(args: argparse.Namespace) -> int:
    """`scldm info`."""
    if not os.path.exists(args.path):
        raise InputError(f"{args.path}: no such checkpoint or prior")
    from scldm.generation.info import describe

    print(describe(args.path))
    return 0

