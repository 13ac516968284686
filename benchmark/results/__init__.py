"""What runs measured: logs, statistics, leaderboards."""
