"""The parts of `scripts/rebuild_bed.py`: archives, faces and speech of the training bed."""
