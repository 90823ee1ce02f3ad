/* A coroutine that sleeps inside hold_deep() on a stack of its own, which no thread's stack leads to,
 * while the thread serves. "resume" lets it go on to its end: 500 for 500 frames, each returned. */
#include <stdlib.h>
#include <ucontext.h>
#define NO_COMMAND
#include "target.h"

static ucontext_t main_context, other_context;
static long result;

/* Called back by the library's code: from inside a replaced function, back to the thread. */
int pause_inside(int depth)
{
    swapcontext(&other_context, &main_context);
    return depth;
}
static void body(void) { result = call_back(pause_inside, 7); }

static void command(const char *word)
{
    if (strcmp(word, "resume\n") == 0) swapcontext(&main_context, &other_context);
    say(result);
}

int main(void)
{
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = malloc(1 << 20);
    other_context.uc_stack.ss_size = 1 << 20;
    other_context.uc_link = &main_context;
    makecontext(&other_context, body, 0);
    swapcontext(&main_context, &other_context);
    serve();
}
