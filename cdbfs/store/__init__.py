"""What is fetched once and kept: listings in memory, documents in memory and on disk. Knows no names of files."""
