"""The stand-in's side of Aspera: the node that the stand-in ``ascp`` (``cdbfs.demo.ascp``) connects to.

``node`` serves it, ``faults`` scripts what goes wrong, ``holds`` stops transfers where a test wants to look at
them, ``connect`` lays out a directory like Aspera Connect's. Used by ``transfers``.
"""
