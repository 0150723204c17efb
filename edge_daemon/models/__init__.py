"""A bundle on disk, and how it becomes an engine in memory.

    folder ──manifest──▶ Manifest ──store──▶ offered ──bundle──▶ verified private copy ──▶ engine

files       reach a folder that is not trusted; digests
document    YAML within bounds, read key by key
manifest    model.yaml as frozen values
versions    how versions order; what a bundle requires of this box
trust       OpenSSF model signatures
onnx        does a model name other files, which nothing vouches for
bundle      the door: a folder is read, checked, and copied byte for byte as it was checked
store       which bundles are complete; what was seen once never changes
watch       tells when the store's offer changes
decoding    image files as pixels, upright
engine      weights in memory (ultralytics and torch live there and nowhere else)
device      a CUDA device as torch has it
"""
