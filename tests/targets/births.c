/* Threads are born and end all the time; each calls answer(). "born" says how many so far. */
#include <pthread.h>
#define NO_COMMAND
#include "target.h"

static volatile long born;

static void *brief(void *nothing) { (void)nothing; answer(1); return NULL; }
static void *parent(void *nothing)
{
    (void)nothing;
    for (;;) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, brief, NULL);
        for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
        born += 8;
    }
}
static void command(const char *word) { (void)word; say(born); }

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, parent, NULL);
    serve();
}
