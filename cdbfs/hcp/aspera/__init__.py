"""Packages by Aspera: IBM's ascp, found, started with a spec of the server's, watched, and understood.

`transport` is what others use. `places` finds ascp and its key, `arguments` writes its command line, `port` and
`frames` listen to what it tells of itself, `progress` keeps that, `codes` and `ending` say what its end means.
"""
