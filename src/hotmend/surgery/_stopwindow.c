/*
 * The stop window: from the first interrupt to the last detach, in C.
 *
 * publish() stops every thread of a process, checks that none stands in the way, writes, and lets
 * go. Between the first PTRACE_INTERRUPT and the last PTRACE_DETACH there is no allocation and no
 * Python: a garbage collection or a page fault of the interpreter would be paid by the target.
 * Everything is sized and touched before; a process that outgrows what was sized is let go.
 *
 * The stack check here is conservative: any word on a thread's live stack that lies in an affected
 * range counts as a hit. No hit proves that no thread returns there. Hits are handed back; who
 * called decides, with an unwinder, whether they are frames or stale words.
 */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 32768
#define STACK_CHUNK (64 * 1024)
#define STACK_MOST (8 * 1024 * 1024)
#define WRITE_MOST 8
#define DEADLINE_SIGNAL (SIGRTMIN + 7)

enum ending { PUBLISHED, BLOCKED_PC, HIT, BYTES_DIFFER, GONE, BUDGET, NOT_PERMITTED, FAILED, CROWDED };

struct range { uint64_t start, end; };

struct write {
    uint64_t address;
    uint64_t changed_start, changed_end;
    size_t size;
    unsigned char before[WRITE_MOST], after[WRITE_MOST];
};

struct thread {
    pid_t tid;
    int stopped;      /* we have seen its stop and must detach it */
    int interrupted;
    int deliver;      /* signal to hand over when it is let go */
};

struct window {
    pid_t pid;
    int memory;       /* /proc/PID/mem */
    int task;         /* /proc/PID/task */
    struct range *affected;
    size_t affected_count;
    struct write *writes;
    size_t write_count;
    int64_t budget_ns;
    struct thread *threads;
    size_t count, room;
    unsigned char *stack;
    /* answers */
    int64_t first_stop, last_detach;
    pid_t tid;
    uint64_t pc, word, slot;
    int error;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_deadline(int number) { (void)number; }

static int in_ranges(const struct range *ranges, size_t count, uint64_t value)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (value < ranges[middle].start) high = middle;
        else if (value >= ranges[middle].end) low = middle + 1;
        else return 1;
    }
    return 0;
}

/* A thread that ended, or is a zombie, is nobody's obstacle. */
static int is_dead(pid_t pid, pid_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 1;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 1;
    text[size] = 0;
    char *end = strrchr(text, ')');
    return end == NULL || end[2] == 'Z' || end[2] == 'X';
}

/* Seize the threads that are not seized yet. Returns how many were new, -1 with w->error set. */
static int seize_new(struct window *w)
{
    char buffer[32768];
    int found = 0;
    if (lseek(w->task, 0, SEEK_SET) < 0) { w->error = errno; return -1; }
    for (;;) {
        long size = syscall(SYS_getdents64, w->task, buffer, sizeof buffer);
        if (size < 0) { w->error = errno == ENOENT ? ESRCH : errno; return -1; }
        if (size == 0) return found;
        for (long at = 0; at < size;) {
            struct { uint64_t ino; int64_t off; unsigned short len; unsigned char type; } head;
            memcpy(&head, buffer + at, sizeof head);
            const char *name = buffer + at + 19;
            at += head.len;
            if (name[0] < '0' || name[0] > '9') continue;
            pid_t tid = (pid_t)strtol(name, NULL, 10);
            size_t known = 0;
            /* tasks are listed in a stable order, so the newest are last: search from the end */
            for (size_t i = w->count; i > 0 && !known; i--) known = w->threads[i - 1].tid == tid;
            if (known) continue;
            if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
                int error = errno;
                if (error == ESRCH || is_dead(w->pid, tid)) continue;
                w->error = error;
                w->tid = tid;
                return -1;
            }
            if (w->count == w->room) {
                ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
                w->threads[w->room] = (struct thread){.tid = tid, .interrupted = 1};
                w->count = w->room + 1;
                w->error = EAGAIN;
                return -1;
            }
            w->threads[w->count++] = (struct thread){.tid = tid};
            found++;
        }
    }
}

static void interrupt_new(struct window *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->threads[i].interrupted) {
            ptrace(PTRACE_INTERRUPT, w->threads[i].tid, NULL, NULL);
            w->threads[i].interrupted = 1;
        }
}

static void forget(struct window *w, size_t i) { w->threads[i] = w->threads[--w->count]; }

/* 0: every thread is stopped. Otherwise the ending. */
static int await_stops(struct window *w, int64_t deadline)
{
    for (size_t i = 0; i < w->count;) {
        struct thread *t = &w->threads[i];
        if (t->stopped) { i++; continue; }
        int status;
        pid_t got = waitpid(t->tid, &status, __WALL);
        if (got < 0 && errno == EINTR) {
            if (now_ns() < deadline) continue;
            w->tid = t->tid;
            return BUDGET;
        }
        if (got < 0 || !WIFSTOPPED(status)) { forget(w, i); continue; }
        t->stopped = 1;
        if (status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP) t->deliver = WSTOPSIG(status);
        i++;
    }
    return 0;
}

/* Let every thread go. One that has not stopped yet is waited for first: a tracee can be detached
 * only in a stop, and to leave it with an interrupt pending would stop it without us. */
static void release(struct window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct thread *t = &w->threads[i];
        if (t->stopped) ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)t->deliver);
    }
    w->last_detach = now_ns();
    for (size_t i = 0; i < w->count; i++) {
        struct thread *t = &w->threads[i];
        if (t->stopped) continue;
        int status;
        pid_t got;
        if (!t->interrupted) ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
        do got = waitpid(t->tid, &status, __WALL); while (got < 0 && errno == EINTR);
        if (got == t->tid && WIFSTOPPED(status)) {
            int deliver = status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
            ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)deliver);
        }
        w->last_detach = now_ns();
    }
}

static int check_stack(struct window *w, pid_t tid, uint64_t from)
{
    uint64_t at = from & ~7ULL;
    uint64_t low = w->affected[0].start, high = w->affected[w->affected_count - 1].end;
    for (size_t done = 0; done < STACK_MOST;) {
        struct iovec here = {w->stack, STACK_CHUNK}, there = {(void *)at, STACK_CHUNK};
        ssize_t size = process_vm_readv(tid, &here, 1, &there, 1, 0);
        if (size < 8) {
            /* The chunk may straddle the end of the stack's mapping: read up to the page's end. */
            there.iov_len = here.iov_len = 4096 - (at & 4095);
            size = process_vm_readv(tid, &here, 1, &there, 1, 0);
            if (size < 8) return 0;
        }
        const uint64_t *words = (const uint64_t *)w->stack;
        for (ssize_t i = 0; i < size / 8; i++)
            if (words[i] >= low && words[i] < high &&
                in_ranges(w->affected, w->affected_count, words[i])) {
                w->tid = tid;
                w->word = words[i];
                w->slot = at + (uint64_t)i * 8;
                return HIT;
            }
        at += (uint64_t)size & ~7ULL;
        done += (size_t)size;
        if (size < STACK_CHUNK && (at & 4095)) return 0;
    }
    return 0;
}

static int check_threads(struct window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct user_regs_struct regs;
        if (ptrace(PTRACE_GETREGS, w->threads[i].tid, NULL, &regs) < 0) {
            if (errno == ESRCH) { w->threads[i].stopped = 0; continue; }
            w->error = errno;
            return FAILED;
        }
        w->pc = regs.rip;
        for (size_t k = 0; k < w->write_count; k++)
            if (regs.rip > w->writes[k].changed_start && regs.rip < w->writes[k].changed_end) {
                w->tid = w->threads[i].tid;
                return BLOCKED_PC;
            }
        if (!w->affected_count) continue;
        if (in_ranges(w->affected, w->affected_count, regs.rip)) {
            w->tid = w->threads[i].tid;
            return BLOCKED_PC;
        }
        int ending = check_stack(w, w->threads[i].tid, regs.rsp);
        if (ending) return ending;
    }
    return 0;
}

static int write_all(struct window *w)
{
    unsigned char seen[WRITE_MOST];
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        if (pread(w->memory, seen, x->size, (off_t)x->address) != (ssize_t)x->size) {
            w->error = errno;
            return FAILED;
        }
        if (memcmp(seen, x->before, x->size)) { w->slot = x->address; return BYTES_DIFFER; }
    }
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        if (pwrite(w->memory, x->after, x->size, (off_t)x->address) == (ssize_t)x->size) continue;
        w->error = errno;
        while (k-- > 0) {
            ssize_t undone = pwrite(w->memory, w->writes[k].before, w->writes[k].size,
                                    (off_t)w->writes[k].address);
            (void)undone;
        }
        return FAILED;
    }
    return PUBLISHED;
}

static int run(struct window *w)
{
    if (seize_new(w) < 0)
        return w->error == ESRCH ? GONE : w->error == EAGAIN ? CROWDED
             : w->error == EPERM ? NOT_PERMITTED : FAILED;
    if (w->count == 0) return GONE;
    w->first_stop = now_ns();
    int64_t deadline = w->first_stop + w->budget_ns;
    int new_threads;
    do {
        interrupt_new(w);
        int ending = await_stops(w, deadline);
        if (ending) return ending;
        new_threads = seize_new(w);
        if (new_threads < 0)
            return w->error == ESRCH ? GONE : w->error == EAGAIN ? CROWDED : FAILED;
    } while (new_threads > 0);
    if (w->count == 0) return GONE;
    int ending = check_threads(w);
    if (ending) return ending;
    if (now_ns() > deadline) { w->tid = 0; return BUDGET; }
    return write_all(w);
}

static int run_with_deadline(struct window *w)
{
    struct sigaction action = {.sa_handler = on_deadline}, before;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = DEADLINE_SIGNAL};
    timer_t timer;
    sigset_t only, mask;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigaction(DEADLINE_SIGNAL, &action, &before);
    sigemptyset(&only);
    sigaddset(&only, DEADLINE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &only, &mask);
    int timed = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
    if (timed) {
        /* Repeats, so that a wait that begins just after a tick ends with the next. */
        struct itimerspec when = {
            .it_value = {w->budget_ns / 1000000000, w->budget_ns % 1000000000},
            .it_interval = {0, 2000000},
        };
        timer_settime(timer, 0, &when, NULL);
    }
    int ending = run(w);
    release(w);
    if (timed) timer_delete(timer);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(DEADLINE_SIGNAL, &before, NULL);
    return ending;
}

static int parse_writes(struct window *w, PyObject *list)
{
    w->write_count = (size_t)PyList_GET_SIZE(list);
    w->writes = calloc(w->write_count + 1, sizeof *w->writes);
    if (!w->writes) { PyErr_NoMemory(); return -1; }
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        const char *before, *after;
        Py_ssize_t before_size, after_size;
        unsigned long long address, changed_start, changed_end;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)k), "KKKy#y#", &address,
                              &changed_start, &changed_end, &before, &before_size, &after,
                              &after_size))
            return -1;
        if (before_size != after_size || before_size < 1 || before_size > WRITE_MOST) {
            PyErr_SetString(PyExc_ValueError, "a write has 1 to 8 bytes");
            return -1;
        }
        x->address = address;
        x->changed_start = changed_start;
        x->changed_end = changed_end;
        x->size = (size_t)before_size;
        memcpy(x->before, before, x->size);
        memcpy(x->after, after, x->size);
    }
    return 0;
}

static int parse_affected(struct window *w, PyObject *list)
{
    w->affected_count = (size_t)PyList_GET_SIZE(list);
    w->affected = calloc(w->affected_count + 1, sizeof *w->affected);
    if (!w->affected) { PyErr_NoMemory(); return -1; }
    for (size_t k = 0; k < w->affected_count; k++) {
        unsigned long long start, end;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)k), "KK", &start, &end)) return -1;
        if (start >= end || (k && start < w->affected[k - 1].end)) {
            PyErr_SetString(PyExc_ValueError, "affected ranges ascend and do not overlap");
            return -1;
        }
        w->affected[k] = (struct range){start, end};
    }
    return 0;
}

static PyObject *publish(PyObject *self, PyObject *args)
{
    (void)self;
    struct window w = {.memory = -1, .task = -1};
    PyObject *writes, *affected;
    long long budget_ns;
    unsigned long long threads;
    if (!PyArg_ParseTuple(args, "iiO!O!LK", &w.pid, &w.memory, &PyList_Type, &writes, &PyList_Type,
                          &affected, &budget_ns, &threads))
        return NULL;
    w.budget_ns = budget_ns;
    w.room = threads * 2 + 256;
    if (w.room > MAX_THREADS) w.room = MAX_THREADS;
    char path[64];
    int ending = FAILED;
    PyObject *answer = NULL;
    snprintf(path, sizeof path, "/proc/%d/task", w.pid);
    if (parse_writes(&w, writes) < 0 || parse_affected(&w, affected) < 0) goto out;
    w.threads = malloc((w.room + 1) * sizeof *w.threads);
    w.stack = aligned_alloc(4096, STACK_CHUNK);
    if (!w.threads || !w.stack) { PyErr_NoMemory(); goto out; }
    memset(w.threads, 0, (w.room + 1) * sizeof *w.threads); /* touched before, not inside */
    memset(w.stack, 0, STACK_CHUNK);
    w.task = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Py_BEGIN_ALLOW_THREADS
    if (w.task < 0) ending = GONE;
    else ending = run_with_deadline(&w);
    Py_END_ALLOW_THREADS
    answer = Py_BuildValue("iLniKKKi", ending,
                           (long long)(w.first_stop ? w.last_detach - w.first_stop : 0),
                           (Py_ssize_t)w.count, (int)w.tid, (unsigned long long)w.pc,
                           (unsigned long long)w.word, (unsigned long long)w.slot, w.error);
out:
    if (w.task >= 0) close(w.task);
    free(w.threads);
    free(w.stack);
    free(w.writes);
    free(w.affected);
    return answer;
}

static PyMethodDef methods[] = {
    {"publish", publish, METH_VARARGS,
     "publish(pid, memory_fd, writes, affected, budget_ns, threads) -> (ending, pause_ns, threads, "
     "tid, pc, word, slot, errno)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_stopwindow",
                                    "One stop of a process, without Python in between.", -1,
                                    methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__stopwindow(void) { return PyModule_Create(&module); }
