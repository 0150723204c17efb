"""MESSAGES: what enters and leaves the daemon, as values, and the ways it takes.

Words: topics, field_types, payloads and result_payloads (what is published), asks (what may be
requested), answer; api documents them.
In: mqtt (connection, sending, link, ceiling) and local_socket deliver `Incoming`; inbox and orders
make values of it, and document bounds what a stranger sends.
The other ends, for the command line: client (of a broker), local_client (on this machine).
Nothing is decided here, and nothing is stored.
"""
