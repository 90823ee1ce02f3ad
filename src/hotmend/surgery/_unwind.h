/*
 * One frame up, by .eh_frame, in another process's memory.
 *
 * Reads a stopped thread's tables and stack through a small page cache that was allocated before;
 * never allocates, never loops without a bound, trusts no length or offset it reads. What it
 * cannot follow (no table, an unknown encoding or operation, unreadable memory) ends the walk,
 * and the caller falls back on its scan.
 */
#ifndef HOTMEND_UNWIND_H
#define HOTMEND_UNWIND_H

#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#define CACHE_PAGES 64
#define CACHED_PAGE 4096ULL

struct memory {
    pid_t tid; /* any live thread of the process */
    uint64_t page[CACHE_PAGES];
    unsigned char *bytes; /* CACHE_PAGES pages */
};

/* A module's code and where its .eh_frame_hdr is mapped; ascending by start. */
struct table {
    uint64_t start, end, header;
};

enum { RBP = 6, RSP = 7, RIP = 16, REGISTERS = 17 };

struct frame {
    uint64_t reg[REGISTERS];
    int exact; /* rip is where execution is or was interrupted, not a return address */
};

enum step { STEPPED, OUTERMOST, LOST };

static int fetch(struct memory *m, uint64_t at, void *out, size_t size)
{
    unsigned char *to = out;
    while (size) {
        uint64_t page = at & ~(CACHED_PAGE - 1);
        size_t slot = (page / CACHED_PAGE) % CACHE_PAGES;
        unsigned char *cached = m->bytes + slot * CACHED_PAGE;
        if (m->page[slot] != page || page == 0) {
            struct iovec here = {cached, CACHED_PAGE}, there = {(void *)page, CACHED_PAGE};
            m->page[slot] = 0;
            if (page == 0 || process_vm_readv(m->tid, &here, 1, &there, 1, 0) != (ssize_t)CACHED_PAGE)
                return -1;
            m->page[slot] = page;
        }
        size_t part = CACHED_PAGE - (at - page);
        if (part > size) part = size;
        memcpy(to, cached + (at - page), part);
        to += part;
        at += part;
        size -= part;
    }
    return 0;
}

/* Reads forward from `at` up to `end`; `bad` stays set once anything went wrong. */
struct reader {
    struct memory *memory;
    uint64_t at, end;
    int bad;
};

static uint64_t take(struct reader *r, size_t size)
{
    uint64_t value = 0;
    if (r->bad || r->end - r->at < size || r->at > r->end ||
        fetch(r->memory, r->at, &value, size) < 0) {
        r->bad = 1;
        return 0;
    }
    r->at += size;
    return value;
}

static uint64_t take_uleb(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = take(r, 1);
        value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    r->bad = 1;
    return 0;
}

static int64_t take_sleb(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64;) {
        uint64_t byte = take(r, 1);
        value |= (byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80)) {
            if (shift < 64 && (byte & 0x40)) value |= ~0ULL << shift;
            return (int64_t)value;
        }
    }
    r->bad = 1;
    return 0;
}

/* A DW_EH_PE pointer: absolute or relative to its own place, direct. */
static uint64_t take_pointer(struct reader *r, unsigned encoding)
{
    uint64_t place = r->at, value;
    switch (encoding & 0x0f) {
    case 0x00: case 0x04: case 0x0c: value = take(r, 8); break;
    case 0x01: value = take_uleb(r); break;
    case 0x02: value = take(r, 2); break;
    case 0x03: value = take(r, 4); break;
    case 0x09: value = (uint64_t)take_sleb(r); break;
    case 0x0a: value = (uint64_t)(int64_t)(int16_t)take(r, 2); break;
    case 0x0b: value = (uint64_t)(int64_t)(int32_t)take(r, 4); break;
    default: r->bad = 1; return 0;
    }
    if ((encoding & 0x70) == 0x10) return value + place;
    if ((encoding & 0x70) != 0) r->bad = 1;
    return value;
}

enum rule_kind { SAME, UNDEFINED, AT_CFA, CFA_PLUS, REGISTER, AT_EXPRESSION, EXPRESSION };

struct rule {
    enum rule_kind kind;
    int64_t value;   /* offset from the CFA, register, or the expression's address */
    uint64_t length; /* of the expression */
};

struct row {
    struct rule cfa; /* CFA_PLUS means: register `length` plus `value` */
    struct rule reg[REGISTERS];
};

struct cie {
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t program, program_end;
    unsigned encoding;
    int signal, augmented;
};

#define STACK_DEPTH 64

/* A DWARF expression on the frame's registers. 0 or -1. */
static int evaluate(struct memory *m, uint64_t at, uint64_t length, const struct frame *f,
                    const uint64_t *initial, uint64_t *result)
{
    struct reader r = {m, at, at + length, 0};
    uint64_t stack[STACK_DEPTH + 2];
    int depth = 0;
    if (length > 256) return -1;
    if (initial) stack[depth++] = *initial;
    for (int steps = 0; r.at < r.end; steps++) {
        unsigned op = (unsigned)take(&r, 1);
        uint64_t a, b;
        if (r.bad || steps > 256 || depth > STACK_DEPTH) return -1;
#define NEED(n) do { if (depth < (n)) return -1; } while (0)
        if (op >= 0x30 && op <= 0x4f) { stack[depth++] = op - 0x30; continue; }
        if (op >= 0x70 && op <= 0x8f) {
            int64_t offset = take_sleb(&r);
            if (op - 0x70 >= REGISTERS) return -1;
            stack[depth++] = f->reg[op - 0x70] + (uint64_t)offset;
            continue;
        }
        switch (op) {
        case 0x03: stack[depth++] = take(&r, 8); break;
        case 0x06:
            NEED(1);
            if (fetch(m, stack[depth - 1], &stack[depth - 1], 8) < 0) return -1;
            break;
        case 0x08: stack[depth++] = take(&r, 1); break;
        case 0x09: stack[depth++] = (uint64_t)(int64_t)(int8_t)take(&r, 1); break;
        case 0x0a: stack[depth++] = take(&r, 2); break;
        case 0x0b: stack[depth++] = (uint64_t)(int64_t)(int16_t)take(&r, 2); break;
        case 0x0c: stack[depth++] = take(&r, 4); break;
        case 0x0d: stack[depth++] = (uint64_t)(int64_t)(int32_t)take(&r, 4); break;
        case 0x0e: case 0x0f: stack[depth++] = take(&r, 8); break;
        case 0x10: stack[depth++] = take_uleb(&r); break;
        case 0x11: stack[depth++] = (uint64_t)take_sleb(&r); break;
        case 0x12: NEED(1); stack[depth] = stack[depth - 1]; depth++; break;
        case 0x13: NEED(1); depth--; break;
        case 0x14: NEED(2); stack[depth] = stack[depth - 2]; depth++; break;
        case 0x16:
            NEED(2);
            a = stack[depth - 1];
            stack[depth - 1] = stack[depth - 2];
            stack[depth - 2] = a;
            break;
        case 0x1f: NEED(1); stack[depth - 1] = 0 - stack[depth - 1]; break;
        case 0x20: NEED(1); stack[depth - 1] = ~stack[depth - 1]; break;
        case 0x23: NEED(1); stack[depth - 1] += take_uleb(&r); break;
        case 0x28:
        case 0x2f: {
            int16_t jump = (int16_t)take(&r, 2);
            if (op == 0x28) { NEED(1); if (stack[--depth] == 0) break; }
            r.at += (uint64_t)(int64_t)jump;
            if (r.at < at || r.at > r.end) return -1;
            break;
        }
        case 0x96: break;
        default:
            NEED(2);
            b = stack[--depth];
            a = stack[depth - 1];
            switch (op) {
            case 0x1a: a &= b; break;
            case 0x1c: a -= b; break;
            case 0x1e: a *= b; break;
            case 0x21: a |= b; break;
            case 0x22: a += b; break;
            case 0x24: a = b < 64 ? a << b : 0; break;
            case 0x25: a = b < 64 ? a >> b : 0; break;
            case 0x26: a = (uint64_t)((int64_t)a >> (b < 64 ? b : 63)); break;
            case 0x27: a ^= b; break;
            case 0x29: a = a == b; break;
            case 0x2a: a = (int64_t)a >= (int64_t)b; break;
            case 0x2b: a = (int64_t)a > (int64_t)b; break;
            case 0x2c: a = (int64_t)a <= (int64_t)b; break;
            case 0x2d: a = (int64_t)a < (int64_t)b; break;
            case 0x2e: a = a != b; break;
            default: return -1;
            }
            stack[depth - 1] = a;
        }
#undef NEED
        if (r.bad) return -1;
    }
    if (depth < 1) return -1;
    *result = stack[depth - 1];
    return 0;
}

/* Run call-frame instructions until `pc` is passed. `first`: the row the CIE left, for restore. */
static int run_program(struct memory *m, const struct cie *cie, uint64_t at, uint64_t end,
                       uint64_t location, uint64_t pc, const struct row *first, struct row *row)
{
    struct reader r = {m, at, end, 0};
    struct row saved[4];
    int depth = 0;
    for (int steps = 0; r.at < r.end && location <= pc; steps++) {
        unsigned op = (unsigned)take(&r, 1), low = op & 0x3f;
        uint64_t n = low;
        if (r.bad || steps > 4096) return -1;
        if ((op & 0xc0) == 0x40) { location += low * cie->code_factor; continue; }
        if ((op & 0xc0) == 0x80 || (op & 0xc0) == 0xc0) op &= 0xc0;
        switch (op) {
        case 0x00: continue;
        case 0x01: location = take_pointer(&r, cie->encoding); continue;
        case 0x02: location += take(&r, 1) * cie->code_factor; continue;
        case 0x03: location += take(&r, 2) * cie->code_factor; continue;
        case 0x04: location += take(&r, 4) * cie->code_factor; continue;
        case 0x0a:
            if (depth == 4) return -1;
            saved[depth++] = *row;
            continue;
        case 0x0b:
            if (depth == 0) return -1;
            *row = saved[--depth];
            continue;
        case 0x0c:
            row->cfa.length = take_uleb(&r);
            row->cfa.value = (int64_t)take_uleb(&r);
            row->cfa.kind = CFA_PLUS;
            continue;
        case 0x12:
            row->cfa.length = take_uleb(&r);
            row->cfa.value = take_sleb(&r) * cie->data_factor;
            row->cfa.kind = CFA_PLUS;
            continue;
        case 0x0d: row->cfa.length = take_uleb(&r); continue;
        case 0x0e: row->cfa.value = (int64_t)take_uleb(&r); continue;
        case 0x13: row->cfa.value = take_sleb(&r) * cie->data_factor; continue;
        case 0x0f:
            row->cfa.kind = EXPRESSION;
            row->cfa.length = take_uleb(&r);
            row->cfa.value = (int64_t)r.at;
            r.at += row->cfa.length;
            continue;
        case 0x2e: take_uleb(&r); continue;
        case 0x80: case 0xc0: break;
        default: n = take_uleb(&r);
        }
        /* From here on: a rule for register n. The vector registers' rules are read and dropped. */
        struct rule rule = {SAME, 0, 0};
        switch (op) {
        case 0x80: rule.kind = AT_CFA; rule.value = (int64_t)take_uleb(&r) * cie->data_factor; break;
        case 0xc0: case 0x06:
            if (n < REGISTERS && first) rule = first->reg[n];
            break;
        case 0x05: rule.kind = AT_CFA; rule.value = (int64_t)take_uleb(&r) * cie->data_factor; break;
        case 0x11: rule.kind = AT_CFA; rule.value = take_sleb(&r) * cie->data_factor; break;
        case 0x2f: rule.kind = AT_CFA; rule.value = -(int64_t)take_uleb(&r) * cie->data_factor; break;
        case 0x14: rule.kind = CFA_PLUS; rule.value = (int64_t)take_uleb(&r) * cie->data_factor; break;
        case 0x15: rule.kind = CFA_PLUS; rule.value = take_sleb(&r) * cie->data_factor; break;
        case 0x07: rule.kind = UNDEFINED; break;
        case 0x08: break;
        case 0x09: rule.kind = REGISTER; rule.value = (int64_t)take_uleb(&r); break;
        case 0x10: case 0x16:
            rule.kind = op == 0x10 ? AT_EXPRESSION : EXPRESSION;
            rule.length = take_uleb(&r);
            rule.value = (int64_t)r.at;
            r.at += rule.length;
            break;
        default: return -1;
        }
        if (n < REGISTERS) row->reg[n] = rule;
    }
    return r.bad ? -1 : 0;
}

static int read_cie(struct memory *m, uint64_t at, struct cie *cie)
{
    struct reader r = {m, at, at + 4, 0};
    uint64_t length = take(&r, 4);
    char augmentation[8];
    size_t letters = 0;
    if (length < 9 || length > 65536) return -1;
    r.end = r.at + length;
    cie->program_end = r.end;
    if (take(&r, 4) != 0) return -1;
    unsigned version = (unsigned)take(&r, 1);
    if (version != 1 && version != 3) return -1;
    while ((augmentation[letters] = (char)take(&r, 1)) != 0)
        if (r.bad || ++letters == sizeof augmentation) return -1;
    cie->code_factor = take_uleb(&r);
    cie->data_factor = take_sleb(&r);
    if ((version == 1 ? take(&r, 1) : take_uleb(&r)) != RIP) return -1;
    cie->encoding = 0;
    cie->signal = cie->augmented = 0;
    if (augmentation[0] == 'z') {
        uint64_t size = take_uleb(&r), start = r.at;
        cie->augmented = 1;
        if (size > length) return -1;
        for (size_t i = 1; i < letters; i++)
            switch (augmentation[i]) {
            case 'R': cie->encoding = (unsigned)take(&r, 1); break;
            case 'L': take(&r, 1); break;
            case 'P': {
                unsigned encoding = (unsigned)take(&r, 1);
                take_pointer(&r, encoding & 0x7f);
                break;
            }
            case 'S': cie->signal = 1; break;
            default: return -1;
            }
        r.at = start + size;
    } else if (letters) {
        return -1;
    }
    cie->program = r.at;
    return r.bad || r.at > r.end ? -1 : 0;
}

/* The FDE that .eh_frame_hdr's sorted table names for pc, or 0. */
static uint64_t find_fde(struct memory *m, const struct table *table, uint64_t pc)
{
    struct { unsigned char version, pointer, count, rows; int32_t frame; uint32_t size; } head;
    if (fetch(m, table->header, &head, sizeof head) < 0) return 0;
    if (head.version != 1 || head.count != 0x03 || head.rows != 0x3b) return 0;
    if (head.size == 0 || head.size > 1u << 22) return 0;
    uint64_t low = 0, high = head.size;
    int32_t pair[2] = {0, 0};
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (fetch(m, table->header + 12 + middle * 8, pair, sizeof pair) < 0) return 0;
        if (table->header + (uint64_t)(int64_t)pair[0] <= pc) low = middle + 1;
        else high = middle;
    }
    if (low == 0 || fetch(m, table->header + 12 + (low - 1) * 8, pair, sizeof pair) < 0) return 0;
    return table->header + (uint64_t)(int64_t)pair[1];
}

static const struct table *find_table(const struct table *tables, size_t count, uint64_t pc)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pc < tables[middle].start) high = middle;
        else if (pc >= tables[middle].end) low = middle + 1;
        else return &tables[middle];
    }
    return NULL;
}

/* Replace a frame by its caller's. OUTERMOST: the thread began here. LOST: no table tells. */
static enum step step_out(struct memory *m, const struct table *tables, size_t count,
                          struct frame *f)
{
    struct cie cie;
    struct row first, row;
    uint64_t pc = f->reg[RIP] - (f->exact ? 0 : 1), cfa, fde;
    const struct table *table = find_table(tables, count, pc);
    if (!table || !(fde = find_fde(m, table, pc))) return LOST;
    struct reader r = {m, fde, fde + 8, 0};
    uint64_t length = take(&r, 4), back = take(&r, 4);
    if (r.bad || length < 8 || length > 1u << 20 || back == 0) return LOST;
    r.end = fde + 4 + length;
    if (read_cie(m, fde + 4 - back, &cie) < 0) return LOST;
    uint64_t start = take_pointer(&r, cie.encoding), size = take_pointer(&r, cie.encoding & 0x0f);
    if (r.bad || pc < start || pc - start >= size) return LOST;
    if (cie.augmented) { uint64_t skip = take_uleb(&r); r.at += skip; }
    if (r.bad || r.at > r.end) return LOST;
    memset(&first, 0, sizeof first);
    first.cfa.kind = UNDEFINED;
    if (run_program(m, &cie, cie.program, cie.program_end, 0, 0, NULL, &first) < 0) return LOST;
    row = first;
    if (run_program(m, &cie, r.at, r.end, start, pc, &first, &row) < 0) return LOST;
    if (row.cfa.kind == CFA_PLUS && row.cfa.length < RIP)
        cfa = f->reg[row.cfa.length] + (uint64_t)row.cfa.value;
    else if (row.cfa.kind != EXPRESSION ||
             evaluate(m, (uint64_t)row.cfa.value, row.cfa.length, f, NULL, &cfa) < 0)
        return LOST;
    struct frame up = *f;
    up.reg[RSP] = cfa;
    if (row.reg[RIP].kind == UNDEFINED) return OUTERMOST;
    for (int n = 0; n < REGISTERS; n++) {
        const struct rule *rule = &row.reg[n];
        uint64_t at;
        switch (rule->kind) {
        case SAME: case UNDEFINED: continue;
        case CFA_PLUS: up.reg[n] = cfa + (uint64_t)rule->value; continue;
        case REGISTER:
            if (rule->value < 0 || rule->value >= REGISTERS) return LOST;
            up.reg[n] = f->reg[rule->value];
            continue;
        case AT_CFA: at = cfa + (uint64_t)rule->value; break;
        case AT_EXPRESSION:
        case EXPRESSION:
            if (evaluate(m, (uint64_t)rule->value, rule->length, f, &cfa, &at) < 0) return LOST;
            if (rule->kind == EXPRESSION) { up.reg[n] = at; continue; }
            break;
        default: return LOST;
        }
        if (fetch(m, at, &up.reg[n], 8) < 0) return LOST;
    }
    if (row.reg[RIP].kind == SAME) return LOST;
    if (up.reg[RIP] == 0) return OUTERMOST;
    if (!cie.signal && up.reg[RSP] <= f->reg[RSP]) return LOST;
    up.exact = cie.signal;
    *f = up;
    return STEPPED;
}

#endif
