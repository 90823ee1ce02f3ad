"""The signed repository of releases, after The Update Framework (TUF): both ends of it."""
