/* Opens the library late, closes it, and opens it again at another address. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <sys/mman.h>
#define NO_COMMAND
#include "target.h"

static const char *path;
static void *library;

static void open_it(void) { library = dlopen(path, RTLD_NOW); }

static void close_it(void)
{
    Dl_info info;
    dladdr(dlsym(library, "answer"), &info);
    dlclose(library);
    /* What is in its place keeps the loader from going there again. */
    mmap(info.dli_fbase, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void command(const char *word)
{
    if (strcmp(word, "open\n") == 0) open_it();
    else if (strcmp(word, "close\n") == 0) close_it();
    else if (strcmp(word, "call\n") == 0) {
        int (*late)(int) = (int (*)(int))(intptr_t)dlsym(library, "answer");
        say(late(1));
        return;
    }
    say(0);
}

int main(int count, char **words)
{
    (void)count;
    path = words[1];
    say(getpid());
    for (char line[64]; fgets(line, sizeof line, stdin);) command(line);
}
