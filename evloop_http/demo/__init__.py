"""The demo site: a small application that uses the server as anybody's would.

It may import everything; nothing of the server imports it, so that an embedder never loads it.
`app.py` holds the routes, `templates/` the pages (Jinja2), `pages/` the files served as they are
under `/static/`. It needs Jinja2, which the server itself does not.
"""
