"""`python -m tests.mutation PART`: see the package."""

import sys

from tests.mutation import main

sys.exit(main())
