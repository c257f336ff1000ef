// A few lines that are gigabytes when they are compiled.
template <int N>
struct Bomb : Bomb<N - 1>, Bomb<N - 2> {};
template <>
struct Bomb<0> {};
template <>
struct Bomb<1> {};
static char large[1ull << 33] = {1};
static void attack() { large[sizeof(Bomb<40>)] = 1; }
