"""From a request to crystals: sampling under the grammar, streamed to a run folder."""
