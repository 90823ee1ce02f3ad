/* threads N idle|spin|call: N threads that sleep, spin in their own code, or call answer() all the time. */
#include <pthread.h>
#include <stdlib.h>
#include "target.h"

static void *idle(void *nothing) { (void)nothing; for (;;) pause(); }
static void *spin(void *nothing) { (void)nothing; for (volatile long i = 0;;) i++; }
static void *call(void *nothing)
{
    (void)nothing;
    for (volatile long sum = 0;;) {
        sum += answer(1);
        for (volatile int i = 0; i < 2000; i++) continue;
    }
}

int main(int count, char **words)
{
    (void)count;
    pthread_t thread;
    for (int i = atoi(words[1]); i > 0; i--)
        pthread_create(&thread, NULL, words[2][0] == 'i' ? idle : words[2][0] == 's' ? spin : call, NULL);
    serve();
}
