"""General tools: files, locks, checkpoints, worker processes, progress. They can't change a number."""
