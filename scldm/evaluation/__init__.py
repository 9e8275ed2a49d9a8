"""L7: judges, and figures about portraits."""
