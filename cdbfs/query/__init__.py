"""The query language: a text in a subset of SQL becomes a search that means the same on every XNAT."""
