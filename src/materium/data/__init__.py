"""From tables and files of crystals to shards, and from shards to batches."""
