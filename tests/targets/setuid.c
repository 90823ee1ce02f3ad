/* Runs as another user than who started it, when its file says so. */
#include "target.h"
int main(void)
{
    if (geteuid() == getuid()) return 1;
    serve();
}
