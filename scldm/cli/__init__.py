"""The command line. Paths are checked before torch is imported; the only lazy imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from scldm.cli import data, measures, stages, voices
from scldm.cli.parser import BUNDLED, BUNDLED_VOICE, EXAMPLES, parser
from scldm.core.errors import InputError

__all__ = ["BUNDLED", "BUNDLED_VOICE", "EXAMPLES", "main"]
COMMANDS = {
    name.removeprefix("run_").replace("_", "-"): command
    for module in (data, stages, voices, measures) for name, command in vars(module).items()
    if name.startswith("run_")
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 where something given cannot be used, or 130
    where the user stopped it.
    """
    args = parser().parse_args(argv)
    # Threads of libgomp that spin long for each other slow a busy machine fifty-fold.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        status = int(COMMANDS[args.command](args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader left: scldm info … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("scldm: stopped", file=sys.stderr)
        return 130
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
