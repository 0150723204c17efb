"""MESSAGES: what crosses the edge of the daemon, as values, and the ways it comes and goes.

Words: topics, terms, payloads (what is said), asks (what may be asked), answer; api shows them.
In: mqtt (connection, sending, link, ceiling) and local_socket hand over `Incoming`; inbox, orders
make values of it, and document bounds what a stranger sends.
The other ends, for the command line: client (of a broker), local_client (on this machine).
Nothing is decided here, and nothing is kept.
"""
