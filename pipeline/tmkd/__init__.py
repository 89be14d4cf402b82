"""TMKD, line by line: views, prompts, weights, fusion, contrast."""
