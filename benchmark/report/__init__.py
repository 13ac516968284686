"""The report: runs as one HTML file that opens anywhere and needs nothing else."""
