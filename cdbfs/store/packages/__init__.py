"""Packages on disk: which are here, how they arrive, and the space that they take.

Under the cache directory all mounts of a user share `packages/`, on one host or, through NFS, on several:

    locks/space, slot.N                  kernel locks: who counts the space, who may transfer
    locks/began                          when the last transfer began
    <scope>/                             what one login may have of one server
        objects/<subject>,<id>/package.zip  whole: its md5 was right
                          package.md5    the file beside it
                          state.json     its size, time and md5, also after the zip was evicted
                          index, ...     its members: see store/zips
        arriving/zip/, arriving/md5/     what transfers write; whatever a killed one left is gone on with
        locks/<file>                     who transfers it: held by the process, and by the program it started
        active/<file>.json               how far it is; locked for as long as the process lives
        active/<file>.failed, .cancel    why the last one failed; somebody wants it to end
"""
