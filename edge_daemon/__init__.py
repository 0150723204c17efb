"""edge-daemon judges every frame of a camera stream and changes models without losing one.

The promise: every captured frame has exactly one verdict, by exactly one checked model, and a
receipt that proves it.

Two ways through the house, which meet in one place:

    frames/   DATA      camera -> ring -> lane -> (slots) -> judged -> publisher, pictures
    control/  COMMANDS  mqtt -> inbox -> driver (planner) -> loader -> gate runner -> (slots)
    parts/    PARTS     judged frames -> followed objects -> one result for each part
    slots/    where they meet: N slots, one active, a cutover at a frame boundary

    core/     what is decided, pure: values, events, actions, the planner, the gate, the trial
    models/   a bundle on disk -> an engine in memory: manifest, trust, store, engine
    host/     clock, journal, logs, metrics, systemd, GPU
    config/   the settings file as frozen values
    documents/ files that people hand over, read whole or refused in one sentence
    web/      the status page, reads and decides nothing
    demo/     a drawn line, and a story told on it: nothing imports it, two tables name it
    cli/      what people type          app  builds everything, starts and stops it in order

Imports run downward only: __main__ > demo > cli > app > (frames | control | web | parts) > slots
> (models | host | config) > documents > core > errors.
"""

__version__ = "0.1.0"
