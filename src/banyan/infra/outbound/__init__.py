"""Requests to addresses that people give us, kept from being turned at our own network (SSRF).

addresses.py   which network addresses may be reached
target.py      what may be typed as a URL
resolve.py     names to addresses, in threads of their own
receivers.py   one receiver that does not answer does not hold up the others
post.py        the POST itself, to the very address that was checked
"""
