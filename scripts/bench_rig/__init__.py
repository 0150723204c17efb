"""What `scripts/bench` is made of: one source of frames, six ways to change a model, one ruler.

weights    the models that are swapped, and the three bad ones
field      the patterns in use today, a process of their own, a few lines each
ours       the daemon itself, over its broker
records    what was seen of each frame, and every figure that is computed from it
story      what is done to a line: swaps, faults, rollbacks; the same for all
promises   the daemon's own figures against what it promises
report     the table, the JSON and the plots
"""
