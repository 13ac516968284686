"""Backbone plugins, one per file."""
