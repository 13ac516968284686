"""Plugins: finding them, reading their source, checking that they fit."""
