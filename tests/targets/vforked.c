/* The only thread waits in the kernel for its vfork child, which ends when its stdin says "free". */
#include "target.h"
int main(void)
{
    for (;;) {
        long parent = getpid();
        if (vfork() == 0) {
            char line[64];
            say(parent);
            if (read(0, line, sizeof line) < 0) _exit(1);
            _exit(0);
        }
        serve();
    }
}
