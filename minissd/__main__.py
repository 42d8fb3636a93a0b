"""`python -m minissd`: the command line."""

import sys

from minissd.cli import main

sys.exit(main())
