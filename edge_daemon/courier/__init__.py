"""The courier: a program of its own that brings the bundles of campaigns to the station.

torrent        what a swarm is told of a bundle, made from its folder and read from the origin
election       who of a site takes it from the origin, and who waits for a neighbour
origin         pieces of a bundle from a web server
swarm          pieces from neighbours and for them (libtorrent lives here and nowhere else)
staging        the staging area: the folder beside the store that a bundle is fetched into
delivery       one bundle, from the first word of it to the last neighbour
site           which neighbours there are; peers: what they say on the broker
latency_guard  whether transfers slow the line down, and must pause
wire           what the daemon and the courier tell each other
child          starts the courier and starts it again

    python -m edge_daemon.courier --fd N --parent PID

It looks at the fleet's metadata as well (`fleet.freshness.refresher`): the daemon reads what is
kept, and waits for no server.

Nobody trusts what it brings: the store's door and the gate look at each bundle as at any other.
It runs at idle priority, and whatever ends it ends nothing else.
"""
