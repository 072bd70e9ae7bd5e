"""What each route answers: one module a kind of resource, each handler a plain function of one call.

Used by ``app``. A module's ``ROUTES`` names its templates; ``routes`` puts together those of a dialect.
Nothing is kept; any thread.
"""

from __future__ import annotations

from cdbfs.demo.dialect import Dialect
from cdbfs.demo.routes import documents, files, listings, packages, schemas, search, sessions, site, tokens, xapi
from cdbfs.demo.routes.call import Routes


def routes(dialect: Dialect) -> Routes:
    """Route template -> method -> handler, of one dialect."""
    return {
        **site.ROUTES,
        **sessions.ROUTES,
        **tokens.ROUTES,
        **listings.ROUTES,
        **documents.ROUTES,
        **files.ROUTES,
        **search.ROUTES,
        **packages.ROUTES,
        **(xapi.ROUTES if dialect.xapi else {}),
        **(schemas.SERVICE_ROUTES if dialect.xapi else schemas.STATIC_ROUTES),
    }
