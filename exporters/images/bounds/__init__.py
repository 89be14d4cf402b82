"""What decoding a file may cost, read from its structure before any of it is decoded.

The number of pixels bounds the cost of honest files alone. A file of a hundred kilobytes can ask for work without end
in other ways: scans, chunks, tiles, comments, frames that are never shown. Each module counts them for one format, in
time proportional to the limit, and refuses what no camera or program writes.
"""
