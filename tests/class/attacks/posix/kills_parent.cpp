// Kills its judge.
static void attack() {
    ::kill(::getppid(), SIGKILL);
    ::_exit(0);
}
