/* A leaf function that keeps its sums below the stack pointer, where only interrupts of the kernel
 * are kept out. "broken" says how often a sum was not as it had left it. */
#include <pthread.h>
#define NO_COMMAND
#include "target.h"

static volatile long broken, rounds;

static long leaf(long seed)
{
    long wrong;
    __asm__ volatile(
        "mov %1, -8(%%rsp)\n mov %1, -64(%%rsp)\n mov %1, -128(%%rsp)\n"
        "mov $2000, %%ecx\n"
        "1: dec %%ecx\n jnz 1b\n"
        "xor %0, %0\n"
        "cmp %1, -8(%%rsp)\n setne %b0\n"
        "cmp %1, -64(%%rsp)\n je 2f\n inc %0\n"
        "2: cmp %1, -128(%%rsp)\n je 3f\n inc %0\n 3:"
        : "=&a"(wrong) : "r"(seed) : "ecx", "memory", "cc");
    return wrong;
}
static void *work(void *nothing)
{
    (void)nothing;
    for (long i = 1;; i++) { broken += leaf(i); rounds++; }
}
static void command(const char *word) { (void)word; say(rounds > 0 ? broken : -1); }

int main(void)
{
    pthread_t thread;
    for (int i = 0; i < 2; i++) pthread_create(&thread, NULL, work, NULL);
    serve();
}
