"""The members of a zip that lies, whole and verified, on this disk.

Used by store/ above and by tree/. `central` reads a zip's directory, `index` keeps what it says, `members` opens a
member: stored ones are read where they lie, deflated ones are inflated once into a file of their own (`inflated`).
A member that is odd in any way is refused alone, with a reason (`refusals`); the rest is read as ever.
"""
