"""The Swarm test: the stack as it is shipped, on the engine of this machine, from nothing.

    make swarm-test                       everything
    python3 tests/swarm/run.py killed …   only these, after the stack is up
    python3 tests/swarm/run.py --list

Images: SLOTWAY_IMAGE, REDIS_IMAGE, PROMETHEUS_IMAGE; without them, those that `make swarm-test`
builds. Needs root. Removes whatever it made, however it ends.
"""

import signal
import subprocess
import sys
import time
import traceback

import floating
import healing
import operating
from engine import STACK, Swarm, say

FIRST = [healing.forms, healing.deploys_twice]
CASES = [
    healing.killed, healing.paused, healing.cut, healing.rescheduled, healing.all_at_once,
    healing.all_restart_under_load, healing.gateway_update, operating.bench, operating.monitoring,
    operating.strangers, operating.rotation, operating.scaling, operating.backup, operating.compose,
    floating.address_moves,
]


def show_trouble():
    """What the parts of the stack said last, for whoever reads why it failed."""
    for service in ("keeper", "gateway"):
        subprocess.run(["docker", "service", "logs", "--raw", "--tail", "5",
                        f"{STACK}_{service}"], stderr=subprocess.STDOUT, check=False)
    subprocess.run(["docker", "stack", "ps", STACK], check=False)


def main():
    names = sys.argv[1:]
    if names == ["--list"]:
        for case in CASES:
            print(f"{case.__name__:24} {case.__doc__}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    failed = []
    with Swarm() as swarm:
        for case in FIRST + [case for case in CASES if not names or case.__name__ in names]:
            print(f"== {case.__name__}: {case.__doc__}", flush=True)
            at = time.monotonic()
            try:
                case(swarm)
            except Exception:  # the next case is worth a look all the same
                traceback.print_exc()
                show_trouble()
                failed.append(case.__name__)
                if case is healing.forms:
                    break
            say(f"({time.monotonic() - at:.0f} s)")
    print(f"== {'FAILED: ' + ', '.join(failed) if failed else 'all well'}, "
          f"{time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
