"""Calls of other commands, for scripts that chain them: what is there is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(*command: str, unless: Path) -> None:
    """Run a Python command unless what it makes is there."""
    if unless.exists():
        print(f"kept: {unless}", file=sys.stderr)
        return
    call(*command)


def call(*command: str) -> None:
    """Run a Python command; SystemExit where it stopped."""
    print("$ python " + " ".join(command), file=sys.stderr, flush=True)
    if status := subprocess.run([sys.executable, *command], check=False).returncode:
        raise SystemExit(f"{command[0]} ended with {status}; the same command goes on from there")
