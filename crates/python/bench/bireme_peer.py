"""Bireme through Python, in the workloads and JSON lines that its peers are measured by.

    python bench/bireme_peer.py --only throughput,tree --repeats 5 --out lines.jsonl

Each line has the median, least and greatest of the repeats. Daemons are those that `BIREME_BIN` names.
"""

from __future__ import annotations

import peer_actors  # noqa: F401 - it adds its workloads.
import peer_data  # noqa: F401 - the same.
import peer_tasks  # noqa: F401 - the same.
from lines import main

if __name__ == "__main__":
    main(__doc__)
