"""Vocoder plugins, one per file."""
