// A compiler that talks without end; it stops by itself after a hundred thousand errors.
#define TEN(x) x x x x x x x x x x
TEN(TEN(TEN(TEN(TEN(static_assert(false, "a long word, said again and again: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");)))))
static void attack() {}
