"""The status page and the HTTP endpoints: shows what is, decides nothing.

`sources` is all that this room is told of the house, `state` the words of `/api/state`, `history`
what the plots are drawn from. `crowd` bounds who connects, `door` lets callers in, `live` shares
one picture among all viewers, `pages` answers, `server` runs it on a thread of its own. `static` is
the page: one HTML, CSS and JavaScript file each, made by hand, with nothing from elsewhere.
"""
