"""How fast evloop_http is beside other servers: `./scripts/bench`, which says with --help what it takes.

Reading order:

* `workloads`: what is asked for, and what must come back
* `peers`: the servers, how each is started and what it can do; `installing`: where they come from
* `apps/`, `go/`: the one application, written for each of them
* `running`: a server pinned to a core, and its end; `checking`: whether it answers as the others do
* `wrk` with `lua/`: the closed loop; `open_model`, `crowds`, `idle`: clients of our own
* `measuring`: one figure; `figures`: what many figures say, medians and ratios
* `report`, `pictures`, `history`: tables, JSON, SVG, and the daily ratios

The theory. *Ratios, not rates*: a rate says as much about the machine and its neighbours as about the
server. So the servers take turns within a round, each with a process of its own and the same core, and a
ratio is taken within a round, where both met the same weather; then the median of the rounds is told with
the least and the most. *Nothing hidden*: a server that answers differently, refuses or fails gets no figure
but a sentence, and an error of any round stands beside the median. *One core each*: the server has one, whatever
loads it the other; that the loading program was itself at its limit is said where it was.
"""
