"""The HTTP API and the page: requests become jobs, one process with the model does them, one after the other."""
