"""The commands that take more than a screenful, and what all commands have in common.

Used by cli, which has the others. Beside it these modules are the only ones that print.
"""
