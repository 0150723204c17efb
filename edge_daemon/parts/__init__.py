"""PARTS: frames that were judged become parts that are told. Beside the frames' way, never in it.

tracker     follows objects through the frames, so that each is one part
"""
