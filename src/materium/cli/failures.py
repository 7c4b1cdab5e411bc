"""One line for each thing a user can get wrong: what came, what is needed, what to do."""

from __future__ import annotations

import errno
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typer.exceptions import TyperException

ADVICE = {
    errno.ENOSPC: "no space left on the disk; free some, or name another folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or name another folder",
    errno.EFBIG: "the file may not grow further; raise the limit (ulimit -f), or ask for less",
    errno.EROFS: "the file system is read-only; name another folder",
    errno.EACCES: "permission denied; name a file or folder that you may use",
    errno.EPERM: "operation not permitted; name a file or folder that you may use",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.EEXIST: "something with this name is there already; name another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
"""What the file system can refuse and a user can mend; any other failure is a bug and shows its traceback."""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a hint that names the words closest to `word`, or all of them where none is close."""
    known = list(words)
    close = get_close_matches(word, known)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"


def explain_os_error(error: OSError) -> str | None:
    """Return what the file system refused, with the file's name first, or None if that is no mistake of the user's."""
    advice = ADVICE.get(error.errno or 0)
    if advice is None:
        return None
    return f"{error.filename}: {advice}" if error.filename else advice


def explain_usage_error(error: TyperException) -> str:
    """Return the mistake in a command line, with the options that come near, and where the valid ones are listed."""
    message = error.format_message().strip().rstrip(".") + _what_came(error)
    possible = getattr(error, "possibilities", None)
    if possible:
        message = f"{error.message}; {nearest(getattr(error, 'option_name', ''), possible)}"
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return message[:1].lower() + message[1:] + hint


def _what_came(error: TyperException) -> str:
    """Name the value that was refused; typer's message about a number leaves it out, its cause has it."""
    details = getattr(error.__cause__, "errors", None)
    return f", got {details()[0]['input']!r}" if details else ""
