// Stops all that it may stop, for ever.
static void attack() {
    ::kill(-1, SIGSTOP);
    ::_exit(0);
}
