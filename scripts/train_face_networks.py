"""Train the perceptual network and the judge on a manifest's train split; print test accuracy.

    python scripts/train_face_networks.py --faces data/bed/faces.csv --out runs/face-networks
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from scldm.core.artifact import staged, write_hashes, write_json
from scldm.data.samples import load_faces, open_samples
from scldm.encoders.attributes import FaceAttributes
from scldm.pretraining.attributes import AttributesConfig, accuracy, train_attributes

NETWORKS = {
    "perceptual": {
        "architecture": "vgg", "widths": (32, 64, 128, 256), "input_size": 64, "image_size": 64,
    },
    "judge": {
        "architecture": "resnet", "widths": (32, 64, 128, 256), "input_size": 128, "image_size": 96,
    },
}


def publish(
    model: FaceAttributes, folder: Path, keep_labels: bool, facts: dict[str, object]
) -> None:
    """Write the network as a folder of safetensors in half precision, with its facts and hashes."""
    if not keep_labels:
        plain = FaceAttributes(
            model.config["architecture"], model.config["widths"], model.config["input_size"]
        )
        state = {k: v for k, v in model.state_dict().items() if not k.startswith("label.")}
        plain.load_state_dict(state)
        model = plain
    with staged(folder) as part:
        model.half().save_pretrained(part, safe_serialization=True)
        write_json(part / "facts.json", facts)
        write_hashes(part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/face-networks"))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", choices=list(NETWORKS))
    args = parser.parse_args()
    for name, shape in NETWORKS.items():
        if args.only not in (None, name):
            continue
        config = AttributesConfig.model_validate(
            {"faces": args.faces, "out": str(args.out / name / "run"), "steps": args.steps, **shape}
        )
        model = train_attributes(config)
        test = open_samples(args.faces, "test", "face")
        faces = load_faces(test, config.image_size, args.out / name / "run" / "cache", "test faces")
        facts = {"test": accuracy(model, faces, test.manifest), "test_faces": len(faces),
                 "steps": args.steps, "manifest": test.manifest.digest}
        publish(model, args.out / name / "network", name == "perceptual", facts)
        print(name, json.dumps(facts))


if __name__ == "__main__":
    main()
