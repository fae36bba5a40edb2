"""Who is asking: passwords, access tokens and their keys, opaque tokens, signed cursors, revocations.

Nothing here knows a database or a web framework: each file is given what it needs and answers with plain values.
"""
