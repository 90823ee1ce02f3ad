/* Counts queued signals and adds up what they carry; a second thread checks that its vector
 * registers keep their values; a third raises SIGTRAP for itself. "count", "sum", "broken", "traps". */
#include <pthread.h>
#include <signal.h>
#define NO_COMMAND
#include "target.h"

static volatile long count, sum, broken, traps, raised;

static void queued(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    __atomic_add_fetch(&sum, info->si_value.sival_int, __ATOMIC_SEQ_CST); /* any thread may be chosen */
    __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); /* last: who has seen all counted may add up */
}
static void trapped(int number) { (void)number; traps++; }

static void *vectors(void *nothing)
{
    double values[4] = {1.5, -2.25, 3.125, 1e300};
    (void)nothing;
    for (;;) {
        double after[4];
        __asm__ volatile(
            "movupd (%0), %%xmm4\n movupd 16(%0), %%xmm11\n"
            "mov $200000, %%ecx\n 1: dec %%ecx\n jnz 1b\n"
            "movupd %%xmm4, (%1)\n movupd %%xmm11, 16(%1)\n"
            : : "r"(values), "r"(after) : "rcx", "xmm4", "xmm11", "memory");
        if (memcmp(values, after, sizeof values)) broken++;
    }
}
static void *traps_itself(void *nothing)
{
    (void)nothing;
    for (;;) {
        raised++;
        raise(SIGTRAP);
        usleep(200);
    }
}
static void command(const char *word)
{
    if (word[0] == 't') { usleep(5000); say(raised - traps > 1 || raised == 0); }
    else say(word[0] == 'c' ? count : word[0] == 's' ? sum : broken);
}
int main(void)
{
    struct sigaction action = {.sa_sigaction = queued, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction trap = {.sa_handler = trapped, .sa_flags = SA_RESTART};
    pthread_t thread;
    sigaction(SIGRTMIN + 3, &action, NULL);
    sigaction(SIGTRAP, &trap, NULL);
    pthread_create(&thread, NULL, vectors, NULL);
    pthread_create(&thread, NULL, traps_itself, NULL);
    serve();
}
