"""Fuzz readers for some minutes each: `make fuzz MINUTES=10`, or `python -m fuzzing --minutes 1 npz hdf5` in tests/.

It ends with 1 when anything was found, ever: remove the folder to begin anew.
"""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from fuzzing.campaign import Campaign, table
from fuzzing.readers import READERS


def main() -> int:
    parser = argparse.ArgumentParser("python -m fuzzing", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"by default all: {', '.join(READERS)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader (default: 10)")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="what is kept (default: .fuzz)")
    given = parser.parse_args()
    unknown = [name for name in given.readers if name not in READERS]
    if unknown:
        parser.error(f"no reader is called {unknown[0]!r}; choose from {', '.join(READERS)}")
    states = []
    with suppress(KeyboardInterrupt):
        for name in given.readers or READERS:
            print(f"{name} ...", flush=True)
            state = Campaign(READERS[name], given.folder).run(60 * given.minutes)
            states.append((READERS[name], state))
            print(f"{name}: {state.executions:,} inputs, {len(state.faults)} findings", flush=True)
    print(table(states))
    return int(any(state.faults for _, state in states))


if __name__ == "__main__":
    sys.exit(main())
