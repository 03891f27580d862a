"""The one error of this package that is the user's to mend."""


class InputError(ValueError):
    """Data or flags are wrong; the message is one line with the value, what was expected, the fix.

    Entry points print it without a traceback and exit with code 2.
    """
