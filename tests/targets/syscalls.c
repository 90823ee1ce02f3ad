/* One thread in each of several system calls. "wake" lets all return and says how many of them
 * returned what they should: 6. A call that was restarted wrongly would not. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#define NO_COMMAND
#include "target.h"

static int pipes[4][2];
static int futex_word;
static volatile int right, finished;

static void end(int is_right)
{
    __atomic_add_fetch(&right, is_right, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}
static void *in_read(void *n) { char b; (void)n; end(read(pipes[0][0], &b, 1) == 1); return NULL; }
static void *in_poll(void *n)
{
    struct pollfd p = {pipes[1][0], POLLIN, 0};
    (void)n;
    end(poll(&p, 1, 60000) == 1 && p.revents == POLLIN);
    return NULL;
}
static void *in_epoll(void *n)
{
    struct epoll_event e = {.events = EPOLLIN}, got;
    int set = epoll_create1(0), result;
    (void)n;
    epoll_ctl(set, EPOLL_CTL_ADD, pipes[2][0], &e);
    /* epoll_wait is one of the calls that report an interruption whatever caused it (signal(7)) */
    do result = epoll_wait(set, &got, 1, 60000); while (result < 0 && errno == EINTR);
    end(result == 1);
    return NULL;
}
static void *in_select(void *n)
{
    fd_set set;
    struct timespec limit = {60, 0};
    (void)n;
    FD_ZERO(&set);
    FD_SET(pipes[3][0], &set);
    end(pselect(pipes[3][0] + 1, &set, NULL, NULL, &limit, NULL) == 1);
    return NULL;
}
static void *in_futex(void *n)
{
    (void)n;
    end(syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0) == 0);
    return NULL;
}
static void *in_sleep(void *n)
{
    struct timespec from, to, nap = {1, 500000000};
    (void)n;
    clock_gettime(CLOCK_MONOTONIC, &from);
    int result = nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    end(result == 0 && (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 1490);
    return NULL;
}
static void command(const char *word)
{
    (void)word;
    for (int i = 0; i < 4; i++) if (write(pipes[i][1], "x", 1) < 0) _exit(1);
    while (finished < 6) {
        futex_word = 1;
        syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
        usleep(1000);
    }
    say(right);
}
int main(void)
{
    void *(*calls[])(void *) = {in_read, in_poll, in_epoll, in_select, in_futex, in_sleep};
    pthread_t thread;
    for (int i = 0; i < 4; i++) if (pipe(pipes[i])) return 1;
    for (int i = 0; i < 6; i++) pthread_create(&thread, NULL, calls[i], NULL);
    serve();
}
