"""The command line of ascp, and its environment, where the token is: arguments can be read by everybody.

Used by transport. The transfer spec was checked before (hcp/spec). ascp runs in the directory it fills, so that it
does not matter how that is named.

Threads: plain functions.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence

from cdbfs import __version__
from cdbfs.hcp.aspera.places import Tools
from cdbfs.hcp.child import environment
from cdbfs.hcp.spec import TransferSpec

TOKEN, COOKIE, PASSPHRASE = "ASPERA_SCP_TOKEN", "ASPERA_SCP_COOKIE", "ASPERA_SCP_PASS"
SECRETS = (TOKEN, COOKIE, "ASPERA_SCP_FILEPASS")
"""Variables of ascp's that may be of another transfer."""
PASSPHRASE_OF_ALL = "743128bf-3bf3-45b5-ab14-4602c67f2950"  # noqa: S105
"""Of the key that new releases come with: published, the same for everybody, and no secret."""
RESUME = "2"
"""Compare attributes and a sparse checksum; said from the first attempt on, or there is nothing to resume by."""
LONGEST_LOGIN = 200


def arguments(tools: Tools, spec: TransferSpec, files: Sequence[str], port: int) -> tuple[str, ...]:
    """ascp's, for these files of the spec, into the directory it runs in; `port` is of our listener."""
    options = ["-p", "-i", str(tools.key), "-k", RESUME]
    for option, value in (("-l", spec.target_rate_kbps), ("-m", spec.min_rate_kbps)):
        if value is not None:
            options += [option, f"{value}K"]
    options += ["-O", str(spec.fasp_port), "-P", str(spec.ssh_port)]
    if spec.policy is not None:
        options += [f"--policy={spec.policy}"]
    if spec.fingerprint is not None:
        options += [f"--check-sshfp={spec.fingerprint}"]
    options += ["-M", str(port), f"--host={spec.host}", f"--user={spec.user}", "--mode=recv"]
    return (str(tools.ascp), *options, *(spec.sources[file] for file in files), ".")


def environ(ours: Mapping[str, str], tools: Tools, spec: TransferSpec, login: str) -> dict[str, str]:
    """ascp's environment: ours, without our secrets, with those that are for it."""
    theirs = {name: value for name, value in environment(ours).items() if name not in SECRETS}
    theirs[TOKEN] = spec.token
    theirs[COOKIE] = cookie(login)
    if PASSPHRASE not in theirs and tools.key_is_encrypted:
        theirs[PASSPHRASE] = PASSPHRASE_OF_ALL
    return theirs


def cookie(login: str) -> str:
    """Who transfers, by what the server's statistics are kept (facts: 1.1)."""
    name = re.sub(r"[^\w.@+-]", "_", login[:LONGEST_LOGIN], flags=re.ASCII)
    return (
        f"XDATUser={name};User-Agent=cdbfs {__version__} "
        f"{platform.python_implementation()} {platform.python_version()}"
    )
