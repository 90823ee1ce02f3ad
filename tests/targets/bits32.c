/* A 32-bit program without a C library: pauses for ever. */
void _start(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(4), "b"(1), "c"("0\n"), "d"(2) : "memory");
    for (;;) __asm__ volatile("int $0x80" : "=a"(result) : "0"(29));
}
