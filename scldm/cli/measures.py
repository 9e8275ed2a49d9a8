"""`scldm` evaluate, ablate, table, population, info: what measures, and what helps."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from scldm.cli.paths import require_data, require_file, require_writable
from scldm.core.errors import InputError


def run_evaluate(args: argparse.Namespace) -> int:
    """`scldm evaluate`."""
    require_data(args.truth, *(args.faces,) if args.faces else ())
    require_writable(args.out)
    from scldm.evaluation.command import Question, evaluate

    question = Question(args.portraits, args.truth, args.judge, args.judge_weights, args.faces,
                        tuple(args.by))
    faults, notes = evaluate(question, args.out)
    return told(faults, notes, args.out)


def told(faults: list[str], notes: list[str], out: Path) -> int:
    """Print what `evaluate` wrote to `out` and could not use; the exit status."""
    for line in (*faults, *notes):
        print(f"scldm: {line}", file=sys.stderr)
    print(f"{(out / 'table.md').read_text()}\nmetrics.json and table.md in {out}")
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
    require_data(Path(config.data.faces), *map(Path, config.data.speech), truth)
    from scldm.studies.ablate import Plan, ablate
    from scldm.studies.figures import draw_axis

    faults, notes = ablate(study, Plan(config, truth, args.split, args.judge, out))
    if study.axis:
        draw_axis(out, out / "axis.png")
    print(f"{study.question}\n")
    return told(faults, notes, out)


def run_table(args: argparse.Namespace) -> int:
    """`scldm table`."""
    require_file(args.source)
    require_writable(args.out)
    from scldm.studies.tables import write_table

    print(f"{write_table(args.number, args.source, args.out)}\ntable{args.number}.md and "
          f"table{args.number}.json in {args.out}")
    return 0


def run_info(args: argparse.Namespace) -> int:
    """`scldm info`."""
    if not os.path.exists(args.path):
        raise InputError(f"{args.path}: no such checkpoint or prior")
    from scldm.generation.info import describe

    print(describe(args.path))
    return 0
