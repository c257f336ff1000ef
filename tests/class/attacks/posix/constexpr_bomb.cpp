// A compiler that is busy for a long time.
constexpr unsigned long long busy(unsigned long long n) {
    unsigned long long sum = 0;
    for (unsigned long long i = 0; i < n; ++i)
        for (unsigned long long j = 0; j < n; ++j)
            sum += i * j;
    return sum;
}
static void attack() {
    static constexpr unsigned long long value = busy(100000000);
    ::printf("%llu\n", value);
}
