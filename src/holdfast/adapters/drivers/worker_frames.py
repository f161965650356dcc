"""Frames between the agent and its workers: JSON behind a 4-byte length.

Standard library only, without asyncio: what a worker imports counts in the agent's memory.
"""

import json
import struct
from typing import Any

HEAD = struct.Struct("!I")
LONGEST = 16 << 20


def pack(message: Any) -> bytes:
    body = json.dumps(message).encode()
    return HEAD.pack(len(body)) + body


def unpack(body: bytes | bytearray) -> Any:
    return json.loads(body)
