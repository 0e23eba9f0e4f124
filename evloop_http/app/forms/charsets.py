"""Text out of bytes, by the name of a charset that a client wrote.

The names are a fixed table. A name of the client's never reaches `codecs.lookup`: that would import a module
by it, and would keep every name it does not know for as long as the process lives. The table has the charsets of the
Encoding Standard as far as Python knows them, UTF-16 and UTF-32, and the old code pages of DOS and Windows; every
name is one that Python has for the charset (`encodings.aliases`). What is not a charset but a codec of Python's
(`hex`, `idna`, `punycode` ...) is not in it, nor are UTF-7 and EBCDIC, in which markup does not look like markup.
"""

from __future__ import annotations

import re
from encodings.aliases import aliases

from ...messages import HTTPError

_NAMES = """
    ascii big5 big5hkscs cp437 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866
    cp869 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 euc_jis_2004
    euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hz iso2022_jp iso2022_jp_2 iso2022_kr iso8859_2 iso8859_3 iso8859_4
    iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16
    johab koi8_r koi8_u latin_1 mac_cyrillic mac_roman shift_jis shift_jis_2004 tis_620 utf_8 utf_8_sig utf_16
    utf_16_be utf_16_le utf_32 utf_32_be utf_32_le"""
_CODECS = frozenset(_NAMES.split())
_NO_LETTER_OR_DIGIT = re.compile(r"[^a-z0-9]+")
#: Characters; no name of a charset is longer.
_LONGEST = 40


def _plain(name: str) -> str:
    """Return `name` without differences of case and punctuation."""
    return _NO_LETTER_OR_DIGIT.sub("_", name.lower()).strip("_")


_TABLE = {_plain(alias): name for alias, name in [*aliases.items(), *zip(_CODECS, _CODECS, strict=True)]
          if name in _CODECS}


def find_codec(charset: str) -> str | None:
    """Return Python's name of a charset; None if it is unknown. Case and punctuation do not matter."""
    return _TABLE.get(_plain(charset)) if len(charset) <= _LONGEST else None


def decode(data: bytes, charset: str) -> str:
    """Return `data` as text.

    Raises:
        HTTPError: 415 for an unknown charset, 400 if the data does not fit it.
    """
    codec = "utf_8" if charset == "utf-8" else find_codec(charset)
    if codec is None:
        raise HTTPError(415, "The charset of the body is unknown.")
    try:
        return data.decode(codec)
    except ValueError:
        raise HTTPError(400, "The body does not fit its charset.") from None
