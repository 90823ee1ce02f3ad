def publish(
    pid: int,
    memory: int,
    writes: list[tuple[int, int, int, bytes, bytes]],
    affected: bytes,
    stacks: bytes,
    tables: bytes,
    budget_ns: int,
    threads: int,
    /,
) -> tuple[int, int, int, int, int, tuple[int, ...], int]: ...
def call(
    who: tuple[int, int],
    tids: bytes,
    filtered: bool,
    patience_ns: int,
    site: int,
    home: int,
    stacks: bytes,
    number: int,
    arguments: tuple[int, int, int, int, int, int],
    /,
) -> tuple[int, int, int]: ...
