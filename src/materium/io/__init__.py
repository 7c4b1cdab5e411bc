"""File formats of the field, read strictly: what a file does not determine is rejected instead of guessed."""
