"""The demo site: a small application that uses the server as anybody's would.

It may import everything; nothing of the server imports it, so that an embedder never loads it. It
needs Jinja2, which the server itself does not. In reading order:

    app         puts the site together: what stands in what, and what is around it
    programs    the shortest handlers there are: text, JSON, parameters, an echo, a thread, a failure
    pages       the home page, the greeting, the error pages; how every page is made and what protects it
    account     a form, a signed cookie, a password in every request
    tour        what may stand in a path, and the way back from a name to a path
    api         an interface for programs of other sites
    uploads     forms with files, and files that are taken while they come
    answers     a download, a stream, a redirect
    live        server-sent events
    chat        WebSockets
    templates/  the pages (Jinja2)
    pages/      the files served as they are, under `/static/` and `/files/`
"""
