"""A run's report: from measured rows to one self-contained page. It knows neither the model nor any structure."""
