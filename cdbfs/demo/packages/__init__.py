"""The packages of the stand-in: what is offered, the zips themselves, and the tokens that open them.

``offers`` is what a data set says of them; ``layout``, ``contents`` and ``zips`` make their files when these are
asked for, ``vault`` keeps those on disk; ``desk`` answers the service's questions. Used by ``standin``, the routes
and ``aspera``. Importing ``offers``, ``layout`` and ``hcp`` is cheap.
"""
