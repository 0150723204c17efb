"""`edge-daemon demo`: the whole story on one machine, with nothing else installed.

stage   a broker, a store with signed bundles, the settings, and the daemon as a process of its own
story   what ops and the MES do to it, scene by scene, and what came of it
truth   what the conveyor knows: which defects were there, and which were found
bundles the trained models
"""
