"""This box's own engine of a bundle: built from its weights, proven against them, and stored.

builder     what is to be built, and each build from the parent to the store
engines     builds an engine and lets both judge the golden images in turns, in caged workers
exporter    the same weights in another format, written in a worker
derived     the bundle that is made: its version, its manifest, and when it must be made anew
"""
