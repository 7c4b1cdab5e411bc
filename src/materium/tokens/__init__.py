"""Crystals as sentences of tokens: vocabulary, tokenizer, grammar, and the guess of oxidation states."""
