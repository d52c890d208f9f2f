"""The systems under test, each a program with one contract: see `contract`."""
