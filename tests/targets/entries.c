/* entries N: N threads that do nothing but enter answer() and call_back(), and look at what comes
 * back: the old build's result or the fixed one's. "wrong" says how often it was neither, "entered"
 * how often they did so. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#define NO_COMMAND
#include "target.h"

static atomic_long wrong, entered;

static int back(int depth) { return depth + 1; }
static void *enter(void *nothing)
{
    (void)nothing;
    for (;;) {
        int one = answer(21), two = call_back(back, 4);
        if ((one != 21 && one != 42) || (two != 105 && two != 205)) wrong++;
        entered++;
        for (volatile int i = 0; i < 100; i++) continue;
    }
}
static void command(const char *word) { say(word[0] == 'w' ? wrong : entered); }

int main(int count, char **words)
{
    (void)count;
    pthread_t thread;
    for (int i = atoi(words[1]); i > 0; i--) pthread_create(&thread, NULL, enter, NULL);
    serve();
}
