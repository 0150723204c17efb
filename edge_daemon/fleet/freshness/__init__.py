"""Which campaigns are current, and until when that may be believed: The Update Framework (TUF).

mirror       where a station reads metadata: a web server, a folder or a USB stick, a message
client       the client workflow of the specification; with `repository` all that imports tuf
current      what the station believes now, and the latest time that was seen here
monitor       what a station knows of it: it reads what is kept, and asks nobody itself
refresher    asks now and then, when a timestamp is heard, and before a campaign; in the courier
refresh      one refresh, alone on this machine

layout       the roles, who signs them, and how long each is good
repository   the publisher's side: changes are staged, signed by enough keys, then published
"""
