/* mortal exit|exec N: after "go" a second thread ends the process, or turns it into sleep(1), N microseconds
 * later. */
#include <pthread.h>
#include <stdlib.h>
#define NO_COMMAND
#include "target.h"

static char **words;
static void *end(void *nothing)
{
    (void)nothing;
    usleep((useconds_t)atoi(words[2]));
    if (words[1][2] == 'e') execlp("sleep", "sleep", "60", (char *)NULL);
    _exit(0);
}
static void command(const char *word)
{
    pthread_t thread;
    (void)word;
    say(0);
    pthread_create(&thread, NULL, end, NULL);
}
int main(int count, char **arguments) { (void)count; words = arguments; serve(); }
