"""Metric plugins, one a file."""
