"""From folders of portraits and a manifest to a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scldm.core.errors import InputError
from scldm.data.samples import Samples
from scldm.evaluation.evaluate import measure, see_truth, side
from scldm.evaluation.judges import JUDGES
from scldm.evaluation.pairing import read_method
from scldm.evaluation.report import about, judge_on_real, summarise, write_report


def evaluate(folders: Sequence[Path], samples: Samples, judge: str, out: Path) -> list[str]:
    """Measure the portraits of each folder, a method each, and write the report below `out`.

    Returns one line for everything that could not be used; the rest is measured all the same.
    Raises InputError when nothing can be measured.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: give folders of different names, one a method")
    methods = [
        read_method(folder, samples.manifest, name)
        for folder, name in zip(folders, names, strict=True)
    ]
    make, layer = JUDGES[judge]
    network = make()
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    truth = see_truth(samples, rows, network, side(methods[0]))
    table = measure(network, methods, truth)
    facts = about(methods, truth, judge, layer, judge_on_real(truth))
    write_report(out, summarise(table), facts)
    return [*(fault for method in methods for fault in method.faults), *truth.faults]
