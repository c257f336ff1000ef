// Processes without end; it stops by itself at a few thousand.
static void attack() {
    for (int i = 0; i < 12; ++i)
        if (::fork() == -1)
            break;
    ::sleep(5);
    ::_exit(0);
}
