"""Build the front end anew and compare it with what is committed.

    python web/check_build.py            needs Node, and node_modules from `npm ci`
    python web/check_build.py --install  runs `npm ci` first

Ends with 0 if they are the same, 1 if not, 2 if the build cannot run.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).resolve().parent
COMMITTED = WEB.parent / "src" / "dosegrad" / "web" / "static"


def say(text: str) -> None:
    """Tell the user."""
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """0 if the committed build is what the source makes."""
    npm = shutil.which("npm")
    if npm is None:
        say("Node is not installed")
        return 2
    if "--install" in sys.argv:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=WEB, check=True)
    if not (WEB / "node_modules").is_dir():
        say("there is no node_modules; run this with --install")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        for command in (["tsc", "--noEmit"], ["vite", "build", "--outDir", folder]):
            program = WEB / "node_modules" / ".bin" / command[0]
            ended = subprocess.run([str(program), *command[1:]], cwd=WEB, check=False)
            if ended.returncode:
                return 2
        fresh = sorted(p.name for p in Path(folder).iterdir())
        kept = sorted(p.name for p in COMMITTED.iterdir())
        differ = set(fresh) ^ set(kept)
        differ |= {
            n
            for n in fresh
            if n in kept and not filecmp.cmp(Path(folder) / n, COMMITTED / n, shallow=False)
        }
    if differ:
        say(f"not what is committed: {', '.join(sorted(differ))}; run 'npm run build' in web")
        return 1
    say("the committed build is what the source makes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
