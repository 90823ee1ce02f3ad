"""The .hotpatch file: one versioned, deterministic format, one writer, one reader."""
