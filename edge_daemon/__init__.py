"""edge-daemon judges every frame of a camera stream and changes models without losing one.

The promise: every captured frame has exactly one verdict, by exactly one checked model, and a
receipt that proves it.

Two paths lead through the code and meet in one place:

    frames/    DATA      camera -> ring -> lane -> (slots) -> verdict -> publisher, pictures
    control/   COMMANDS  mqtt -> inbox -> driver (planner) -> loader -> gate runner -> (slots)
    slots/     where they meet: N slots, one active, a cutover at a frame boundary
    parts/     PARTS     judged frames -> tracked objects -> one result for each part

    core/      decisions, pure: values, events, effects, the planner, the gate, the trial
    messaging/ topics, payloads, MQTT and the control socket: bytes become values and back
    models/    a bundle on disk -> an engine in memory: manifest, trust, store, engine
    host/      clock, journal, logs, metrics, systemd, GPU
    config/    the settings file as frozen values
    documents/ files that people provide, read whole or refused in one sentence
    web/       the status page: reads, decides nothing
    packing/   weights and labelled pictures -> a bundle; its verdicts on labelled pictures
    collecting/ pictures for the next training, and what people say of them
    sources/   new bundles from a folder, a web server, an OCI registry or MLflow
    optimize/  this box's own engine of a bundle
    fleet/     many stations: what each reports, who has which model
    courier/   a program of its own: bundles of campaigns, from the origin once, then by neighbours;
               and what is current in the fleet
    app/       builds everything, starts and stops it in order
    cli/       the command line
    demo/      a drawn production line and a story; nothing imports it, two tables name it

Imports run downward only: __main__ > demo > cli > app > courier > (fleet | collecting) >
(frames | control | web | optimize | packing | parts | sources) > (messaging | slots) >
(models | host | config) > documents > core > errors.
"""

__version__ = "0.1.0"
