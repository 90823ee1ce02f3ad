/* A main stack of about 6 MB of frames that no hotpatch replaces, and then read(2). */
#include "target.h"
__attribute__((noinline)) static int down(int depth)
{
    volatile char room[64];
    room[0] = (char)depth;
    if (depth > 0) return down(depth - 1) + room[0];
    serve();
    return room[0];
}
int main(void) { return down(45000); }
