/*
 * The stop window and the borrowed thread as Python sees them: arrays in, numbers out. _window.h and
 * _borrow.h do the work; here it is made ready, and told.
 */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include "_borrow.h"
#include "_window.h"

static int parse_writes(struct window *w, PyObject *list)
{
    w->write_count = (size_t)PyList_GET_SIZE(list);
    w->writes = calloc(w->write_count + 1, sizeof *w->writes);
    if (!w->writes) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t k = 0; k < w->write_count; k++) {
        struct write *x = &w->writes[k];
        const char *before, *after;
        Py_ssize_t before_size, after_size;
        unsigned long long address, start, end;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)k), "KKKy#y#", &address, &start,
                              &end, &before, &before_size, &after, &after_size))
            return -1;
        if (before_size != after_size || before_size < 1 || before_size > WRITE_MOST) {
            PyErr_SetString(PyExc_ValueError, "a write has 1 to 8 bytes");
            return -1;
        }
        x->address = address;
        x->changed = (struct range){start, end};
        x->size = (size_t)before_size;
        memcpy(x->before, before, x->size);
        memcpy(x->after, after, x->size);
    }
    return 0;
}

/* A copy of an array of 64-bit numbers, `columns` a row; NULL with an exception set. */
static void *copy_rows(const Py_buffer *from, size_t columns, size_t *rows)
{
    size_t row = columns * sizeof(uint64_t);
    if ((size_t)from->len % row) {
        PyErr_SetString(PyExc_ValueError, "an array has a part of a row");
        return NULL;
    }
    void *to = malloc((size_t)from->len + row);
    if (!to) return PyErr_NoMemory();
    memcpy(to, from->buf, (size_t)from->len);
    *rows = (size_t)from->len / row;
    return to;
}

static unsigned char stack_chunk[STACK_CHUNK] __attribute__((aligned(A_PAGE)));
static unsigned char cached_pages[CACHE_PAGES * CACHED_PAGE] __attribute__((aligned(A_PAGE)));

static int prepare(struct window *w, unsigned long long threads)
{
    w->room = (threads < MAX_THREADS ? (size_t)threads : MAX_THREADS) * 2 + 256;
    for (w->known_size = 1024; w->known_size < w->room * 3;) w->known_size *= 2;
    w->threads = malloc(w->room * sizeof *w->threads);
    w->known = malloc(w->known_size * sizeof *w->known);
    w->stack = stack_chunk;
    w->memory_cache.bytes = cached_pages;
    if (!w->threads || !w->known) {
        PyErr_NoMemory();
        return -1;
    }
    /* Touched before, not inside. */
    memset(w->threads, 0, w->room * sizeof *w->threads);
    memset(w->known, 0, w->known_size * sizeof *w->known);
    touch(stack_chunk, sizeof stack_chunk);
    touch(cached_pages, sizeof cached_pages);
    return 0;
}

static PyObject *answer_of(const struct window *w)
{
    PyObject *pcs = PyTuple_New((Py_ssize_t)w->pc_count);
    if (!pcs) return NULL;
    for (size_t i = 0; i < w->pc_count; i++)
        PyTuple_SET_ITEM(pcs, (Py_ssize_t)i, PyLong_FromUnsignedLongLong(w->pcs[i]));
    return Py_BuildValue("iLniKNi", (int)w->ending, (long long)(w->last_detach - w->first_stop),
                         (Py_ssize_t)w->count, (int)w->tid, (unsigned long long)w->where, pcs,
                         w->error);
}

static PyObject *publish(PyObject *self, PyObject *args)
{
    (void)self;
    struct window w = {.memory = -1, .task = -1, .ending = FAILED};
    PyObject *writes, *answer = NULL;
    Py_buffer affected, stacks, tables;
    long long budget_ns;
    unsigned long long threads;
    char path[64];
    if (!PyArg_ParseTuple(args, "iiO!y*y*y*LK", &w.pid, &w.memory, &PyList_Type, &writes,
                          &affected, &stacks, &tables, &budget_ns, &threads))
        return NULL;
    w.budget_ns = budget_ns;
    if (!(w.affected = copy_rows(&affected, 2, &w.affected_count)) ||
        !(w.stacks = copy_rows(&stacks, 2, &w.stack_count)) ||
        !(w.tables = copy_rows(&tables, 3, &w.table_count)) ||
        parse_writes(&w, writes) < 0 || prepare(&w, threads) < 0)
        goto out;
    outline(&w);
    snprintf(path, sizeof path, "/proc/%d/task", w.pid);
    Py_BEGIN_ALLOW_THREADS
    w.task = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w.task < 0) w.ending = GONE;
    else {
        struct job job = {.work = window, .argument = &w, .alarm_ns = budget_ns};
        int error = run_apart(&job);
        if (error) w.error = error;
    }
    Py_END_ALLOW_THREADS
    answer = answer_of(&w);
out:
    if (w.task >= 0) close(w.task);
    free(w.threads);
    free(w.known);
    free(w.writes);
    free(w.affected);
    free(w.stacks);
    free(w.tables);
    PyBuffer_Release(&affected);
    PyBuffer_Release(&stacks);
    PyBuffer_Release(&tables);
    return answer;
}

static PyObject *call_in(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer tids, stacks;
    unsigned long long site, home, number, a[6];
    long long patience_ns;
    struct loan l = {0};
    if (!PyArg_ParseTuple(args, "(iK)y*pLKKy*K(KKKKKK)", &l.pid, &l.start_time, &tids, &l.filtered, &patience_ns, &site,
                          &home, &stacks, &number, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]))
        return NULL;
    l.tids = tids.buf;
    l.count = (size_t)tids.len / sizeof *l.tids;
    l.patience_ns = patience_ns;
    l.site = site;
    l.home = home;
    l.stacks = stacks.buf;
    l.stack_count = (size_t)stacks.len / (2 * sizeof *l.stacks);
    l.number = number;
    for (int i = 0; i < 6; i++) l.arguments[i] = a[i];
    Py_BEGIN_ALLOW_THREADS
    struct job job = {.work = borrow, .argument = &l, .alarm_ns = patience_ns};
    int error = run_apart(&job);
    if (error) l.error = error;
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&tids);
    PyBuffer_Release(&stacks);
    return Py_BuildValue("iKi", (int)l.ending, (unsigned long long)l.result, l.error);
}

static PyMethodDef methods[] = {
    {"call", call_in, METH_VARARGS,
     "call((pid, start_time), tids, filtered, patience_ns, site, home, stacks, number, arguments) -> "
     "(ending, result, errno)\n\n"
     "One system call by a borrowed thread. tids: native 32-bit numbers, the best first; home, "
     "stacks: as in struct loan."},
    {"publish", publish, METH_VARARGS,
     "publish(pid, memory_fd, writes, affected, stacks, tables, budget_ns, threads) -> "
     "(ending, pause_ns, threads, tid, where, pcs, errno)\n\n"
     "writes: list of (address, changed start, changed end, before, after). The arrays are native "
     "64-bit numbers, ascending and disjoint: affected and stacks (start, end), tables (code "
     "start, end, .eh_frame_hdr address)."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_stopwindow",
    .m_doc = "One stop of a process, without Python in between.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__stopwindow(void) { return PyModule_Create(&module); }
