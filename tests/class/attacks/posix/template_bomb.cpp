// A compiler that never comes to an end.
template <unsigned long long N>
struct Count {
    static constexpr unsigned long long value = Count<N + 1>::value + Count<N + 3>::value;
};
static void attack() { ::printf("%llu\n", Count<1>::value); }
