"""`scldm prior`: fit, write, and show the convergence table."""

from __future__ import annotations

from pathlib import Path

from scldm.core.artifact import (
    check_hashes,
    fingerprint,
    load_tensors,
    read_json,
    save_tensors,
)
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.samples import open_samples
from scldm.encoders.bundle import load_network, pick_device
from scldm.encoders.face import FaceEncoder
from scldm.prior.file import prior_facts, save_prior, table1
from scldm.prior.fit import RunningMean, balanced_order, encode

SAVE = 1024  # faces between two stands that are kept; a multiple of the batch


def make_prior(
    checkpoint: Path, faces: Path, split: str, count: int, out: Path,
    convergence: tuple[int, ...], seed: int, device: str,
) -> str:
    """Fit the prior of `count` gender-balanced faces and write it; returns Table 1 as text.

    A stopped call goes on where it was, from a file beside `out`, to the same bits.

    Raises InputError for unequal gender counts, a table beyond `count`, or a damaged checkpoint.
    """
    if convergence and convergence[-1] > count:
        raise InputError(f"--convergence {convergence[-1]}: beyond --count {count}")
    check_hashes(checkpoint)
    encoder = load_network(FaceEncoder, checkpoint / "face_encoder").to(pick_device(device))
    config = read_json(checkpoint / "facts.json")["config"]
    image_size = config["data"]["image_size"]
    samples = open_samples(faces, split, "face")
    order = balanced_order(samples.manifest, count, seed)
    mean, own = RunningMean(convergence), fingerprint(encoder.state_dict())
    part = out.with_name(f".{out.name}.part")
    stand = {"encoder": own, "faces": samples.manifest.digest, "split": split, "count": count,
             "seed": seed, "convergence": list(convergence)}
    if part.is_file():
        state, there = load_tensors(part)
        if there == stand:
            mean.restore(state)
    with Progress("faces", count, mean.count) as bar:
        for batch in encode(encoder, samples, order[mean.count :], image_size):
            mean.add(batch)
            bar.update(len(batch))
            if mean.count % SAVE == 0:
                save_tensors(part, mean.state(), stand)
    fit = mean.fit()
    source = ", ".join(sorted({str(x).split(" ")[0] for x in samples.manifest["source"] if x}))
    save_prior(out, fit, prior_facts(fit, own, samples.manifest.digest, source))
    part.unlink(missing_ok=True)
    return f"{table1(fit)}\nprior of {count} faces in {out}" if fit.rows else f"prior in {out}"
