"""Settings of a run: schema, reading, help, presets and tuned values."""
