"""Texts of bounded length."""

from __future__ import annotations

#: Longest message of an error, in bytes; as in `limits::ERROR_MESSAGE_BYTES`.
MESSAGE_BYTES = 4 << 10
#: Longest traceback of an error, in bytes; as in `limits::ERROR_TRACEBACK_BYTES`.
TRACEBACK_BYTES = 16 << 10


def shorten(text: str, limit: int) -> str:
    """A text of at most `limit` bytes in UTF-8: of a longer one its head and its tail, and a note between them."""
    if len(text) * 4 <= limit:
        return _sound(text)
    total = len(text)
    # No more characters than bytes fit, so that a huge text is not encoded whole.
    half = limit // 2
    if total <= limit:
        encoded = _sound(text).encode()
        if len(encoded) <= limit:
            return encoded.decode()
    note = f"\n[... {total:,} characters in all, cut ...]\n"
    room = max(limit - len(note.encode()), 0)
    head = _sound(text[:half]).encode()[: room // 2].decode(errors="ignore")
    tail = _sound(text[-half:]).encode()[-(room // 2) :].decode(errors="ignore") if room > 1 else ""
    return head + note + tail


def _sound(text: str) -> str:
    """The text without the lone surrogates that UTF-8 cannot have."""
    return text.encode(errors="backslashreplace").decode() if not text.isascii() else text
