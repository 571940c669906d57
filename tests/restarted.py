"""What an engine that has just started says, in a few bytes; a script for another process."""

import hashlib
import sys
from pathlib import Path

from compared import alone
from mixed_requests import plain_request
from recorder import Recorder


def digest(artifact: Path) -> str:
    """Of every logit, token and logprob of two requests."""
    recorder = Recorder(artifact)
    requests = [plain_request("a", [*range(5, 40)], 20), plain_request("b", [7], 9)]
    found = [alone(recorder, request) for request in requests]
    recorder.close()
    rows = [one.rows[position] for one in found for position in sorted(one.rows)]
    parts = [b"%d %b %b" % (row.token_id, row.logprobs, row.logits.tobytes()) for row in rows]
    return hashlib.sha256(b"".join(parts)).hexdigest()


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])))
