/* The library that is patched. -DFIXED gives the fixed build. Every function stands alone. */
#ifdef FIXED
#define RESULT 2
#else
#define RESULT 1
#endif

/* Two runs on one machine must not take each other's targets for their own. */
__attribute__((used)) static const char session[] = SESSION;

int answer(int one) { return one * RESULT; }

int other(int one) { return one * RESULT + 10; }

static inline long raw_read(int fd, char *to)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(0L), "D"((long)fd), "S"(to), "d"(1L)
                     : "rcx", "r11", "memory");
    return result;
}

/* Sits in the function itself until a byte comes. */
long hold(int fd)
{
    char byte = 0;
    return raw_read(fd, &byte) == 1 ? RESULT : -1;
}

/* Sits at the bottom of `depth` frames of itself. */
long hold_deep(int fd, int depth)
{
    char byte = 0;
    if (depth > 0) return hold_deep(fd, depth - 1) + (depth == 1 ? RESULT : 0);
    return raw_read(fd, &byte) == 1 ? 0 : -1000;
}

/* Calls its caller back, and is still there when that returns, throws, jumps or sleeps. Begins with
 * pushes, and has filler in front. */
__attribute__((aligned(64))) int call_back(int (*back)(int), int depth)
{
    int result = back(depth);
    return result + RESULT * 100;
}
