"""L6: the pipeline from a clip to portraits, checkpoints, contact sheets."""
