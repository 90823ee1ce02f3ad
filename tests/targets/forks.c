/* Forks all the time; every child calls answer() and ends. "wrong" says how many children died or
 * saw neither 1 nor 2. */
#include <pthread.h>
#include <sys/wait.h>
#define NO_COMMAND
#include "target.h"

static volatile long wrong, children;

static void *parent(void *nothing)
{
    (void)nothing;
    for (;; children++) {
        int status;
        pid_t child = fork();
        if (child == 0) _exit(answer(1));
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) < 1 ||
            WEXITSTATUS(status) > 2)
            wrong++;
    }
}
static void command(const char *word) { say(word[0] == 'w' ? wrong : children); }
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, parent, NULL);
    serve();
}
