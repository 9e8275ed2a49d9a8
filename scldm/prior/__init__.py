"""L4: the statistical face prior, fitted in one pass and kept with its facts."""
