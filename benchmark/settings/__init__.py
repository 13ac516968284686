"""A run's settings: schema, reading, help, presets and tuned values."""
