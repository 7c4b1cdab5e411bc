"""The network: a LLaMA-style decoder over sentences of tokens, with a prefix that says what the crystal should be."""
