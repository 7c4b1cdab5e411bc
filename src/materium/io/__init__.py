"""Files: formats of the field, read strictly; what is written whole or not at all; one process to a folder."""
