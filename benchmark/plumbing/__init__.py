"""What any program needs: files, locks, checkpoints, worker processes, progress. It can't change a number."""
