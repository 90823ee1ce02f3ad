/*
 * The stop window: from the first interrupt to the last detach.
 *
 * window() stops every thread of a process, checks that none stands in the way, writes, and lets
 * go. Between the first PTRACE_INTERRUPT and the last PTRACE_DETACH there is no allocation and no
 * Python: a garbage collection or a page fault of the interpreter would be paid by the target.
 * Everything is sized and touched before; a process that outgrows what was sized is let go.
 *
 * All of it runs in a helper process; _tracer.h says why.
 *
 * The stack check is in two steps. Any word on a live stack that could be a return address into an
 * affected range is a hit; no hit proves that nobody returns there. Where there is one, the thread
 * is unwound: what no frame returns to is a stale word. Beyond the point where no table tells how
 * to go on, the scan's answer stands.
 */
#ifndef HOTMEND_WINDOW_H
#define HOTMEND_WINDOW_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "_tracer.h"
#include "_unwind.h"

#define MAX_THREADS 32768
#define STACK_CHUNK (64 * 1024)
#define STACK_MOST (64ULL << 20)
#define STACKS_MOST 8
#define FRAMES_MOST 100000
#define FRAMES_KEPT 48
#define WRITE_MOST 8
/* The segment selectors that the kernel saves in every 64-bit signal frame (cs 0x33, ss 0x2b); the
 * stack pointer of what was interrupted lies 24 bytes before. */
#define SIGNAL_FRAME_SELECTORS 0x002b000000000033ULL
#define SELECTORS_TO_RSP 24

enum ending { PUBLISHED, IN_THE_WAY, BYTES_DIFFER, GONE, BUDGET, NOT_PERMITTED, FAILED, CROWDED };

struct range {
    uint64_t start, end;
};

struct write {
    uint64_t address;
    struct range changed;
    size_t size;
    unsigned char before[WRITE_MOST], after[WRITE_MOST];
};

struct window {
    pid_t pid;
    int memory, task; /* /proc/PID/mem, /proc/PID/task */
    struct range *affected, *stacks;
    size_t affected_count, stack_count;
    struct table *tables;
    size_t table_count;
    struct write *writes;
    size_t write_count;
    struct range outline; /* lowest and highest address that any check looks for */
    int64_t budget_ns, deadline;
    struct thread *threads;
    size_t count, room;
    uint32_t *known; /* tids already seized: open addressing, a power of two of slots */
    size_t known_size;
    unsigned char *stack;
    struct memory memory_cache;
    /* answers */
    enum ending ending;
    int64_t first_stop, last_detach;
    pid_t tid;
    uint64_t where; /* the address in the way, or of the bytes that differ */
    uint64_t pcs[FRAMES_KEPT];
    size_t pc_count, alive;
    int error;
};

/* ---- threads -------------------------------------------------------------------------------- */

/* 1 when tid is new and now remembered. There is always a free slot: known_size > 2 * room. */
static int remember(struct window *w, pid_t tid)
{
    size_t at = ((uint32_t)tid * 2654435761u) & (w->known_size - 1);
    while (w->known[at]) {
        if (w->known[at] == (uint32_t)tid) return 0;
        at = (at + 1) & (w->known_size - 1);
    }
    w->known[at] = (uint32_t)tid;
    return 1;
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

/* Seize the threads that are not seized yet. Returns how many were new, or -1: w->ending says. */
static int seize_new(struct window *w)
{
    char buffer[32768];
    int found = 0;
    if (lseek(w->task, 0, SEEK_SET) < 0) goto failed;
    for (;;) {
        long size = syscall(SYS_getdents64, w->task, buffer, sizeof buffer);
        if (size < 0) goto failed;
        if (size == 0) return found;
        for (long at = 0; at < size;) {
            unsigned short length;
            memcpy(&length, buffer + at + 16, sizeof length);
            const char *name = buffer + at + 19;
            at += length;
            if (name[0] < '1' || name[0] > '9') continue;
            pid_t tid = (pid_t)strtol(name, NULL, 10);
            if (w->count == w->room) {
                w->ending = CROWDED;
                return -1;
            }
            if (!remember(w, tid)) continue;
            if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
                int error = errno;
                if (error == ESRCH || is_dead(w->pid, tid)) continue;
                w->tid = tid;
                w->error = error;
                w->ending = error == EPERM ? NOT_PERMITTED : FAILED;
                return -1;
            }
            w->threads[w->count++] = (struct thread){.tid = tid};
            found++;
        }
    }
failed:
    w->error = errno;
    w->ending = errno == ENOENT || errno == ESRCH ? GONE : FAILED;
    return -1;
}

static void interrupt_new(struct window *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->threads[i].interrupted) {
            ptrace(PTRACE_INTERRUPT, w->threads[i].tid, NULL, NULL);
            w->threads[i].interrupted = 1;
        }
}

/* 0: every thread is stopped or dead. */
static int await_stops(struct window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct thread *t = &w->threads[i];
        if (t->stopped || t->dead) continue;
        while (!settled(t, 1))
            if (now_ns() > w->deadline) {
                w->tid = t->tid;
                w->ending = BUDGET;
                return -1;
            }
    }
    return 0;
}

static void release(struct window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct thread *t = &w->threads[i];
        if (t->dead) continue;
        /* One that has not stopped by now is released when the helper ends. */
        if (t->stopped || (settled(t, 0) && t->stopped))
            ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)signal_of(t));
    }
    w->last_detach = now_ns();
}

/* ---- checks --------------------------------------------------------------------------------- */

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

static int in_changed(const struct window *w, uint64_t value)
{
    for (size_t k = 0; k < w->write_count; k++)
        if (value > w->writes[k].changed.start && value < w->writes[k].changed.end) return 1;
    return 0;
}

/* Execution that stands at pc would be disturbed. */
static int pc_in_the_way(const struct window *w, uint64_t pc)
{
    return pc >= w->outline.start && pc < w->outline.end &&
           (in_ranges(w->affected, w->affected_count, pc) || in_changed(w, pc));
}

/* A call that returns to this address would be. The call ends where it returns to, so the byte
 * before tells whose call it was: an address equal to a function's entry is a pointer to it. */
static int return_in_the_way(const struct window *w, uint64_t address)
{
    return address > w->outline.start && address <= w->outline.end &&
           (in_ranges(w->affected, w->affected_count, address - 1) || in_changed(w, address));
}

static uint64_t stack_end(const struct window *w, uint64_t sp)
{
    size_t low = 0, high = w->stack_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sp < w->stacks[middle].start) high = middle;
        else if (sp >= w->stacks[middle].end) low = middle + 1;
        else return w->stacks[middle].end;
    }
    return sp + STACK_MOST; /* mapped or grown since: up to the first unreadable page */
}

/* Walk at most `most` frames, keeping their addresses. 1: one is in the way, if `check`. 0: none is,
 * as far as `lost`: the stack pointer where no table told how to go on, ~0 at the outermost. */
static int walk(struct window *w, const struct user_regs_struct *regs, int most, int check,
                uint64_t *lost)
{
    struct frame f = {
        {regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi, regs->rdi, regs->rbp, regs->rsp,
         regs->r8, regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15,
         regs->rip},
        1,
    };
    enum step step = STEPPED;
    w->pc_count = 0;
    for (int frames = 0; frames < most && step == STEPPED; frames++) {
        uint64_t pc = f.reg[RIP];
        if (w->pc_count < FRAMES_KEPT) w->pcs[w->pc_count++] = pc;
        if (check && (f.exact ? pc_in_the_way(w, pc) : return_in_the_way(w, pc))) {
            w->where = pc;
            return 1;
        }
        if (frames % 64 == 63 && now_ns() > w->deadline) break;
        step = step_out(&w->memory_cache, w->tables, w->table_count, &f);
    }
    *lost = step == OUTERMOST ? ~0ULL : f.reg[RSP];
    return 0;
}

struct scan {
    uint64_t highest; /* the last slot that holds a hit, 0 where there is none */
    uint64_t word;
    uint64_t starts[STACKS_MOST], ends[STACKS_MOST];
    size_t count;
};

/* A signal handler may run on a stack of its own: go on where the interrupted code's stack is. */
static void follow(struct window *w, struct scan *scan, uint64_t saved_rsp)
{
    uint64_t sp;
    if (scan->count == STACKS_MOST || fetch(&w->memory_cache, saved_rsp, &sp, 8) < 0) return;
    for (size_t i = 0; i < scan->count; i++)
        if (sp >= scan->starts[i] && sp < scan->ends[i]) return;
    scan->starts[scan->count] = sp & ~7ULL;
    scan->ends[scan->count++] = stack_end(w, sp);
}

/* 0, or -1 when the budget is spent. */
static int scan_stacks(struct window *w, pid_t tid, uint64_t sp, struct scan *scan)
{
    scan->highest = 0;
    scan->count = 1;
    scan->starts[0] = sp & ~7ULL;
    scan->ends[0] = stack_end(w, sp);
    for (size_t n = 0; n < scan->count; n++) {
        uint64_t at = scan->starts[n], end = scan->ends[n];
        if (end - at > STACK_MOST) end = at + STACK_MOST;
        while (at < end) {
            size_t size = end - at < STACK_CHUNK ? (size_t)(end - at) : STACK_CHUNK;
            struct iovec here = {w->stack, size}, there = {(void *)at, size};
            ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
            if (got < 8) break;
            const uint64_t *words = (const uint64_t *)w->stack;
            for (ssize_t i = 0; i < got / 8; i++) {
                uint64_t word = words[i];
                if (word - w->outline.start <= w->outline.end - w->outline.start) {
                    if (return_in_the_way(w, word)) {
                        scan->word = word;
                        /* Stacks after the first are beyond whatever a walk may lose. */
                        scan->highest = n ? ~0ULL : at + (uint64_t)i * 8;
                    }
                } else if (word == SIGNAL_FRAME_SELECTORS) {
                    follow(w, scan, at + (uint64_t)i * 8 - SELECTORS_TO_RSP);
                }
            }
            at += (uint64_t)got & ~7ULL;
            if ((size_t)got < size) break;
            if (now_ns() > w->deadline) {
                w->tid = tid;
                w->ending = BUDGET;
                return -1;
            }
        }
    }
    return 0;
}

static int check_thread(struct window *w, struct thread *t)
{
    struct user_regs_struct regs;
    struct scan scan;
    uint64_t lost;
    if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs) < 0) {
        if (errno == ESRCH) { /* killed while it was stopped */
            t->dead = 1;
            return 0;
        }
        w->error = errno;
        w->ending = FAILED;
        return -1;
    }
    w->alive++;
    w->memory_cache.tid = t->tid;
    if (pc_in_the_way(w, regs.rip)) {
        w->where = regs.rip;
    } else {
        if (scan_stacks(w, t->tid, regs.rsp, &scan) < 0) return -1;
        if (!scan.highest) return 0;
        if (!walk(w, &regs, FRAMES_MOST, 1, &lost)) {
            if (lost > scan.highest) return 0;
            w->where = scan.word;
        }
    }
    walk(w, &regs, FRAMES_KEPT, 0, &lost); /* the report wants the whole stack */
    w->tid = t->tid;
    w->ending = IN_THE_WAY;
    return -1;
}

/* ---- the window ----------------------------------------------------------------------------- */

static void write_all(struct window *w)
{
    unsigned char seen[WRITE_MOST];
    w->ending = FAILED;
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        ssize_t got = pread(w->memory, seen, x->size, (off_t)x->address);
        if (got == (ssize_t)x->size && memcmp(seen, x->before, x->size) == 0) continue;
        w->where = x->address;
        w->error = got < 0 ? errno : 0;
        /* Nothing to read: it called exec, and the memory we know is no more. */
        w->ending = got == 0 ? GONE : got < 0 ? FAILED : BYTES_DIFFER;
        return;
    }
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        if (pwrite(w->memory, x->after, x->size, (off_t)x->address) == (ssize_t)x->size) continue;
        w->error = errno;
        w->where = x->address;
        while (k-- > 0)
            if (pwrite(w->memory, w->writes[k].before, w->writes[k].size,
                       (off_t)w->writes[k].address) < 0)
                w->error = errno;
        return;
    }
    w->ending = PUBLISHED;
}

static void stop_check_write(struct window *w)
{
    int born = seize_new(w);
    w->first_stop = now_ns();
    w->deadline = w->first_stop + w->budget_ns;
    while (born > 0) {
        interrupt_new(w);
        if (await_stops(w) < 0) return;
        born = seize_new(w);
    }
    if (born < 0) return;
    for (size_t i = 0; i < w->count; i++)
        if (!w->threads[i].dead && check_thread(w, &w->threads[i]) < 0) return;
    if (w->alive == 0) {
        w->ending = GONE;
        return;
    }
    write_all(w);
}

static void window(void *argument)
{
    stop_check_write(argument);
    release(argument);
}

static void outline(struct window *w)
{
    struct range all = {~0ULL, 0};
    for (size_t k = 0; k < w->affected_count; k++) {
        if (w->affected[k].start < all.start) all.start = w->affected[k].start;
        if (w->affected[k].end > all.end) all.end = w->affected[k].end;
    }
    for (size_t k = 0; k < w->write_count; k++) {
        if (w->writes[k].changed.start < all.start) all.start = w->writes[k].changed.start;
        if (w->writes[k].changed.end > all.end) all.end = w->writes[k].changed.end;
    }
    if (all.start > all.end) all.start = all.end;
    w->outline = all;
}

#endif
