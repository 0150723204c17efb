"""The status page and the HTTP endpoints: they show what is, and decide nothing.

`backend` is what the page may ask of the daemon, `state` the content of `/api/state`, `history`
what the plots are drawn from. `connection_limiter` bounds who connects, `access` admits callers,
`live` shares one picture among all viewers, `pages` answers, `server` runs it on a thread of its
own. `static` is the page: one HTML, CSS and JavaScript file each, written by hand, with nothing
from elsewhere.
"""
