"""`scldm prior`: fit, write, and show the convergence table."""

from __future__ import annotations

from pathlib import Path

from scldm.core.artifact import check_hashes, fingerprint, read_json
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.samples import open_samples
from scldm.encoders.bundle import load_network, pick_device
from scldm.encoders.face import FaceEncoder
from scldm.prior.file import prior_facts, save_prior, table1
from scldm.prior.fit import balanced_order, encode, running_mean


def make_prior(
    checkpoint: Path, faces: Path, split: str, count: int, out: Path,
    convergence: tuple[int, ...], seed: int, device: str,
) -> str:
    """Fit the prior of `count` gender-balanced faces and write it; returns Table 1 as text.

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
    batches = encode(encoder, samples, order, image_size)
    with Progress("faces", count) as bar:
        def watched():  # type: ignore[no-untyped-def]
            for batch in batches:
                yield batch
                bar.update(len(batch))

        fit = running_mean(watched(), convergence)
    source = ", ".join(sorted({str(x).split(" ")[0] for x in samples.manifest["source"] if x}))
    facts = prior_facts(fit, fingerprint(encoder.state_dict()), samples.manifest.digest, source)
    save_prior(out, fit, facts)
    return f"{table1(fit)}\nprior of {count} faces in {out}" if fit.rows else f"prior in {out}"
