"""Pictures for the next training: taken from the line, labelled by people, brought back.

line        what lane, shadow and parts tell it; chosen frames go to the threads that write
pixels      crop, mask, hash: what is done to a picture before it is written
record      what is known of one picture: the JSON beside it
store       the folder: quota, days, what an earlier life left half done
files       written whole, taken away whole, cleaned after a kill
catalogue   the same folder as commands read it, while a station writes
places      where pictures can be sent to
exports     COCO, YOLO, Label Studio and CVAT
labels      what people said of the pictures, in the same formats
push        a durable queue to a folder, S3, HTTP or Label Studio
"""
