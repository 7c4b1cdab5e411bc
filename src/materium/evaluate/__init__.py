"""What crystals are, measured or predicted, and how well they meet what was asked for; knows nothing of models."""
