"""Finding plugins, reading their source, checking that they fit."""
