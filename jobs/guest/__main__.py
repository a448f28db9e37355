"""Entry of `python3 -m guest` and of guest.pyz."""

import sys

from .verbs import main

sys.exit(main(sys.argv[1:]))
