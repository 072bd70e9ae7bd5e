"""XNAT's search engine in small: display fields, search documents, criteria, result tables, saved searches.

The layers, from the bottom: ``fields`` (what a display field is) and ``standard`` (XNAT's own, as data);
``displays`` (those of a world's types); ``values`` (a field's value of an item); ``query`` (the search
document), ``criteria`` (which rows), ``engine`` (which columns, in which order), ``results`` (encodings);
``bundles`` (search documents as text), ``fieldlists`` (what ``search/elements`` answers), ``shelf`` (saved
and cached searches). Used by ``routes.search``.
"""
