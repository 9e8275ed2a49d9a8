"""The one kind of error that a user can cause."""

from __future__ import annotations


class InputError(Exception):
    """Something given by the user cannot be used.

    The message is one line that names the thing and the remedy; the command line prints it
    without a traceback and exits with status 2.
    """
