/* A static program that has the library inside. */
#include "target.h"
int main(void) { serve(); }
