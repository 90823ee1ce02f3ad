/*
 * crowd N idle|saturated|spinning: N threads that sleep, that keep two cores just busy, or that
 * never stop; and one that watches the clock. "answer" is what answer(1) returns; "gap" the longest
 * time, in nanoseconds, for which the watcher was kept from running since it was last asked.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
static void command(const char *word);
#define NO_COMMAND
#include "target.h"

#define TICK_NS 50000
#define WORK_NS 100000
#define CORES 2

static atomic_llong longest;
static int threads;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *watch(void *nothing)
{
    (void)nothing;
    for (int64_t last = now();;) {
        nanosleep(&(struct timespec){0, TICK_NS}, NULL);
        int64_t this = now();
        if (this - last - TICK_NS > longest) longest = this - last - TICK_NS;
        last = this;
    }
}

static void *idle(void *nothing) { (void)nothing; for (;;) pause(); }
static void *spin(void *nothing) { (void)nothing; for (volatile long i = 0;;) i++; }
static void *work(void *nothing)
{
    (void)nothing;
    int64_t period = (int64_t)WORK_NS * threads / CORES;
    for (;;) {
        for (int64_t until = now() + WORK_NS; now() < until;) answer(1);
        if (period > WORK_NS) nanosleep(&(struct timespec){0, period - WORK_NS}, NULL);
    }
}

static void command(const char *word)
{
    if (strcmp(word, "gap\n") == 0) say(atomic_exchange(&longest, 0));
    else say(-1);
}

int main(int count, char **words)
{
    if (count != 3) return 2;
    pthread_t thread;
    threads = atoi(words[1]);
    void *(*body)(void *) = words[2][0] == 'i' ? idle : words[2][1] == 'a' ? work : spin;
    pthread_create(&thread, NULL, watch, NULL);
    for (int i = 1; i < threads; i++) pthread_create(&thread, NULL, body, NULL);
    serve();
}
