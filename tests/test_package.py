"""What holds for the whole package: nothing is unpickled, imports point down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORBIDDEN = re.compile(
    r"torch\.load\(|\bpickle\.loads?\(|allow_pickle=True|joblib\.load\(|yaml\.load\(|"
    r"trust_remote_code|\beval\((?!\))"
)


def test_nothing_is_unpickled():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("scldm", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines() if FORBIDDEN.search(line)
    ]
    assert [line for line in found if "weights_only=True" not in line] == []
    assert len(found) == 1 and found[0].startswith("scldm/encoders/foreign.py")


def test_imports_point_down():
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
