"""The stages of a run: preparation, pretraining, training, evaluation; and uses of finished runs."""
