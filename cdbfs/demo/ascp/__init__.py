"""The stand-in ``ascp``: a program with the command line, the output and the management port of Aspera's.

It talks to nothing but the stand-in server (``cdbfs.demo.aspera``). Run by the script that ``aspera.connect``
writes; it is to start fast, so it imports little: no dataclasses, no typing at run time.
"""
