"""Kernel <-> tree: the binding to libfuse, the operations, mounting and unmounting, signals."""
