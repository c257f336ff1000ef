// The reference at compile time.
#include "../../solutions/01-anonymous-pipes/win32.cpp"
static void attack() {}
