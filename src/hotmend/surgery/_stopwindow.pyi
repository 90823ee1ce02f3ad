def publish(
    pid: int,
    memory: int,
    writes: list[tuple[int, int, int, bytes, bytes]],
    affected: list[tuple[int, int]],
    budget_ns: int,
    threads: int,
    /,
) -> tuple[int, int, int, int, int, int, int, int]: ...
