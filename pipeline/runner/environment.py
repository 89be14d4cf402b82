"""What a run ran on: versions and machine, for the record."""

import os
import platform
from typing import Any

from exporters.core.versions import installed_packages


def describe_environment() -> dict[str, Any]:
    """Versions of Python and of the packages that matter, system and processors; imports none of them."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": installed_packages(),
    }
