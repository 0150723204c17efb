"""`edge-daemon demo`: the whole story on one machine, with nothing else installed.

conveyor, conveyor_parts, conveyor_art   a drawn production line, and the truth about it
conveyor_camera   the line as a camera: the source `conveyor:`, which a real daemon reads too
stage             a broker, a store with signed bundles, the settings, and the daemon as a process
barrier           the line's light barrier: a trigger with a serial number for each part
story             what ops and the MES do to it, scene by scene, and what came of it
rollout_scene     two candidates beside the line: one is stopped, one becomes active
challenge         what the MES knows of the parts, said as feedback
subscriber        hears all that is published, and counts frames and parts
truth             what the conveyor knows: which parts were flawed, and which were found
summary, output   what was counted, at the end; how it is printed
bundles           the trained models

Nothing imports this room. The tables of commands and of camera sources name it.
"""
