"""Studies: a question, variants that differ by one delta each, and the paper's tables."""
