"""What one image may cost. A file beyond any of these is rejected with a reason, never retried."""

from typing import Final

MIB: Final = 1024 * 1024

MAX_FILE_BYTES: Final = 256 * MIB
"""Largest file read. The largest uncompressed radiographs (4,300 x 4,300, 16 bit) have 37 MB."""

MAX_PIXELS: Final = 64 * MIB
"""Most pixels decoded: 8,192 x 8,192, four times the finest detector for chests."""

MAX_SIDE_PX: Final = 20_000
"""Longest side decoded; a line longer than this is no radiograph."""

MAX_FRAMES: Final = 1
"""A radiograph has one frame or page; counts are checked before any is decoded."""

MIN_SIDE_PX: Final = 200
"""Shortest side assessed; thumbnails and test images have fewer pixels, and no findings to see."""

MAX_EXPANSION: Final = 1_000
"""Most bytes decoded for one byte of file. Films compress by less than 100; only bombs exceed it.
Applied to images beyond `EXPANSION_FREE_BYTES`: small blank ones compress without limit."""

EXPANSION_FREE_BYTES: Final = 16 * MIB
"""Decoded sizes up to this are harmless, whatever the ratio."""

DECODE_CPU_SECONDS: Final = 20
"""Processor time to read one image; the slowest measured (JPEG 2000, 3,000 x 3,000) takes 1.5."""

DECODE_WALL_SECONDS: Final = 60
"""Elapsed time to read one image, for a decoder that waits instead of computing."""

DECODE_MEMORY_BYTES: Final = 1536 * MIB
"""Address space that reading one image may add; the largest admitted image needs about 700 MiB."""
