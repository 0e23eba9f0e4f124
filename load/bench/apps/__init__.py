"""The one application of the bench, written for each server in the way that its own documentation shows.

    GET /ping          pong
    POST /json         the JSON of the body, parsed and written again
    POST /form         two fields of the form
    GET /page          a page made by a template
    GET /block         waits 50 ms in a thread, then: done
    GET /static/...    the files of a folder

What they answer is compared before each run; see `checking`.
"""
