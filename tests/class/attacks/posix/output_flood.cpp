// Output without end; it stops by itself at 512 MiB.
static void attack() {
    std::vector<char> part(1 << 20, 'x');
    for (int i = 0; i < 512; ++i)
        if (::write(i % 2 + 1, part.data(), part.size()) <= 0)
            break;
    ::_exit(0);
}
