// Files without end; it stops by itself at 1 GiB.
static void attack() {
    std::vector<char> part(1 << 20, 'x');
    for (const char* path : {"/tmp/flood", "/dev/shm/flood", "flood", "/out/flood", "/lab/flood"}) {
        const int file = ::open(path, O_WRONLY | O_CREAT, 0600);
        for (int i = 0; file >= 0 && i < 1024; ++i)
            if (::write(file, part.data(), part.size()) <= 0)
                break;
    }
    ::_exit(0);
}
