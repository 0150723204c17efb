"""PARTS: frames that were judged become parts that are told. Beside the frames' way, never in it.

line        the thread that all of it runs on, and its bounded queue
tracker     follows objects through the frames, so that each is one part
"""
