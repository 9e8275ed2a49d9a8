"""L1: audio, faces, manifests and splits, the bundled population."""
