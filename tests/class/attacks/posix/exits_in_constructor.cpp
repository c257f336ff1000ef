// Ends with success before main() has begun.
__attribute__((constructor)) static void early() { ::_exit(0); }
static void attack() {}
