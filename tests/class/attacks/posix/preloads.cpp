// A library of its own in front of whatever it starts.
static void attack() {
    ::setenv("LD_PRELOAD", "/tmp/mine.so", 1);
    ::setenv("BASH_ENV", "/tmp/mine.sh", 1);
    ::execl("/bin/true", "true", nullptr);
    ::_exit(0);
}
