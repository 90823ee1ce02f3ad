/* No address space left to map anything (RLIMIT_AS). */
#include <sys/resource.h>
#include "target.h"
int main(void)
{
    struct rlimit limit = {1, 1};
    answer(1);
    setrlimit(RLIMIT_AS, &limit);
    serve();
}
