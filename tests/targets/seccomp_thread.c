/* The first thread may only read, write and exit; the second may do anything. */
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include "target.h"

static void *rest(void *nothing)
{
    for (;;) pause();
    return nothing;
}

int main(void)
{
    pthread_t thread;
    answer(1);
    pthread_create(&thread, NULL, rest, NULL);
    long pid = getpid();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 1;
    say(pid);
    for (char line[64]; read(0, line, sizeof line) > 0;) say(answer(1));
    __asm__ volatile("syscall" : : "a"(60L), "D"(0L));
}
