"""`python -m scldm`, also under `accelerate launch -m scldm`."""

import sys

from scldm.cli import main

sys.exit(main())
