// Stops its judge for ever.
static void attack() {
    ::kill(::getppid(), SIGSTOP);
    ::_exit(0);
}
