/* Calls any function of a library that it opens: "NAME" here, "thread NAME" in a thread of its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#define NO_COMMAND
#include "target.h"

static void *library;

static void *call(void *name)
{
    int (*function)(const char *) = (int (*)(const char *))(intptr_t)dlsym(library, name);
    return (void *)(intptr_t)(function ? function("three") : -1);
}

static void command(const char *word)
{
    char name[64];
    void *result;
    pthread_t thread;
    if (sscanf(word, "thread %63s", name) == 1) {
        pthread_create(&thread, NULL, call, name);
        pthread_join(thread, &result);
    } else {
        sscanf(word, "%63s", name);
        result = call(name);
    }
    say((intptr_t)result);
}

int main(int count, char **words)
{
    (void)count;
    library = dlopen(words[1], RTLD_LAZY);
    say(getpid());
    for (char line[64]; library && fgets(line, sizeof line, stdin);) command(line);
}
