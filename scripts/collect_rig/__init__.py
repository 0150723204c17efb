"""The collector held against what it promises: estimates against a known truth, and its cost."""
