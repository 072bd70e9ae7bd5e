"""python -m cdbfs"""

from cdbfs.cli import main

if __name__ == "__main__":
    main()
