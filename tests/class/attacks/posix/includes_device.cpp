// A source without an end.
#include "/dev/zero"
static void attack() {}
