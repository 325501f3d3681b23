"""Many seeds on all cores: `python -m tests.simulation --seeds 10000`, or one again: `--seed 4711`.

Prints one JSON line with what was run, and before it the seed and the finding of each run that failed; its
exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from tests.simulation.many import be_quiet, run_many
from tests.simulation.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    be_quiet()
    if options.seed is not None:
        print(json.dumps(asdict(run(options.seed))))
        return 0
    return run_many(range(options.first, options.first + options.seeds), options.jobs)


if __name__ == "__main__":
    sys.exit(main())
