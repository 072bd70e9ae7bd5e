"""Which way packages come: by Aspera, unless the settings say from a directory or by a command.

Used by runtime. Threads: a plain function.
"""

from __future__ import annotations

from cdbfs.config import Settings
from cdbfs.hcp.aspera.transport import AsperaTransport
from cdbfs.hcp.command import CommandTransport
from cdbfs.hcp.directory import DirectoryTransport
from cdbfs.hcp.service import PackageService
from cdbfs.hcp.transport import Transport


def chosen(settings: Settings, service: PackageService, user: str) -> Transport:
    """The Transport that the settings ask for. Raises ConfigError."""
    if settings.packages_dir is not None:
        return DirectoryTransport(settings.packages_dir, settings.transfer_stall)
    if settings.packages_command.strip():
        return CommandTransport(settings.packages_command, settings.transfer_stall)
    return AsperaTransport(service, user, settings.aspera_hosts, settings.transfer_stall)
