"""Times as a person says them."""


def duration(seconds: float) -> str:
    """`0.42 s`, `8 min 20 s`, `3 h 20 min`.

    >>> duration(500)
    '8 min 20 s'
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
