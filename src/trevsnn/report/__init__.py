"""A run on one page: what was measured (`findings`), drawn (`figures`) and written (`page`)."""
