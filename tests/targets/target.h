/*
 * What the target programs share: a main loop that answers questions on stdin, one line each, with
 * nothing but read and write, so that it runs under a strict seccomp filter, too.
 *
 *   answer   what answer(1) returns now: 1 in the old build, 2 in the fixed one
 *   other words go to the program's own command()
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int answer(int one);
int other(int one);
long hold(int fd);
long hold_deep(int fd, int depth);
int call_back(int (*back)(int), int depth);

static void say(long value)
{
    char text[32];
    int at = sizeof text;
    unsigned long rest = value < 0 ? -(unsigned long)value : (unsigned long)value;
    text[--at] = '\n';
    do text[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0) text[--at] = '-';
    if (write(1, text + at, sizeof text - (size_t)at) < 0) _exit(1);
}

#ifndef NO_COMMAND
static void command(const char *word) { (void)word; say(-1); }
#else
static void command(const char *word);
#endif

static void serve(void)
{
    char line[64];
    say(getpid());
    for (;;) {
        ssize_t size = read(0, line, sizeof line - 1);
        if (size <= 0) _exit(size < 0);
        line[size] = 0;
        if (strcmp(line, "answer\n") == 0) say(answer(1));
        else command(line);
    }
}

#endif
