"""`python -m analysis`: tables and figures from result folders."""

import sys

from analysis.command_line import main

if __name__ == "__main__":
    sys.exit(main())
