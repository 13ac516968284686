"""The stages of a run: preparation, pretraining, training, evaluation; and what is done with finished ones."""
