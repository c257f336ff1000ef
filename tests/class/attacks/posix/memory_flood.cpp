// Memory without end; it stops by itself at 6 GiB.
static void attack() {
    for (int i = 0; i < 96; ++i) {
        void* part = ::mmap(nullptr, 64u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (part == MAP_FAILED)
            break;
        std::memset(part, i + 1, 64u << 20);
    }
    ::_exit(0);
}
