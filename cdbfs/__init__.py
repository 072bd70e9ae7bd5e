"""Mount ConnectomeDB, or any other XNAT server, as a directory."""

__version__ = "0.1.0"
