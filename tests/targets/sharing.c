/* Another process runs in the same memory: a thread's vfork child, or one made with CLONE_VM only.
 * "child" says its pid, "free" ends it. The first thread answers all the while. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#define NO_COMMAND
#include "target.h"

static int gate[2];
static volatile pid_t child;
static char stack[65536];

static int wait_and_end(void *nothing)
{
    char byte;
    (void)nothing;
    child = getpid();
    _exit(read(gate[0], &byte, 1) != 1);
}

static void *spawn(void *nothing)
{
    if (vfork() == 0) wait_and_end(nothing);
    return nothing;
}

static void command(const char *word)
{
    if (strcmp(word, "child\n") == 0) say(child);
    else {
        pid_t ended = child;
        if (write(gate[1], "x", 1) != 1) _exit(1);
        waitpid(ended, NULL, 0);
        say(0);
    }
}

int main(int count, char **words)
{
    pthread_t thread;
    if (count < 2 || pipe(gate) < 0) return 1;
    if (words[1][0] == 'v') pthread_create(&thread, NULL, spawn, NULL);
    else clone(wait_and_end, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    while (!child) sched_yield();
    serve();
}
