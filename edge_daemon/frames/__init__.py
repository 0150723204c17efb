"""DATA: a captured frame on its way to its one verdict.

camera, av_camera, opencv_camera -> capture -> ring -> lane -> (slots)
-> live (ledger) -> publisher, images, collector.
"""
