"""How many connections a process may have: each is an open file."""

import resource


def allow_many() -> int:
    """Raise the limit to what the system lets this user have (`ulimit -Hn`); returns it.

    The lower limit that most systems begin with, often 1,024, is there for programs that use select(); we do not.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now != most:
        # macOS says "unlimited", and then refuses it.
        wanted = most if most != resource.RLIM_INFINITY else max(now, 65_536)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except (ValueError, OSError):
            return now
        return wanted
    return now
