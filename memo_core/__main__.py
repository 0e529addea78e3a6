"""`python -m memo_core`: one experiment without Ray."""

import sys

from memo_core.commands import main

sys.exit(main())
