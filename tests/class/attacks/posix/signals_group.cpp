// A signal to its own process group, and to its parent's.
static void attack() {
    ::kill(-::getpgid(::getppid()), SIGTERM);
    ::kill(0, SIGTERM);
}
