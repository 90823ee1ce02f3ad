/* No room within 2 GiB of the library: what is free there is reserved, without using memory. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "target.h"

#define REACH (3L << 30)
#define FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE)

int main(void)
{
    uintptr_t near = (uintptr_t)answer & ~0xfffUL;
    for (size_t size = 1UL << 30; size >= 1UL << 20; size /= 2)
        for (uintptr_t at = (near - REACH) & ~(size - 1); at < near + REACH; at += size)
            mmap((void *)at, size, PROT_NONE, FLAGS, -1, 0);
    serve();
}
