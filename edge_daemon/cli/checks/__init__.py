"""What `edge-daemon check` looks at: one module a section, each gives findings and changes nothing.

finding         what was found: fine, a warning, an error; the last two with a remedy
configuration   the settings file, and the files that it names
machine         processor, memory, GPU, libraries, clock, disk, the workers' cage
camera          opens it and counts frames
broker          joins it and tries each topic
models          the store, its bundles, keys, links
pictures        the place that pictures are copied to
service         systemd, the running daemon, the port of the page
"""
