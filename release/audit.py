"""Known vulnerabilities of what the lock installs, as pip-audit is told of them by PyPI or OSV: needs the internet.

    python -m release.audit                   the packages of requirements.lock
    python -m release.audit --service osv     asks osv.dev in place of pypi.org

pip-audit is fetched by uv for the call. Exit codes: 0 nothing is known of any package; 3 something is; 4 no advisories
could be had, for want of a network or because the service does not know the packages: then nothing has been audited.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from release.checking import ROOT, Failed, Missing, ended, find_program, tell

SERVICES = ("pypi", "osv")
LOCK = ROOT / "requirements.lock"
TIMEOUT = 15
"""Seconds for one answer."""


def audit(lock: Path, service: str) -> dict[str, Any]:
    """What pip-audit reports of the packages of a lock.

    Raises:
        Missing: pip-audit could not be had, or the service did not answer.
    """
    words = ["tool", "run", "--quiet", "pip-audit", "--requirement", lock, "--no-deps", "--disable-pip"]
    words += ["--vulnerability-service", service, "--progress-spinner", "off", "--format", "json", "--timeout", TIMEOUT]
    command = [str(word) for word in (find_program("uv"), *words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"pip-audit ended with {done.returncode}"]
        raise Missing(f"no advisories could be had from {service}, so nothing has been audited: {last[0]}") from None
    return found


def judge(report: dict[str, Any]) -> str:
    """One line about a report without findings.

    Raises:
        Failed: something is known of a package; each in a line.
        Missing: the service knew none of the packages.
    """
    audited = [each for each in report["dependencies"] if "skip_reason" not in each]
    lines = [
        f"{each['name']} {each['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'no version'}"
        for each in audited
        for known in each["vulns"]
    ]
    if lines:
        raise Failed("\n".join(lines))
    skipped = len(report["dependencies"]) - len(audited)
    if not audited:
        known = f"the service knew none of {skipped} packages, so nothing has been audited"
        raise Missing(f"{known}: is it a mirror without advisories?")
    return f"{len(audited)} packages, nothing is known of any" + (f"; {skipped} were not known" if skipped else "")


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m release.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0])
    arguments = parser.parse_args()
    return ended(lambda: tell(f"audit: {judge(audit(LOCK, arguments.service))}"))


if __name__ == "__main__":
    sys.exit(main())
