"""`python -m trevsnn` is the command line."""

import sys

from trevsnn.cli import main

sys.exit(main())
