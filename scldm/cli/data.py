"""`scldm` population, prepare, data: what makes data, and what looks at them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from scldm.cli.paths import require_data, require_writable
from scldm.core.errors import InputError

SOURCES = {"voxceleb": "FOLDER", "avspeech": "CSV VIDEOS", "videos": "FOLDER", "manifest": "CSV"}


def run_population(args: argparse.Namespace) -> int:
    """`scldm population`."""
    from scldm.core.progress import Progress
    from scldm.data.population import write_population

    with Progress("people", args.people) as bar:
        path = write_population(
            args.out, args.people, seed=args.seed, photos=args.photos, clips=args.clips,
            size=args.size, splits=args.splits,
            progress=lambda done, total: bar.update(done - bar.done),
        )
    print(f"manifest: {path}")
    return 0


def run_prepare(args: argparse.Namespace) -> int:
    """`scldm prepare`: real recordings, videos and pictures into a packed store."""
    wanted = SOURCES[args.kind]
    if len(args.paths) != len(wanted.split()):
        raise InputError(f"prepare {args.kind}: give {wanted}, and --out STORE")
    require_writable(args.out)
    from scldm.core.config import check_config, override
    from scldm.data.prepare import sources
    from scldm.data.prepare.cluster import backend
    from scldm.data.prepare.item import Recipe
    from scldm.data.prepare.run import prepare
    from scldm.encoders.bundle import pick_device

    recipe = check_config(Recipe, override({}, args.recipe), "--recipe")
    makers: dict[str, Any] = {"voxceleb": sources.voxceleb, "avspeech": sources.avspeech,
                              "videos": sources.videos, "manifest": sources.table}
    source = makers[args.kind](*args.paths)
    with backend(args.dask):
        jobs = -1 if args.dask else args.jobs  # all that the cluster has
        totals = prepare(source, recipe, args.out, jobs, str(pick_device(args.device)), args.strict)
    skipped = {reason: n for reason, n in totals.most_common() if reason != "used"}
    reasons = ", ".join(f"{n} {reason}" for reason, n in skipped.items())
    print(f"{totals['used']} of {totals.total()} clips in {args.out}"
          + (f"; skipped: {reasons} ({args.out / 'skipped.csv'})" if reasons else ""))
    return 0


def run_data(args: argparse.Namespace) -> int:
    """`scldm data`: what is in a manifest or a store, in figures and as a contact sheet."""
    require_data(args.data)
    require_writable(args.out)
    from scldm.data.overview import describe, sheet

    print(describe(args.data))
    path = args.out / f"{args.data.resolve().stem}.png"
    if sheet(args.data, path):
        print(f"samples: {path}", file=sys.stderr)
    return 0
