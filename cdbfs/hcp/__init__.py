"""The package service of ConnectomeDB, and the ways in which packages arrive: Aspera, a directory, a command."""
