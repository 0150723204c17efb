"""Parts: what a line buys. Frames are how a part is seen; each part has exactly one result.

    captured, judged, triggered, tick, stopped ──ledger──▶ told, in order of part

values      what a part is here, what happened, and what is told
fold        the frames of one part -> its verdict
ledger      which frame belongs to which part, and when its result is told
"""
