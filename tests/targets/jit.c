/* Code made at run time, in anonymous executable memory without any unwind table, calls answer()
 * all the time. "sum" says whether every result was 1 or 2. */
#include <pthread.h>
#include <sys/mman.h>
#define NO_COMMAND
#include "target.h"

static volatile long calls, wrong;

static void *run(void *code)
{
    int (*made)(int) = (int (*)(int))code;
    for (;;) {
        int result = made(1);
        if (result != 1 && result != 2) wrong++;
        calls++;
    }
}
static void command(const char *word) { (void)word; say(calls > 0 ? wrong : -1); }

int main(void)
{
    /* push rbx; mov rax, answer; call rax; pop rbx; ret */
    unsigned char code[] = {0x53, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0, 0x5b, 0xc3};
    int (*target)(int) = answer;
    pthread_t thread;
    memcpy(code + 3, &target, 8);
    char *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(place, code, sizeof code);
    mprotect(place, 4096, PROT_READ | PROT_EXEC);
    pthread_create(&thread, NULL, run, place);
    serve();
}
