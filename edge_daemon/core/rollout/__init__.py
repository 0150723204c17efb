"""Rollouts: a candidate model beside the active one, judged on the same parts.

    plan ──▶ split ──▶ pairs ──▶ evidence ──rule──▶ advance, stop, hold or wait

values      the words: plan, stage, split, arm, pair, feedback
plan        a plan from a mapping and back        bounds   what the station allows of it
draw        which arm a part belongs to
evidence    counts of pairs and labels            betting  sequential statistics of counts
reading     the evidence of each slice            rule     advance, stop, hold or wait
margins     the recall that may be lost           back     the version before looks on
estimate    how long it will take                 rates    of the station's own record
replay      decided once more                     quality  precision, recall, people
blocks      whose turn it is, what was measured   compare  the differences of drawn pairs
drift       a signal that has moved               signals  what is usual, learnt
pairing     two opinions become a pair            report   all of it, for a person
"""
