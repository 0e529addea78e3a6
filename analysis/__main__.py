"""`python -m analysis`: tables and figures from result folders."""

import sys

from analysis.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
