"""L6: the other mapping, face to voice (seed 000); beside generation, and neither imports it."""
