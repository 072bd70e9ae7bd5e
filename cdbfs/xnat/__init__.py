"""The server: session, listings and documents as frozen dataclasses.

Knows no paths of the mount and keeps no answers.
"""
