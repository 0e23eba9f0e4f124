"""Chaos: clients that misbehave in every way they can, against an application with every kind of handler.

    ./scripts/load chaos --time 10m

Reading order:

* `application`: the handlers, each of which repeats the nonce of its request
* `asking`: requests, and what their answers may be; `judging`: whether an answer is the one
* `wires`: a client's end of a connection, over TCP and over TLS
* `client`: one client, its choices and its connections; `lives`: what clients do, from the first byte to the reset
* `serving`: the process of the server, and what it tells of itself; `levels`: whether it is at rest
* `running`: many lives at a time, in rounds, and the verdict

The theory. *The seed decides what each client does*: a life has a number, and its own generator of random
numbers made of the seed and that number. So a life that found something can be lived again, alone
(`--seed 7 --life 4711`). What the network and the threads do meanwhile, no seed decides.

*Every answer belongs to its request.* A request carries a nonce, the application repeats it in a header, and
the content of an answer is made of it. A refusal by the server itself has none, and nothing may follow it.

*A client that is quicker than the shortest deadline has a right to all of its answers.* One that was slower may
have been cut off, so only what it did receive is judged. That needs no guess at how busy the machine is.

*Afterwards nothing is left.* The server is asked for its connections, timers, threads, descriptors, and for
the requests and bodies that are still in its memory, until all are back where they were, or for too long.
Its resident memory may not grow from the first round to the last. Its log may contain nothing but the errors that
handlers make on purpose.
"""
