"""Rule adapt_lm: the language model learns the new tokens from unlabelled token texts."""
