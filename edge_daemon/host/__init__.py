"""The box: its clock, disk, log, service manager, GPU, and its durable memory.

`journal` is the only durable memory (with `journal_file`, `journal_rows` and the rules of `audit`);
`error_boundary` is where the faults of a thread end; `disk` writes files that survive a power cut;
`memory` holds the frames; `metrics` and `health` describe the state. Nothing here knows what a
model or a broker is.
"""
