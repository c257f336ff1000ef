// The reference at compile time.
#include "../../solutions/01-anonymous-pipes/posix.cpp"
static void attack() {}
