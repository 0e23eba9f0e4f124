"""Every rule that a form can break, and how much of everything is accepted.

Two programs that read one form differently are how a filter in front of an application is passed by. So
whatever breaks the grammar is refused, with a sentence that names the rule; a form beyond a limit is
refused, never cut off. No sentence repeats what the client sent.
"""

from __future__ import annotations

from typing import NamedTuple

from ...messages import HTTPError

#: Fields and files of one form, those of nested parts too; 413 beyond it.
MAX_PARTS = 1000
#: Bytes of all text fields of a form together; 413 beyond it.
MAX_FIELD_BYTES = 1024 * 1024
#: Bytes of a file that are kept in memory; a larger one goes to the disk.
SPOOL_BYTES = 1024 * 1024
#: Bytes of all files of a form together that are; beyond it, small ones go to the disk too.
MEMORY_BYTES = 8 * 1024 * 1024
#: Files of one form on the disk, each with a descriptor; 413 beyond it.
MAX_SPOOLS = 64
#: Bytes of all headers of one part together, with their line ends; 413 beyond it.
PART_HEADER_BYTES = 8 * 1024
#: Bytes of all headers of a form together, which cost much more than as many bytes of content; 413 beyond it.
FORM_HEADER_BYTES = 128 * 1024


class Rule(NamedTuple):
    """A rule, where it is written, and the status for breaking it."""

    status: int
    section: str
    sentence: str


# Framing
BOUNDARY = Rule(400, "RFC 2046 §5.1.1", "a multipart type is well-formed and names one boundary of 1 to 70 characters")
DELIMITER = Rule(400, "RFC 2046 §5.1.1", "a boundary is followed by the end of its line, or by two hyphens and that")
INCOMPLETE = Rule(400, "RFC 2046 §5.1.1", "a multipart body ends with its last boundary")

# The headers of a part
LINE_END = Rule(400, "RFC 2046 §5.1", "a header of a part ends with CRLF, and neither CR nor LF stands alone")
BOUNDARY_IN_HEADER = Rule(400, "RFC 2046 §5.1.1", "no line of a part begins with the boundary")
FIELD_LINE = Rule(400, "RFC 5322 §2.2", "a header of a part is a name, a colon and a value")
FIELD_FOLD = Rule(400, "RFC 5322 §2.2.3", "the first header of a part does not begin with a blank")
FIELD_VALUE = Rule(400, "RFC 5322 §2.2", "a header of a part has no control characters")
FIELD_SINGLE = Rule(400, "RFC 7578 §4.2", "a part has no second Content-Disposition or Content-Type")
ENCODING = Rule(400, "RFC 7578 §5.1", "the headers of a part are in UTF-8")
DISPOSITION = Rule(400, "RFC 7578 §4.2", "a part has the Content-Disposition form-data, with a name")
PARAMETERS = Rule(400, "RFC 2183 §2", "a Content-Disposition has few, well-formed parameters, and none twice")

# Limits
HEADER_LONG = Rule(413, "RFC 9110 §15.5.14", "the headers of a part are too large")
HEADERS_LARGE = Rule(413, "RFC 9110 §15.5.14", "the headers of all parts of a form are too large together")
PARTS_MANY = Rule(413, "RFC 9110 §15.5.14", "the form has too many fields or files")
FIELDS_LARGE = Rule(413, "RFC 9110 §15.5.14", "the form's fields are too large")
FILES_MANY = Rule(413, "RFC 9110 §15.5.14", "the form has too many large files")


class FormError(HTTPError):
    """The form breaks a rule; it is not read any further.

    Attributes:
        rule: the rule.
        offset: bytes of the multipart body before the place where the rule was broken; 0 if there is no such place.
            In a nested body it counts from its own beginning.
    """

    def __init__(self, rule: Rule, offset: int = 0) -> None:
        super().__init__(rule.status, f"{rule.sentence[0].upper()}{rule.sentence[1:]} ({rule.section}).")
        self.rule = rule
        self.offset = offset
