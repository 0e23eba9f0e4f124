"""An interface for programs, those in pages of other sites among them.

It is an application of its own, with what an interface needs around it and nothing of what a page needs. Errors
need no handler: who asks for JSON is given problem details (RFC 9457) by the library itself.

Nothing is stored. Every number has a note, and what is put there is answered as if it were kept.
"""

from __future__ import annotations

import json
from typing import Any

from evloop_http import App, HTTPError, Request, Response
from evloop_http.app import responses
from evloop_http.app.forms import FORMS
from evloop_http.app.middleware import body_limit, cors, etag, method_override

#: Bytes: a note is short.
LARGEST_BODY = 64 * 1024


def make_api() -> App:
    """The interface."""
    api = App()
    api.middleware(cors("*", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], headers=["Content-Type"],
                        expose=["ETag"]))
    api.middleware(body_limit(LARGEST_BODY))
    api.middleware(method_override(api, header="X-HTTP-Method-Override"))
    api.middleware(etag())
    add_notes(api)

    @api.post("/create")
    def create(request: Request) -> Response:
        made = json.dumps({"created": sent_object(request)})
        return Response(made, status=201, content_type="application/json")
    return api


def add_notes(api: App) -> None:
    """One address, several methods, and several forms of what is there."""

    @api.get("/notes/{id:int}")
    def note(request: Request, id: int) -> Response:
        kind = request.prefers("application/json", "text/html", "text/plain")
        if kind is None:
            raise HTTPError(406, "A note comes as JSON, as HTML or as plain text.")
        answer = note_as(kind, note_of(id))
        responses.vary(answer, "Accept")
        return answer

    @api.put("/notes/{id:int}")
    def replace(request: Request, id: int) -> dict[str, Any]:
        return {**sent_object(request), "id": id}

    @api.patch("/notes/{id:int}")
    def change(request: Request, id: int) -> dict[str, Any]:
        return {**note_of(id), **sent_object(request), "id": id}

    @api.delete("/notes/{id:int}")
    def remove(request: Request, id: int) -> None:
        return None


def note_of(id: int) -> dict[str, Any]:
    """The note that has a number."""
    return {"id": id, "text": f"This is note {id}."}


def note_as(kind: str, note: dict[str, Any]) -> Response:
    """A note in the form of a media type."""
    if kind == "text/html":
        return responses.html(f"<!doctype html>\n<title>Note {note['id']}</title>\n<p>{note['text']}</p>\n")
    if kind == "text/plain":
        return responses.text(f"{note['text']}\n")
    return responses.json(note)


def sent_object(request: Request) -> dict[str, Any]:
    """The fields of a form or of a JSON object, whichever was sent.

    Raises:
        HTTPError: 400 for JSON that is broken or no object, 415 for a body of another type.
    """
    if request.media_type in FORMS:
        return dict(request.form)
    sent = request.json()
    if not isinstance(sent, dict):
        raise HTTPError(400, "Send a JSON object, such as {\"name\": \"Ada\"}.")
    return sent
