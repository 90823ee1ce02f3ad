/* longjmp out of a replaced function, over its frame, a million times a second: "jumps" says how many. */
#include <pthread.h>
#include <setjmp.h>
#define NO_COMMAND
#include "target.h"

static volatile long jumps;
static __thread jmp_buf home;

static int leave(int depth) { longjmp(home, depth); }
static void *jump(void *nothing)
{
    (void)nothing;
    for (;;) {
        if (setjmp(home) == 0) call_back(leave, 1);
        jumps++;
    }
}
static void command(const char *word) { (void)word; say(jumps); }

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, jump, NULL);
    serve();
}
