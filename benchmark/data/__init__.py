"""Speech: recordings and transcripts to a prepared corpus."""
