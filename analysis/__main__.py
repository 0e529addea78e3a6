"""`python -m analysis`: from result folders to tables, figures and reports."""

import sys

from analysis.commands import main

sys.exit(main())
