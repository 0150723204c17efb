"""Rollouts: a candidate model beside the active one, judged on the same parts.

    plan ──▶ split ──▶ pairs ──▶ evidence ──rule──▶ advance, stop, hold or wait

values      the words: plan, stage, split, arm, pair, feedback
"""
