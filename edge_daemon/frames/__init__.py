"""DATA: a captured frame on its way to its one verdict.

sources (camera, framing, av_camera, opencv_camera over v4l2) -> capture -> ring -> lane -> (slots)
-> live (ledger) -> publisher, images, collector.
"""
