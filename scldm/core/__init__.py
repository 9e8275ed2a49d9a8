"""L0: errors, configuration, artifacts, run folders and step-keyed randomness."""
