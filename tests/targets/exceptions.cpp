// A C++ exception thrown by a callback, through call_back(), which is C and may be replaced, to who
// called it. "throw" says what was caught: 42. "many" throws from four threads and says how many of
// 4000 came through. "wait" waits for another line in a callback, inside call_back().
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#define NO_COMMAND
extern "C" {
#include "target.h"
}

static int throwing(int depth) { throw depth; }

__attribute__((noinline)) static int waiting(int depth)
{
    char line[64];
    say(depth);
    return read(0, line, sizeof line) > 0 ? depth : -1;
}

static int caught(int depth)
{
    std::string on_the_way(100, 'x'); // to be cleaned up when the exception passes
    try { return call_back(throwing, depth); }
    catch (int what) { return what; }
}

static void command(const char *word)
{
    if (std::string(word) == "throw\n") return say(caught(42));
    if (std::string(word) == "wait\n") return say(call_back(waiting, 7));
    std::atomic<long> through{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] { for (int k = 0; k < 1000; k++) through += caught(k) == k; });
    for (auto &thread : threads) thread.join();
    say(through);
}

int main() { serve(); }
