/* inside plain|deep|handler|altstack|stale: a thread inside a replaced function until "free".
 *   plain: in hold();  deep: below 500 frames of hold_deep()
 *   handler, altstack: in a signal handler that interrupted hold()
 *   stale: left hold_deep() long ago, but its return addresses are still on the thread's stack */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#define NO_COMMAND
#include "target.h"

static int gate[2], second[2], ready[2];
static const char *how;

static void handler(int number) { char b; (void)number; if (write(ready[1], "x", 1) < 0 || read(second[0], &b, 1) < 0) _exit(1); }

__attribute__((noinline)) static void sit(void)
{
    volatile char room[1024 * 64]; /* covers what hold_deep left, and does not touch it */
    char byte;
    room[0] = 0;
    if (write(ready[1], "x", 1) < 0 || read(second[0], &byte, 1) < 0) _exit(1);
    room[1] = room[0];
}

static void *inside(void *nothing)
{
    (void)nothing;
    switch (how[0]) {
    case 'd': hold_deep(gate[0], 500); break;
    case 's': hold_deep(gate[0], 500); sit(); break;
    default: hold(gate[0]);
    }
    return NULL;
}

static void command(const char *word)
{
    (void)word;
    if (write(gate[1], "xx", 2) < 0 || write(second[1], "x", 1) < 0) _exit(1);
    usleep(20000);
    say(0);
}

int main(int count, char **words)
{
    pthread_t thread;
    char byte;
    (void)count;
    how = words[1];
    if (pipe(gate) || pipe(second) || pipe(ready)) return 1;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | (how[0] == 'a' ? SA_ONSTACK : 0)};
    sigaction(SIGUSR1, &action, NULL);
    if (how[0] == 'a' || how[0] == 'h') {
        /* The main thread is the one inside, for SIGUSR1 to find; another one serves. */
        stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
        pthread_create(&thread, NULL, (void *(*)(void *))serve, NULL);
        if (how[0] == 'a') sigaltstack(&stack, NULL);
        inside(NULL);
        pause();
        return 0;
    }
    pthread_create(&thread, NULL, inside, NULL);
    if (how[0] == 's') {
        if (write(gate[1], "x", 1) < 0 || read(ready[0], &byte, 1) < 0) return 1;
    }
    serve();
}
