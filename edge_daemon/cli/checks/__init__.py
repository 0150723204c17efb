"""What `edge-daemon check` looks at: one module a section, each gives findings and changes nothing.

finding         what was found: fine, a warning, an error; the last two with a remedy
configuration   the settings file, and the files that it names
certificates    how long those of the broker are valid
refusals        what `run` would refuse of a valid file
machine         processor, memory, GPU, libraries, clock, disk, the workers' cage
camera          opens it and counts frames
broker          joins it and tries each topic
models          the store, its bundles, keys, links
pictures        the place that pictures are copied to
service         systemd, the running daemon, the port of the page
onlooker        instead of all these: the broker, for settings of a user that is no station
"""
