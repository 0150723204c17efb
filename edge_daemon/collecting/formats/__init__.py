"""Formats of labelling and training tools: each is written and read in a module of its own."""
