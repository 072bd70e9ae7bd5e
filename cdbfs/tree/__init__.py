"""What the server looks like as files: nodes, names, sizes, times.

Knows no FUSE, and is usable without a mount.
"""
