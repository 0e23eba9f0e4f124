"""How a body becomes fields and files: `application/x-www-form-urlencoded` and `multipart/form-data`.

The first is read by the standard library's `parse_qsl`, the second by a decoder of our own. It knows `messages` and no
other room; nothing has to be installed.

*Fields are small, files may be large.* The text fields of a form together have a bound. A file stays in memory
or goes to the disk, by its size.

*A client's file name is a wish*: `safe_filename`.

In reading order: `rules` (every rule that a form can break, and the limits), `decoder` (bytes in, parts out),
`charsets` and `parameters` (what a header of a part says), `filenames`, `uploads` (a file), `parts` (parts as fields
and files), `parsing` (a body as a form).
"""

from .charsets import decode
from .decoder import CLOSED, END_OF_PART, NEED_DATA, MultipartDecoder, PartHead
from .filenames import safe_filename
from .parameters import parameter
from .parsing import FORMS, MULTIPART, URLENCODED, Form, parse, parse_stream
from .rules import (
    MAX_FIELD_BYTES,
    MAX_PARTS,
    MAX_SPOOLS,
    MEMORY_BYTES,
    PART_HEADER_BYTES,
    SPOOL_BYTES,
    FormError,
    Rule,
)
from .uploads import Spool, Upload

__all__ = ["CLOSED", "END_OF_PART", "FORMS", "MAX_FIELD_BYTES", "MAX_PARTS", "MAX_SPOOLS", "MEMORY_BYTES", "MULTIPART",
           "NEED_DATA", "PART_HEADER_BYTES", "SPOOL_BYTES", "URLENCODED", "Form", "FormError", "MultipartDecoder",
           "PartHead", "Rule", "Spool", "Upload", "decode", "parameter", "parse", "parse_stream", "safe_filename"]
